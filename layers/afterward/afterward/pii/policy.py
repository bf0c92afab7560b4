"""What becomes of each kind of value."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

from afterward.pii.finding import Kind

_SHOWN = 4
_ENOUGH_HIDDEN = 9
_DIGEST = 24


class Treatment(StrEnum):
    MASK = "mask"
    """`[EMAIL]`"""
    PARTIAL = "partial"
    """`[CREDIT_CARD:**1111]`: the last four; of a value with less than nine letters and digits none."""
    DROP = "drop"
    HASH = "hash"
    """`[EMAIL:h1f…]`: the same for the same value however it is spelt, and of no use without the key."""
    KEEP = "keep"


@dataclass(frozen=True, slots=True)
class Policy:
    """A treatment for each kind; `key` is needed where any is HASH."""

    default: Treatment = Treatment.MASK
    kinds: Mapping[Kind, Treatment] = field(default_factory=dict)
    key: bytes = field(default=b"", repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "default", Treatment(self.default))
        kinds = {Kind(kind): Treatment(treatment) for kind, treatment in self.kinds.items()}
        object.__setattr__(self, "kinds", MappingProxyType(kinds))
        if Treatment.HASH in {self.default, *self.kinds.values()} and not self.key:
            raise ValueError("a policy that hashes needs a key")

    def treatment(self, kind: Kind) -> Treatment:
        return self.kinds.get(kind, self.default)

    def replaced(self, value: str, kind: Kind) -> str:
        """Return what stands in the place of a value."""
        match self.treatment(kind):
            case Treatment.MASK:
                return f"[{kind}]"
            case Treatment.PARTIAL:
                return _partial(value, kind)
            case Treatment.HASH:
                return f"[{kind}:h{self._digest(value, kind)}]"
            case Treatment.DROP:
                return ""
            case Treatment.KEEP:
                return value

    def _digest(self, value: str, kind: Kind) -> str:
        import hmac  # noqa: PLC0415 - 4 ms with hashlib, only where something is hashed

        text = f"{kind}\n{_canonical(value, kind)}".encode("utf-8", "surrogatepass")
        return hmac.new(self.key, text, "sha256").hexdigest()[:_DIGEST]


def _partial(value: str, kind: Kind) -> str:
    shown = "".join(filter(str.isalnum, value))
    return f"[{kind}:**{shown[-_SHOWN:]}]" if len(shown) >= _ENOUGH_HIDDEN else f"[{kind}]"


def _canonical(value: str, kind: Kind) -> str:
    """One spelling for all: a card is the same card with and without its spaces."""
    from afterward.pii.folding import fold  # noqa: PLC0415 - only where something is hashed

    folded, _ = fold(value)
    if kind in {Kind.CREDIT_CARD, Kind.US_SSN, Kind.PHONE}:
        return "".join(filter(str.isdecimal, folded))
    if kind is Kind.IBAN:
        return "".join(filter(str.isalnum, folded)).upper()
    return folded.lower() if kind in {Kind.EMAIL, Kind.IP_ADDRESS} else folded
