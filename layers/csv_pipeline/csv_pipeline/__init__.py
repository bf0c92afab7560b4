"""CSV files of any size: how one is written, where its records begin, what each row says, and what becomes of it."""
