"""The body of the SQS message: the only place where a job's arguments live.

JSON, version 1 of the format:

```
{"afterward": 1, "owner": …, "id": …, "task": …, "version": 1, "arguments": {…}, "run": 1, "leg": 0,
 "created": "2026-11-22T14:00:00.000000Z", "not_before": 1795000000.0, "group": …, "digest": …, "even_if_failed": false,
 "chain": …, "links": 4, "named": {}, "broken_by": …, "broken_as": "failed", "ended": 1795000000.0,
 "join": …, "member": 0, "members": 0, "rest": [{"id": …, "task": …, …}, [{…}, {…}], …]}
```

`rest` holds what comes after this job in its chain: jobs, and groups of jobs side by side as lists. `chain` names the
chain's first job, `links` counts its jobs and `named` holds, by their number, the ids of those that do not follow from
it (`link_id`). `broken_by` names the job that did not complete and so stopped the chain, `broken_as` says how it ended:
from then on only `even_if_failed` jobs and callbacks run. `ended` is when the job before ended. A group's job counts
itself, as `member` of `members`, in the items of the table under `join`. `digest` tells a repeat of the same request
from another one with the same id. A body over the limit of SQS lies in S3, and the message points at it:
`{"afterward": 1, "stored": "envelopes/…", "owner": …, "id": …, "run": 1, "digest": …}`; it names the job, so that its
record can say so where the object is gone.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields, replace
from itertools import groupby
from operator import itemgetter
from typing import Any, TypeVar

from afterward.errors import BadMessage, NewerMessage

FORMAT = 1

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]
"""What JSON can say (RFC 8259)."""

Part = TypeVar("Part", bound="Link")


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """One job of a chain, before it is its turn. `delay` counts in seconds from the end of the job before.

    A `callback` tells of the chain and is not part of it: it runs in any case, and nothing stops because of it.
    """

    id: str
    task: str
    version: int = 1
    arguments: Mapping[str, Json]
    even_if_failed: bool = False
    delay: float = 0.0
    group: str = ""
    callback: bool = False

    def runs_after(self, broken_by: str) -> bool:
        return not broken_by or self.even_if_failed or self.callback


Entry = Link | tuple[Link, ...]
"""What stands in a chain: a job, or a group of jobs side by side."""


def entries(links: Iterable[tuple[int, Link]]) -> Iterator[Entry]:
    """Put links into a chain: neighbours with the same number but 0 as a group."""
    for side, together in groupby(links, key=itemgetter(0)):
        members = tuple(link for _, link in together)
        yield from (members,) if side else members


def members_of(entry: Entry) -> tuple[Link, ...]:
    return entry if isinstance(entry, tuple) else (entry,)


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
    digest: str = ""
    chain: str = ""
    links: int = 1
    named: Mapping[str, str] = field(default_factory=dict)
    broken_by: str = ""
    broken_as: str = ""
    ended: float = 0.0
    join: str = ""
    member: int = 0
    members: int = 0
    rest: tuple[Entry, ...] = ()

    @property
    def behind(self) -> list[Link]:
        """Every job that comes after this one, in or out of a group."""
        return [link for entry in self.rest for link in members_of(entry)]

    def successors(self, index: int, *, broken_by: str, broken_as: str, now: float) -> list["Envelope"]:
        """Return the envelopes of those of `rest[index]` that run, with what follows the entry still behind them."""
        entry = self.rest[index]
        running = [link for link in members_of(entry) if link.runs_after(broken_by)]
        following = replace(
            self, leg=0, broken_by=broken_by, broken_as=broken_as, ended=now, rest=self.rest[index + 1 :]
        )
        return following.at(running, side_by_side=isinstance(entry, tuple), now=now)

    def at(self, links: Sequence[Link], *, side_by_side: bool, now: float) -> list["Envelope"]:
        """Return the envelopes of these jobs, whose turn it is now; a group counts its members under one key."""
        join, members = (f"{links[0].id}#{self.run}", len(links)) if side_by_side and links else ("", 0)
        return [
            replace(
                self,
                **link_fields(link),
                join=join,
                member=number,
                members=members,
                not_before=now + link.delay if link.delay else 0.0,
            )
            for number, link in enumerate(links)
        ]


_NOT_IN_SQS = str.maketrans({"\ufffe": "\\ufffe", "\uffff": "\\uffff"})
"""The two characters that JSON leaves as they are and SQS refuses (SendMessage: XML's character set)."""


def dumps(envelope: Envelope, rest: str | None = None) -> str:
    """Write a message body. `rest` is what `dumps_rest` gives, where several envelopes have the same."""
    own = {"afterward": FORMAT} | {f.name: getattr(envelope, f.name) for f in fields(Envelope) if f.name != "rest"}
    return f'{_json(own)[:-1]},"rest":{dumps_rest(envelope.rest) if rest is None else rest}}}'


def dumps_rest(rest: tuple[Entry, ...]) -> str:
    return _json([list(map(link_fields, one)) if isinstance(one, tuple) else link_fields(one) for one in rest])


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False, default=dict).translate(_NOT_IN_SQS)


