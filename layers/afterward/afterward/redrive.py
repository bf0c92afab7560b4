"""`python -m afterward.redrive`: bring failed jobs back from the archive, as new runs.

```
python -m afterward.redrive --stack afterward --task send_email --error SMTPServerDisconnected --since 2h --dry-run
```

Every job goes the way of a retry by its owner (`afterward.steering`), with what its failure has cancelled behind it; so
what was retried meanwhile, by whomever, is left as it is, and two redrives at one time start one run.

It costs a request to S3 per 1,000 letters and one for each of them (eight at a time; 100,000 letters are 4 cents), a
read from the table for each that the filters admit, and for each job that is redriven one more read from S3, one from
the table where it has a chain behind it, a message, and two writes. Jobs are redriven one after another, so that the
rate is a limit and no promise. `--owner` lists that owner's letters only; `--job` reads that job's only.
"""

import argparse
import json
import math
import os
import signal
import sys
import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from importlib import import_module
from typing import Any, TextIO

from afterward import steering
from afterward.aws import answering, client
from afterward.backend import Backend, backend
from afterward.clock import timestamp
from afterward.declaration import REGISTRY
from afterward.errors import CannotSteer, SettingError, Unavailable, UsageError
from afterward.job import Status
from afterward.letters import UNREADABLE, Letter, Unread, insist, keys, letters
from afterward.pii import mask
from afterward.records import Record

NEVER, ALWAYS = "", "~"
"""Moments before and behind every timestamp."""

RATE = 10.0
"""Jobs a second: the tasks, and what they call, have failed at these jobs once already."""

REASON = 100
"""Characters of a reason that a line shows."""

OURS = "AFTERWARD_"

AGES = {
    "s": timedelta(seconds=1),
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
    "w": timedelta(weeks=1),
}

BLINK = 0.2
"""Seconds after which a pause looks whether it is to end."""

