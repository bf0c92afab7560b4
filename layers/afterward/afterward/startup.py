"""A Lambda's init, from the first import of this library until its handler can be called.

What init makes stays for as long as the environment lives. Python would look through it for garbage some fifty times
while it grows, which is 5 to 8 % of a cold start; so collections are rare until init is finished, and what is there by
then is left out of all later ones.
"""

import gc
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from afterward.backend import Backend

RARELY = 200_000
"""New objects between two collections: more than an init makes, and harmless to an app that never calls `finish`."""

_USUAL = gc.get_threshold()


def begin() -> None:
    """Make garbage collection rare. Called by this package's import, on Lambda only."""
    if "AWS_LAMBDA_RUNTIME_API" in os.environ:
        gc.set_threshold(RARELY)


def finish() -> "Backend | None":
    """On Lambda, end the init: set up logs and make the backend, which elsewhere waits for its first use."""
    from afterward.settings import on_lambda  # noqa: PLC0415 - this module comes before all others

    if not on_lambda():
        return None
    from afterward import log  # noqa: PLC0415 - as above
    from afterward.backend import backend  # noqa: PLC0415 - as above

    log.configure()
    made = backend()
    gc.freeze()
    gc.set_threshold(*_USUAL)
    return made
