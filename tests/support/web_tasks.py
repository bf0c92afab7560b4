"""Tasks that the tests of afterward.background add."""

from afterward import task


@task(name="web_note")
def note(text: str) -> None:
    """Write something down."""


@task(name="web_other")
def other(text: str, *, times: int = 1) -> None:
    """Do something else."""


NAMES = (note.name, other.name)