INTERRUPTED = 130
"""The exit status after Ctrl-C, as a shell has it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """What is wanted; nothing given admits everything. `since` and `until` are timestamps, both included."""

    tasks: frozenset[str] = frozenset()
    errors: frozenset[str] = frozenset()
    reason: str = ""
    owner: str = ""
    job: str = ""
    since: str = NEVER
    until: str = ALWAYS

    def admit(self, letter: Letter) -> bool:
        """Say whether a letter is wanted; it may have its task under an earlier name."""
        task = REGISTRY[letter.task].name if letter.task in REGISTRY else letter.task
        return (
            (not self.tasks or task in self.tasks)
            and (not self.errors or letter.error in self.errors)
            and self.reason.casefold() in letter.reason.casefold()
            and self.since <= letter.archived <= self.until
        )


class Came(StrEnum):
    """What came of a job."""

    QUEUED = "queued"
    WOULD = "would be queued"
    SKIPPED = "skipped"
    REFUSED = "refused"
    UNREACHED = "unreached"


_JOINED = {Came.QUEUED: " as "}
"""How what came of a job is joined to why; else by a colon."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """`why` it came so, or as which run; `letter` is None where it could not be read."""

    job: str
    came: Came
    why: str
    letter: Letter | None = None

    @property
    def counts(self) -> bool:
        """Whether it counts towards the limit: the job was queued, or was to be."""
        return self.came in {Came.QUEUED, Came.WOULD, Came.UNREACHED}


@dataclass(slots=True, kw_only=True)
class Redrive:
    """One pass over the archive. `rate` is in jobs a second; `limit` is how many are redriven at most."""

    backend: Backend
    filters: Filters = field(default_factory=Filters)
    rate: float = RATE
    limit: int | None = None
    dry_run: bool = False
    stop: threading.Event = field(default_factory=threading.Event)
    _due: float = 0.0
    _last: tuple[str, str] = ("", "")

    def outcomes(self) -> Iterator[Outcome]:
        """Redrive one job after another and tell what came of each; raise Unavailable where nothing can be listed."""
        counted = 0
        for letter in letters(self.backend, self.filters.owner, self.filters.job):
            outcome = self._outcome(letter)
            if outcome is not None:
                counted += outcome.counts
                yield outcome
            if self.stop.is_set() or counted == self.limit:
                return

    def _outcome(self, letter: Letter | Unread) -> Outcome | None:
        """Return None for a letter that is not wanted, or no more."""
        if isinstance(letter, Unread):
            return Outcome(letter.job, Came.SKIPPED if letter.lost else Came.UNREACHED, letter.why)
        if not self.filters.admit(letter):
            return None
        try:
            return self._redriven(letter)
        except Unavailable as unavailable:
            return Outcome(letter.job, Came.UNREACHED, str(unavailable), letter)
        except (CannotSteer, UsageError) as refusal:
            return Outcome(letter.job, Came.REFUSED, str(refusal), letter)

    def _redriven(self, letter: Letter) -> Outcome | None:
        record = insist(self.backend, lambda: self.backend.records.get(letter.owner, letter.job))
        if record is None:
            return Outcome(letter.job, Came.SKIPPED, "its record is gone", letter)
        if why := self._why_not(letter, record):
            return Outcome(letter.job, Came.SKIPPED, why, letter)
        if letter.task not in REGISTRY:
            raise CannotSteer(f"there is no task {letter.task} any more")
        if self.dry_run:
            return Outcome(letter.job, Came.WOULD, f"run {letter.run} has failed", letter)
        if not self._waited():
            return None
        again = insist(self.backend, lambda: steering.retry(self.backend, record))
        self._last = (letter.owner, letter.job)
        return Outcome(letter.job, Came.QUEUED, f"run {again.run}", letter)

    def _why_not(self, letter: Letter, record: Record) -> str:
        """Return why a job is left as it is, or nothing."""
        # The letters of a job come one behind the other, and the next one may have been written since.
        if (letter.owner, letter.job) == self._last:
            return "redriven just now"
        if record.run != letter.run:
            return "retried since"
        return "" if record.status is Status.FAILED else str(record.status)

    def _waited(self) -> bool:
        """Keep to the rate; return False where the pass is to end instead."""
        clock = self.backend.clock
        while (left := self._due - clock.now()) > 0 and not self.stop.is_set():
            clock.sleep(min(left, BLINK))
        self._due = clock.now() + 1 / self.rate
        return not self.stop.is_set()


@dataclass(slots=True, kw_only=True)
class Report:
    """What is told of a pass: a line for each job, and a summary. `verbose` tells of those that are skipped, too."""

    out: TextIO
    as_json: bool = False
    verbose: bool = False
    counts: Counter[tuple[Came, str]] = field(default_factory=Counter)

    def tell(self, outcome: Outcome) -> None:
        outcome = _masked(outcome)
        grouped = outcome.came in {Came.QUEUED, Came.WOULD}
        self.counts[outcome.came, "" if grouped else outcome.why] += 1
        if self.verbose or outcome.came is not Came.SKIPPED:
            self._print(_object(outcome) if self.as_json else _line(outcome))

    def sum_up(self, *, unreadable: int, ended: str) -> None:
        """`ended` is why the pass did not come to its end."""
        if self.as_json:
            counts = [{"outcome": came, "why": why, "jobs": number} for (came, why), number in self.counts.items()]
            self._print({"summary": counts, "unreadable": unreadable, "ended": ended})
            return
        for (came, why), number in sorted(self.counts.items()):
            self._print(f"{_many(number, 'job')} {came}{why and ': '}{_shown(why)}")
        if not self.counts:
            self._print("no job was found")
        if unreadable:
            what = "messages that are no jobs lie" if unreadable > 1 else "message that is no job lies"
            self._print(f"{unreadable} {what} under {UNREADABLE}")
        if ended:
            self._print(ended)

    @property
    def missed(self) -> bool:
        """Whether a job was not redriven because a service did not answer."""
        return any(came is Came.UNREACHED for came, _ in self.counts)

    def _print(self, told: str | dict[str, Any]) -> None:
        print(told if isinstance(told, str) else json.dumps(told), file=self.out, flush=True)


def _masked(outcome: Outcome) -> Outcome:
    """Leave the ids, by which a job is found again; letters of earlier versions may quote anything in their reasons."""
    letter = outcome.letter
    told = letter and replace(letter, task=mask(letter.task), reason=mask(letter.reason), error=mask(letter.error))
    return replace(outcome, why=mask(outcome.why), letter=told)


def _object(outcome: Outcome) -> dict[str, Any]:
    told = {"job": outcome.job, "outcome": outcome.came, "why": outcome.why}
    return (asdict(outcome.letter) if outcome.letter else {}) | told


def _line(outcome: Outcome) -> str:
    letter = outcome.letter
    told = [letter.task, letter.error or "-", _short(letter.reason)] if letter else []
    return _shown("  ".join([outcome.job, *told, f"{outcome.came}{_JOINED.get(outcome.came, ': ')}{outcome.why}"]))


def _short(reason: str) -> str:
    line = " ".join(reason.split())
    return line if len(line) <= REASON else f"{line[: REASON - 1]}…"


def _shown(text: str) -> str:
    """Keep a reason, which may quote what a user sent, from steering the terminal."""
    return "".join(char if char.isprintable() else "\ufffd" for char in text)


def _many(number: int, thing: str) -> str:
    return f"{number} {thing}{'s' * (number != 1)}"


def main(arguments: Sequence[str] | None = None, using: Backend | None = None, out: TextIO | None = None) -> int:
    """Run the command and return its exit status; wrong usage is SystemExit with 2.

    0: nothing went wrong. 1: a service did not answer, so that jobs were missed. 130: Ctrl-C.
    """
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        _declare(options.tasks)
        stores = using or _backend(options)
        filters = _filters(options, stores.clock.now())
    except (SettingError, UsageError) as error:
        parser.error(str(error))
    report = Report(out=out or sys.stdout, as_json=options.json, verbose=options.verbose)
    with _interrupts() as stop:
        redrive = Redrive(
            backend=stores, filters=filters, rate=options.rate, limit=options.limit, dry_run=options.dry_run, stop=stop
        )
        return _run(redrive, report)


def _run(redrive: Redrive, report: Report) -> int:
    unreadable, status, ended = 0, 0, ""
    try:
        for outcome in redrive.outcomes():
            report.tell(outcome)
        if not redrive.stop.is_set():
            unreadable = sum(1 for _ in keys(redrive.backend, UNREADABLE))
    except Unavailable as unavailable:
        status, ended = 1, f"ended early, since the archive could not be listed: {unavailable}"
    except KeyboardInterrupt:
        redrive.stop.set()
    if redrive.stop.is_set():
        status, ended = INTERRUPTED, "interrupted"
    report.sum_up(unreadable=unreadable, ended=ended)
    return status or int(report.missed)


@contextmanager
def _interrupts() -> Iterator[threading.Event]:
    """Let Ctrl-C end the pass behind the job at hand, and a second one at once."""
    stop = threading.Event()

    def ask(*_: object) -> None:
        stop.set()
        signal.signal(signal.SIGINT, signal.default_int_handler)

    before = signal.signal(signal.SIGINT, ask)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, before)


def _declare(module: str) -> None:
    """Import the tasks' declarations."""
    try:
        import_module(module)
    except ImportError as error:
        raise UsageError(
            f"the tasks' declarations cannot be imported from {module!r} ({error}); "
            "put their folder on PYTHONPATH, or name another module: --tasks MODULE"
        ) from error


