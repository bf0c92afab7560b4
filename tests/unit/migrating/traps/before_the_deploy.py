import logging

from afterward import task

logger = logging.getLogger(__name__)


@task
def welcome(email: str) -> None:
    logger.warning("welcome %s", email)
