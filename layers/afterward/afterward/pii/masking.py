from afterward.pii.finder import find
from afterward.pii.policy import Policy

_DEFAULT = Policy()


def mask(text: str, policy: Policy = _DEFAULT) -> str:
    """Return the text with each value replaced as the policy treats its kind: `[EMAIL]` where it says nothing."""
    found = find(text)
    if not found:
        return text
    parts, position = [], 0
    for one in found:
        parts += [text[position : one.start], policy.replaced(text[one.start : one.end], one.kind)]
        position = one.end
    return "".join([*parts, text[position:]])