def _backend(options: argparse.Namespace) -> Backend:
    if options.stack:
        _take_over(_variables(options.stack, options.function))
    if os.environ.get("AFTERWARD_STORE") == "memory":
        raise SettingError("AFTERWARD_STORE=memory: such jobs live in the process that runs them, and not here")
    try:
        return backend()
    except SettingError as error:
        raise SettingError(f"{error}; --stack NAME takes them all from a deployed stack") from error


def _take_over(variables: Mapping[str, str]) -> None:
    for name in [name for name in os.environ if name.startswith(OURS)]:
        del os.environ[name]
    os.environ.update(variables)


def _variables(stack: str, function: str) -> dict[str, str]:
    """Return the variables of this library that a deployed function has."""
    try:
        with answering("AWS"):
            found = client("cloudformation").describe_stack_resource(StackName=stack, LogicalResourceId=function)
            name = found["StackResourceDetail"]["PhysicalResourceId"]
            settings = client("lambda").get_function_configuration(FunctionName=name)
    except Unavailable as unavailable:
        raise SettingError(f"--stack {stack}: {unavailable.__cause__}") from unavailable
    variables = settings.get("Environment", {}).get("Variables", {})
    return {name: str(value) for name, value in variables.items() if name.startswith(OURS)}


def _filters(options: argparse.Namespace, now: float) -> Filters:
    if unknown := [name for name in options.task if name not in REGISTRY]:
        raise UsageError(
            f"--task {unknown[0]}: {options.tasks} declares no such task, but {', '.join(sorted(REGISTRY))}"
        )
    return Filters(
        tasks=frozenset(REGISTRY[name].name for name in options.task),
        errors=frozenset(options.error),
        reason=options.reason,
        owner=options.owner,
        job=options.job,
        since=_time(options.since, now, NEVER),
        until=_time(options.until, now, ALWAYS),
    )


