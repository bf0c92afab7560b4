from typing import Annotated

from fastapi import FastAPI, HTTPException, Security
from fastapi.security import APIKeyHeader

from afterward.background import owner

KEYS = {"key-of-ada": "ada", "key-of-bob": "bob"}


async def caller(key: Annotated[str, Security(APIKeyHeader(name="X-Api-Key"))]) -> str:
    if key not in KEYS:
        raise HTTPException(401, "Unknown key")
    return KEYS[key]


def use_api_keys(app: FastAPI) -> None:
    app.dependency_overrides[owner] = caller
