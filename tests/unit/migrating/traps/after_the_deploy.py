import logging
from typing import Any

from afterward import task

logger = logging.getLogger(__name__)


@task(version=2)
def welcome(email: str, language: str) -> None:
    logger.warning("welcome %s in %s", email, language)


@welcome.upcast(1)
def with_language(arguments: dict[str, Any]) -> dict[str, Any]:
    return arguments | {"language": "English"}
