class CannotStart(Exception):
    """Why the local cloud does not start."""
