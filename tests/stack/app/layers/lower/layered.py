WHERE = "lower"