def _time(moment: datetime | timedelta | None, now: float, otherwise: str) -> str:
    if moment is None:
        return otherwise
    seconds = moment.timestamp() if isinstance(moment, datetime) else now - moment.total_seconds()
    return timestamp(max(0.0, seconds))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m afterward.redrive",
        usage="%(prog)s [options]",
        description="Bring failed jobs back from the archive as new runs, with what their failure has cancelled.",
        epilog="Without --stack the settings are the AFTERWARD_* variables that template.yaml gives to functions.",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--task", action="append", default=[], metavar="NAME", help="jobs of this task; may be repeated")
    add("--error", action="append", default=[], metavar="NAME", help="that failed with this exception; may be repeated")
    add("--reason", default="", metavar="TEXT", help="whose reason has this text in it, in capitals or not")
    add("--owner", default="", metavar="DIGEST", help="of this owner")
    add("--job", default="", metavar="ID", help="this one job")
    add("--since", type=_moment, metavar="TIME", help="archived since: ISO 8601 (UTC unless it says so) or 30m, 2h, 3d")
    add("--until", type=_moment, metavar="TIME", help="archived until")
    add("--limit", type=_count, metavar="N", help="redrive so many at most")
    add("--rate", type=_rate, default=RATE, metavar="N", help="jobs a second (default: %(default)g)")
    add("--dry-run", action="store_true", help="say what would be done, and do nothing")
    add("--verbose", action="store_true", help="also tell of every job that is skipped")
    add("--json", action="store_true", help="print a JSON object a line")
    add("--stack", default="", metavar="NAME", help="take the settings from a deployed stack")
    add("--function", default="DeadLetter", metavar="ID", help="from this function of it (default: %(default)s)")
    add("--tasks", default="catalog", metavar="MODULE", help="where tasks are declared (default: %(default)s)")
    return parser


def _moment(text: str) -> datetime | timedelta:
    with suppress(ValueError, OverflowError):
        if text[-1:] in AGES and text[:-1].isdecimal():
            return int(text[:-1]) * AGES[text[-1]]
        moment = datetime.fromisoformat(text)
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    raise argparse.ArgumentTypeError(f"{text!r} is neither a time like 2026-11-22T14:00 nor an age like 30m, 2h or 3d")


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 up")
    return int(text)


def _rate(text: str) -> float:
    with suppress(ValueError):
        if 0 < float(text) < math.inf:
            return float(text)
    raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")


if __name__ == "__main__":
    sys.exit(main())
