"""Rights, as IAM's policies grant them and requests take them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


@dataclass(frozen=True, order=True)
class Right:
    """An action on a resource, as somebody asks for it or, then perhaps with IAM's wildcards, as it is granted.

    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_resource.html
    """

    action: str
    resource: str

    def covers(self, asked: Right) -> bool:
        return bool(self._action.fullmatch(asked.action)) and bool(self._resource.fullmatch(asked.resource))

    @cached_property
    def _action(self) -> re.Pattern[str]:
        return _pattern(self.action, re.IGNORECASE)

    @cached_property
    def _resource(self) -> re.Pattern[str]:
        return _pattern(self.resource)


def _pattern(text: str, flags: re.RegexFlag = re.NOFLAG) -> re.Pattern[str]:
    return re.compile(re.escape(text).replace(r"\*", ".*").replace(r"\?", "."), flags | re.DOTALL)


@dataclass(frozen=True)
class Role:
    """What one function may do."""

    function: str
    rights: tuple[Right, ...]

    def granting(self, asked: Right) -> Sequence[Right]:
        return self._granting(asked)

    @cached_property
    def _granting(self) -> Callable[[Right], Sequence[Right]]:
        # Tables and queues are few, and asked for again and again.
        return lru_cache(maxsize=1_000)(lambda asked: [right for right in self.rights if right.covers(asked)])
