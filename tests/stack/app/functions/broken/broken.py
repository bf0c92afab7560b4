"""Cannot be imported."""

from typing import NoReturn


def lambda_handler(_event: object, _context: object) -> NoReturn:
    raise AssertionError


raise RuntimeError("not today")