def pointer(key: str, envelope: Envelope) -> str:
    return _json({"afterward": FORMAT, "stored": key} | {name: getattr(envelope, name) for name in (*_NAMED, *_SEATED)})


_NAMED = {"owner": str, "id": str, "run": int, "digest": str}
_SEATED = {"join": str, "member": int, "members": int}


def job_of(body: str) -> Envelope | None:
    """Return what a message of whatever format names of its job, and of its group: nothing to run, nothing behind."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict) or not _holds(value, _NAMED):
        return None
    named = {name: value[name] for name in (*_NAMED, *(_SEATED if _holds(value, _SEATED) else ()))}
    return Envelope(task="", created="", arguments={}, **named)


def _holds(value: Mapping[str, Any], kinds: Mapping[str, type]) -> bool:
    return all(isinstance(value.get(name), kind) for name, kind in kinds.items())


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
    return _part(Envelope, value, rest=tuple(_entry(entry) for entry in rest))


def _entry(value: Json) -> Entry:
    if isinstance(value, list):
        return tuple(_part(Link, _mapping(member)) for member in value)
    return _part(Link, _mapping(value))


def _object(body: str) -> dict[str, Json]:
    try:
        value = json.loads(body, parse_constant=_no_json)
    except (ValueError, RecursionError):
        raise BadMessage("the message is not JSON, so it is not an Afterward envelope") from None
    if not isinstance(value, dict) or "afterward" not in value:
        raise BadMessage("the message is not an Afterward envelope")
    if (made := value["afterward"]) != FORMAT:
        newer = isinstance(made, int) and made > FORMAT
        kind = NewerMessage if newer else BadMessage
        raise kind(f"the envelope has format {made!r:.40}, and this code knows format {FORMAT}")
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
    for name, one in known.items():
        if not isinstance(one, _TYPES[name]):
            raise BadMessage(f"the envelope's `{name}` has the wrong type")
    try:
        return kind(**known)
    except TypeError:
        missing = [f.name for f in fields(kind) if f.default is f.default_factory is MISSING and f.name not in known]
        raise BadMessage(f"the envelope lacks {', '.join(missing)}") from None


_TYPES: dict[str, type | tuple[type, ...]] = {
    "id": str,
    "task": str,
    "version": int,
    "arguments": dict,
    "even_if_failed": bool,
    "delay": (int, float),
    "callback": bool,
    "owner": str,
    "created": str,
    "run": int,
    "leg": int,
    "not_before": (int, float),
    "group": str,
    "digest": str,
    "chain": str,
    "links": int,
    "named": dict,
    "broken_by": str,
    "broken_as": str,
    "ended": (int, float),
    "join": str,
    "member": int,
    "members": int,
    "rest": tuple,
}
