from collections.abc import Iterable

from afterward.pii.finder import find
from afterward.pii.finding import Finding
from afterward.pii.policy import Policy

_DEFAULT = Policy()


def mask(text: str, policy: Policy = _DEFAULT) -> str:
    """Return the text with each value replaced as the policy treats its kind: `[EMAIL]` where it says nothing."""
    return replaced(text, find(text), policy)


def replaced(text: str, found: Iterable[Finding], policy: Policy) -> str:
    """Return the text with what was found in it replaced."""
    parts, position = [], 0
    for one in found:
        parts += [text[position : one.start], policy.replaced(text[one.start : one.end], one.kind)]
        position = one.end
    return "".join([*parts, text[position:]]) if parts else text
