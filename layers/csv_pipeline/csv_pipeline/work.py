"""What the jobs of one file leave for each other: JSON objects under the chain's scratch prefix."""

import dataclasses
import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from afterward import Chain
from afterward.records import in_steps
from csv_pipeline.layout import Layout
from csv_pipeline.objects import Objects, Segment
from csv_pipeline.scan import Chunk, Division

JSON = "application/json"

AT_ONCE = 16
"""Requests that are made side by side: they wait for S3, and not for the CPU."""


@dataclass(frozen=True, slots=True)
class Span:
    """One range of the file, and the offsets in it at which chunks should begin."""

    start: int
    end: int
    marks: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How a file is worked on. `source` is the file as it is read, unpacked where it was packed."""

    source: Segment
    rows: str
    layout: Layout
    spans: tuple[Span, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """What a chunk's job needs to know of the file, and all chunks."""

    source: Segment
    rows: str
    layout: Layout
    division: Division


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What one chunk's job has left: two objects, and counts by name and by column."""

    clean: Segment
    rejects: Segment
    counts: dict[str, int]
    columns: dict[str, dict[str, int]]


class Work:
    """The objects of one chain. What is written again is the same, but for parts, which each attempt has of its own."""

    def __init__(self, objects: Objects, chain: Chain) -> None:
        self.objects = objects
        self._folder = f"scratch/{chain.owner}/{chain.id}/csv"

    def key(self, name: str) -> str:
        return f"{self._folder}/{name}"

    def save_plan(self, plan: Plan) -> None:
        self._save("plan.json", plan)

    def plan(self) -> Plan:
        said = self._load("plan.json")
        return Plan(
            source=Segment(**said["source"]),
            rows=said["rows"],
            layout=_layout(said["layout"]),
            spans=tuple(Span(one["start"], one["end"], tuple(one["marks"])) for one in said["spans"]),
        )

    def save_scan(self, number: int, scanned: dict[str, Any]) -> None:
        self._put(_scan(number), scanned)

    def scans(self, count: int) -> list[dict[str, Any]]:
        return [*self._load_all([_scan(number) for number in range(count)])]

    def save_share(self, share: Share) -> None:
        self._save("division.json", share)

    def share(self) -> Share:
        said = self._load("division.json")
        division = said["division"]
        return Share(
            source=Segment(**said["source"]),
            rows=said["rows"],
            layout=_layout(said["layout"]),
            division=Division(
                tuple(Chunk(**one) for one in division["chunks"]), division["rows"], division["encoding"]
            ),
        )

    def save_outcome(self, number: int, outcome: Outcome) -> None:
        self._save(_outcome(number), outcome)

    def outcomes(self, count: int) -> Iterator[Outcome]:
        """Yield the chunks' outcomes in their order: all of them at once may be too much, with thousands of columns."""
        for said in self._load_all([_outcome(number) for number in range(count)]):
            yield Outcome(
                clean=Segment(**said["clean"]),
                rejects=Segment(**said["rejects"]),
                counts=said["counts"],
                columns=said["columns"],
            )

    def _save(self, name: str, value: Any) -> None:
        self._put(name, dataclasses.asdict(value))

    def _put(self, name: str, value: Any) -> None:
        self.objects.put(self.key(name), json.dumps(value, separators=(",", ":")).encode(), JSON)

    def _load(self, name: str) -> Any:
        return json.loads(self.objects.get(self.key(name)))

    def _load_all(self, names: Sequence[str]) -> Iterator[Any]:
        with ThreadPoolExecutor(AT_ONCE) as pool:
            for some in in_steps(names, 10 * AT_ONCE):
                yield from pool.map(self._load, some)


def _scan(number: int) -> str:
    return f"scans/{number:05}.json"


def _outcome(number: int) -> str:
    return f"chunks/{number:05}.json"


def _layout(said: dict[str, Any]) -> Layout:
    return Layout(**said | {"header": tuple(said["header"])})
