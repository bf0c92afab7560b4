"""The body of the SQS message: the only place where a job's arguments live.

JSON, version 1 of the format:

```
{"afterward": 1, "owner": …, "id": …, "task": …, "version": 1, "arguments": {…}, "run": 1, "leg": 0,
 "created": "2026-11-22T14:00:00.000000Z", "not_before": 1795000000.0, "group": …, "digest": …,
 "chain": …, "even_if_failed": false, "broken_by": …, "rest": [{"id": …, "task": …, …}, …]}
```

`rest` holds the jobs of the chain that come after this one. `broken_by` names the job whose failure stopped the chain:
from then on only `even_if_failed` jobs run. `digest` is the payload's where the id was chosen by the caller, so that a
record made by a worker recognises a repeat. A body over the limit of SQS lies in S3, and the message points at it:
`{"afterward": 1, "stored": "envelopes/…"}`.
"""

import json
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, fields, replace
from typing import Any, TypeVar

from afterward.errors import BadMessage

FORMAT = 1

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]
"""What JSON can say (RFC 8259)."""

Part = TypeVar("Part", bound="Link")


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """One job of a chain, before it is its turn. `delay` counts in seconds from the end of the job before."""

    id: str
    task: str
    version: int = 1
    arguments: Mapping[str, Json]
    even_if_failed: bool = False
    delay: float = 0.0


def link_fields(source: Any) -> dict[str, Any]:
    """Return what makes a Link, from anything that has fields of the same names."""
    return {field.name: getattr(source, field.name) for field in fields(Link)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope(Link):
    """One job whose turn it is, with everything that its worker needs."""

    owner: str
    created: str
    run: int = 1
    leg: int = 0
    not_before: float = 0.0
    group: str = ""
    digest: str = ""
    chain: str = ""
    broken_by: str = ""
    rest: tuple[Link, ...] = ()

    def successor(self, index: int, *, broken_by: str, not_before: float) -> "Envelope":
        """Return the envelope of `rest[index]`, with what follows it still behind it."""
        link = self.rest[index]
        return replace(
            self,
            **link_fields(link),
            leg=0,
            not_before=not_before,
            broken_by=broken_by,
            rest=self.rest[index + 1 :],
        )


_NOT_IN_SQS = str.maketrans({"\ufffe": "\\ufffe", "\uffff": "\\uffff"})
"""The two characters that JSON leaves as they are and SQS refuses (SendMessage: XML's character set)."""


def dumps(envelope: Envelope) -> str:
    text = json.dumps({"afterward": FORMAT} | asdict(envelope), separators=(",", ":"), ensure_ascii=False)
    return text.translate(_NOT_IN_SQS)


def pointer(key: str) -> str:
    return json.dumps({"afterward": FORMAT, "stored": key}, separators=(",", ":"))


def stored_at(body: str) -> str | None:
    """Return the S3 key that the message points at, or None where it carries its envelope itself."""
    stored = _object(body).get("stored")
    return stored if isinstance(stored, str) else None


def loads(body: str) -> Envelope:
    """Read a message body, or raise BadMessage with the reason why it cannot be a job."""
    value = _object(body)
    rest = value.get("rest", [])
    if not isinstance(rest, list):
        raise BadMessage("the message's `rest` is not a list")
    return _part(Envelope, value, rest=tuple(_part(Link, _mapping(link)) for link in rest))


def _object(body: str) -> dict[str, Json]:
    try:
        value = json.loads(body, parse_constant=_no_json)
    except (ValueError, RecursionError):
        raise BadMessage("the message is not JSON, so it is not an Afterward envelope") from None
    if not isinstance(value, dict) or "afterward" not in value:
        raise BadMessage("the message is not an Afterward envelope")
    if value["afterward"] != FORMAT:
        raise BadMessage(f"the envelope has format {value['afterward']!r:.40}, and this code knows format {FORMAT}")
    return value


def _no_json(name: str) -> Json:
    raise ValueError(f"{name} is no JSON")


def _mapping(value: Json) -> dict[str, Json]:
    if not isinstance(value, dict):
        raise BadMessage("a job in the message's `rest` is not an object")
    return value


def _part(kind: type[Part], value: Mapping[str, Json], **given: Any) -> Part:
    """Build a part from JSON; unknown keys are left out, so that a rollback reads what its successor wrote."""
    known: dict[str, Any] = {f.name: value[f.name] for f in fields(kind) if f.name in value} | given
    for field in fields(kind):
        if field.name in known and not isinstance(known[field.name], _TYPES[field.name]):
            raise BadMessage(f"the envelope's `{field.name}` has the wrong type")
    try:
        return kind(**known)
    except TypeError:
        missing = [field.name for field in fields(kind) if field.default is MISSING and field.name not in known]
        raise BadMessage(f"the envelope lacks {', '.join(missing)}") from None


_TYPES: dict[str, type | tuple[type, ...]] = {
    "id": str,
    "task": str,
    "version": int,
    "arguments": dict,
    "even_if_failed": bool,
    "delay": (int, float),
    "owner": str,
    "created": str,
    "run": int,
    "leg": int,
    "not_before": (int, float),
    "group": str,
    "digest": str,
    "chain": str,
    "broken_by": str,
    "rest": tuple,
}
