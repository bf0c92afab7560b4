"""Who may: a route that names a user serves that user, and whoever administers."""

from typing import Annotated, Any

from fastapi import Depends, HTTPException, Path

import catalog
from afterward.background import problem
from afterward.background.caller import Caller, caller

ADMIN = "admin"
"""The scope whose bearer may act for every user."""

FORBIDDEN = problem(403, f"The user is another one, and the caller has not the scope `{ADMIN}`.")


def for_user(said: str) -> Any:
    """Make a path's `user_id`: the caller's own number, or any where the caller administers.

    `user_id: Annotated[int, for_user("Who performs it.")]`, with `responses=FORBIDDEN`.
    """

    async def allowed(
        user_id: Annotated[catalog.UserId, Path(description=said)], caller: Annotated[Caller, Depends(caller)]
    ) -> int:
        _check(caller, str(user_id))
        return user_id

    return Depends(allowed)


def for_recipient(said: str) -> Any:
    """Make the same of whose inbox it is: that of the caller's own `sub`."""

    async def allowed(
        user_id: Annotated[catalog.Recipient, Path(description=said)], caller: Annotated[Caller, Depends(caller)]
    ) -> str:
        _check(caller, user_id)
        return user_id

    return Depends(allowed)


def _check(caller: Caller, user: str) -> None:
    if user != caller.subject and ADMIN not in caller.scopes:
        raise HTTPException(403, f"You are not this user, and your token has not the scope {ADMIN}.")
