"""Personal data in text: where it stands, and the text without it.

Names are imported when they are first used: a process pays only for what it needs.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from afterward.pii.fields import Pii as Pii
    from afterward.pii.fields import columns as columns
    from afterward.pii.finder import find as find
    from afterward.pii.finding import Finding as Finding
    from afterward.pii.finding import Kind as Kind
    from afterward.pii.masking import mask as mask
    from afterward.pii.policy import Policy as Policy
    from afterward.pii.policy import Treatment as Treatment
    from afterward.pii.values import sanitised as sanitised

_HOMES = {
    "Pii": "fields",
    "columns": "fields",
    "find": "finder",
    "Finding": "finding",
    "Kind": "finding",
    "mask": "masking",
    "Policy": "policy",
    "Treatment": "policy",
    "sanitised": "values",
}

__all__ = [  # noqa: PLE0604 - the names stand once, above
    *_HOMES,
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    return value
