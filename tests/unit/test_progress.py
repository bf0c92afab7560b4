import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from afterward import Progress, UsageError
from afterward.errors import Continue, Stopped, Unavailable
from afterward.progress import CHECKPOINT_LIMIT, MESSAGE_LIMIT
from afterward.testing import START, ManualClock


@dataclass
class Sink:
    """What was written, with the time of it; raises `error` while there is one."""

    clock: ManualClock
    writes: list[dict[str, Any]] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    error: BaseException | None = None

    def __call__(self, changes: dict[str, Any]) -> None:
        if self.error is not None:
            raise self.error
        self.writes.append(changes)
        self.times.append(self.clock.now() - START)


@pytest.fixture
def sink(clock: ManualClock) -> Sink:
    return Sink(clock)


@pytest.fixture
def progress(sink: Sink) -> Progress:
    return Progress(sink, clock=sink.clock)


def place_of(write: dict[str, Any]) -> Any:
    """Return the state and the places that a write's checkpoint holds."""
    checkpoint = json.loads(write["checkpoint"])
    return {name: checkpoint[name] for name in ("state", "tracks")}


def test_a_report_is_stored_at_once(progress: Progress, sink: Sink) -> None:
    """Whoever asks sees that the work has begun."""
    progress.report(1, 10, "Processing item 1 of 10")
    assert sink.writes == [{"progress": 1, "total": 10, "message": "Processing item 1 of 10"}]
    assert (progress.done, progress.message) == (1, "Processing item 1 of 10")


def test_reports_are_gathered_for_a_second(progress: Progress, sink: Sink) -> None:
    """Thousands of reports are a write per second, and each holds the newest of everything."""
    for number in range(1, 3_001):
        progress.report(number, 3_000, f"item {number}" if number % 2 else None)
        sink.clock.advance(0.001)
    assert sink.times == pytest.approx([0, 1, 2], abs=0.01)
    assert sink.writes[-1]["progress"] == pytest.approx(2_000, abs=2)
    assert sink.writes[-1]["message"].startswith("item ")


def test_the_last_report_is_stored_without_another(progress: Progress, sink: Sink) -> None:
    """A task that works on in silence shows what it said last, a second later."""
    progress.report(1)
    progress.report(2)
    assert len(sink.writes) == 1
    sink.clock.advance(1)
    assert sink.writes[1:] == [{"progress": 2}]
    sink.clock.advance(60)
    assert len(sink.writes) == 2


def test_what_was_not_stored_is_stored_with_the_end(progress: Progress, sink: Sink) -> None:
    """One write for both; the timer has nothing left to do."""
    progress.report(1)
    progress.report(2, message="nearly")
    assert progress.pending() == {"progress": 2, "message": "nearly"}
    assert progress.pending() == {}
    sink.clock.advance(60)
    assert len(sink.writes) == 1


def test_a_timer_that_could_not_be_stopped_writes_nothing(sink: Sink) -> None:
    """Its thread had woken already when the checkpoint stored everything."""

    class Unstoppable(ManualClock):
        def call_later(self, seconds: float, call: Callable[[], None]) -> Any:
            later = super().call_later(seconds, call)
            return type("Timer", (), {"cancel": lambda _: later})()

    clock = Unstoppable()
    progress = Progress(sink, clock=clock)
    progress.report(1)
    progress.report(2)
    progress.checkpoint("state")
    clock.advance(60)
    assert len(sink.writes) == 2


def test_a_report_after_the_end_is_refused(progress: Progress) -> None:
    """A thread that the task left behind cannot write into a finished job."""
    progress.pending()
    with pytest.raises(Stopped, match="the attempt is over"):
        progress.report(1)


def test_progress_never_goes_backwards(progress: Progress, sink: Sink) -> None:
    """A task that starts anew shows the highest number."""
    progress.report(5)
    sink.clock.advance(1)
    progress.report(3, message="again")
    assert sink.writes[-1] == {"progress": 5, "message": "again"}


def test_an_earlier_attempts_progress_stays(sink: Sink) -> None:
    """Until this one gets as far."""
    progress = Progress(sink, clock=sink.clock, floor=7)
    progress.report(1, 10)
    assert (progress.done, sink.writes) == (7, [{"progress": 7, "total": 10}])


@pytest.mark.parametrize(("done", "total"), [(-1, None), (1, -1), (2, 1)])
def test_impossible_progress_is_the_tasks_mistake(progress: Progress, done: int, total: int | None) -> None:
    """It says what it got."""
    with pytest.raises(ValueError, match=f"0 <= done <= total, got done={done}, total={total}"):
        progress.report(done, total)


@pytest.mark.parametrize("report", [(0.5, 1), (1, 1.5), ("1", 2)])
def test_progress_is_counted_in_whole_numbers(progress: Progress, sink: Sink, report: tuple[Any, Any]) -> None:
    """A fraction would make a record that nobody can read."""
    with pytest.raises(TypeError):
        progress.report(*report)
    assert sink.writes == []


def test_what_is_a_whole_number_counts_as_one(progress: Progress, sink: Sink) -> None:
    """NumPy's integers, say."""

    class Number:
        def __index__(self) -> int:
            return 3

    progress.report(Number(), Number())  # type: ignore[arg-type]
    assert sink.writes == [{"progress": 3, "total": 3}]
    assert type(sink.writes[0]["progress"]) is int


def test_a_long_message_is_cut(progress: Progress, sink: Sink) -> None:
    """A record has no room for a traceback."""
    progress.report(1, message="x" * 1_000_000)
    assert sink.writes[0]["message"] == "x" * MESSAGE_LIMIT


def test_a_message_leaves_without_personal_data(progress: Progress, sink: Sink) -> None:
    """Wherever it leaves: at once, by the timer, with the end, and to whoever reads what was reported last."""
    for number in range(1, 4):
        progress.report(number, message=f"mail {number} to anna@example.com")
        sink.clock.advance(0.6)
    assert [write["message"] for write in sink.writes] == ["mail 1 to [EMAIL]", "mail 2 to [EMAIL]"]
    assert progress.message == "mail 3 to [EMAIL]"
    assert progress.pending() == {"progress": 3, "message": "mail 3 to [EMAIL]"}


def test_a_message_is_masked_before_it_is_cut(progress: Progress, sink: Sink) -> None:
    """Half an address is personal data that no rule finds, also where the first write of it is refused."""
    room = "x" * (MESSAGE_LIMIT - 6) + " "
    sink.error = Unavailable("throttled")
    progress.report(1, message=f"{room}anna@example.com")
    sink.error = None
    progress.checkpoint("state")
    assert sink.writes[0]["message"] == progress.message == f"{room}[EMAI"


@pytest.mark.parametrize("message", [b"bytes", 1, ["text"]])
def test_a_message_is_text(progress: Progress, sink: Sink, message: Any) -> None:
    """The task learns it where it reports, and not the timer later."""
    progress.report(1)
    with pytest.raises(TypeError, match="a progress message is text"):
        progress.report(2, message=message)
    sink.clock.advance(1)
    assert progress.pending() == {}


def test_a_cancelled_job_stops_at_its_next_report(progress: Progress, sink: Sink) -> None:
    """By an exception that `except Exception` does not catch."""
    sink.error = Stopped("cancelled")
    with pytest.raises(Stopped):
        progress.report(1)


def test_a_job_that_is_cancelled_between_reports_stops_as_well(progress: Progress, sink: Sink) -> None:
    """The timer met it; the task learns it at its next report, due or not."""
    progress.report(1)
    progress.report(2)
    sink.error = Stopped("cancelled")
    sink.clock.advance(1)
    with pytest.raises(Stopped):
        progress.report(3)
    sink.clock.advance(1)
    with pytest.raises(Stopped):
        progress.report(4)
    with pytest.raises(Stopped):
        progress.checkpoint("state")


def test_a_report_that_cannot_be_stored_does_not_end_the_work(
    progress: Progress, sink: Sink, caplog: pytest.LogCaptureFixture
) -> None:
    """It is stored with the next one, and nothing of it is lost."""
    sink.error = Unavailable("throttled")
    progress.report(1, 10, "one")
    assert "progress is not stored yet" in caplog.text
    sink.error = None
    sink.clock.advance(1)
    progress.report(2)
    assert sink.writes == [{"progress": 2, "total": 10, "message": "one"}]


def test_a_report_that_the_timer_cannot_store_is_not_lost(progress: Progress, sink: Sink) -> None:
    """It goes in with the end of the attempt."""
    progress.report(1)
    progress.report(2, message="two")
    sink.error = Unavailable("throttled")
    sink.clock.advance(1)
    assert progress.pending() == {"progress": 2, "message": "two"}


# Checkpoints


def test_a_checkpoint_is_stored_at_once(progress: Progress, sink: Sink) -> None:
    """Also when a report was stored just now, and together with what was reported since."""
    progress.report(1)
    progress.report(2)
    progress.checkpoint({"row": 2})
    (write,) = sink.writes[1:]
    assert (write["progress"], place_of(write)) == (2, {"state": {"row": 2}, "tracks": []})
    sink.clock.advance(60)
    assert len(sink.writes) == 2


def test_the_next_attempt_finds_the_state(progress: Progress, sink: Sink) -> None:
    """As JSON gives it back, in the attempt that saved it too."""
    progress.checkpoint({"rows": (1, 2)})
    again = Progress(sink, clock=sink.clock, saved=sink.writes[-1]["checkpoint"])
    assert progress.state == again.state == {"rows": [1, 2]}
    assert Progress().state is None


def test_a_state_that_changes_after_its_checkpoint_is_not_saved_by_accident(progress: Progress) -> None:
    """What a later loop saves is what was saved, not what the task has changed since."""
    state = {"rows": 1}
    progress.checkpoint(state)
    state["rows"] = 2
    assert progress.state == {"rows": 1}


@pytest.mark.parametrize("state", [object(), {"x": {1, 2}}, math.nan, math.inf, "x" * CHECKPOINT_LIMIT])
def test_a_checkpoint_that_cannot_be_kept_is_refused(progress: Progress, sink: Sink, state: Any) -> None:
    """The one before stays, and a task that goes on without it can."""
    progress.checkpoint("before")
    with pytest.raises(ValueError, match=r"a checkpoint (must be JSON|holds at most 262144 bytes)"):
        progress.checkpoint(state)
    assert progress.state == "before"
    assert list(progress.track([1])) == [1]
    assert place_of(progress.pending()) == {"state": "before", "tracks": [1]}


def test_the_largest_checkpoint_is_kept(progress: Progress, sink: Sink) -> None:
    """The limit counts bytes of state and places."""
    frame = len('{"state":"","tracks":[]}')
    progress.checkpoint("x" * (CHECKPOINT_LIMIT - frame))
    assert place_of(sink.writes[0])["state"] == "x" * (CHECKPOINT_LIMIT - frame)
    with pytest.raises(ValueError, match="at most"):
        progress.checkpoint("x" * (CHECKPOINT_LIMIT - frame + 1))


def test_a_checkpoint_that_cannot_be_stored_is_said(progress: Progress, sink: Sink) -> None:
    """The task counts on it; it is stored with the attempt's end all the same."""
    sink.error = Unavailable("throttled")
    with pytest.raises(Unavailable):
        progress.checkpoint("state")
    assert json.loads(progress.pending()["checkpoint"])["state"] == "state"


def test_a_checkpoint_near_the_deadline_ends_the_invocation(sink: Sink) -> None:
    """It is stored first."""
    progress = Progress(sink, clock=sink.clock, deadline=START + 100)
    sink.clock.advance(97)
    progress.checkpoint("early enough")
    sink.clock.advance(1.5)
    with pytest.raises(Continue):
        progress.checkpoint("late")
    assert progress.state == "late"
    assert "late" in sink.writes[-1]["checkpoint"]


def test_the_next_piece_of_work_must_fit(sink: Sink) -> None:
    """What lay between two checkpoints so far is what the next one is expected to take."""
    progress = Progress(sink, clock=sink.clock, deadline=START + 100)
    sink.clock.advance(10)
    progress.checkpoint(0)
    sink.clock.advance(40)
    progress.checkpoint(1)
    sink.clock.advance(20)
    with pytest.raises(Continue):
        progress.checkpoint(2)
    assert progress.state == 2


# Tracked loops


def test_a_tracked_loop_counts_itself(progress: Progress, sink: Sink) -> None:
    """An item is done when the next one is asked for."""
    items = progress.track(["a", "b", "c"])
    assert (next(items), progress.done) == ("a", 0)
    assert (next(items), progress.done) == ("b", 1)
    assert list(items) == ["c"]
    assert progress.done == 3
    assert sink.writes == [{"progress": 1, "total": 3, "checkpoint": '{"state":null,"tracks":[1]}'}]
    assert progress.pending() == {"progress": 3, "total": 3, "checkpoint": '{"state":null,"tracks":[3]}'}


def test_a_loop_of_unknown_length_counts_without_a_total(progress: Progress, sink: Sink) -> None:
    """Unless it is given."""
    assert list(progress.track(iter("ab"))) == ["a", "b"]
    assert "total" not in sink.writes[0]
    assert list(progress.track(iter("ab"), 2)) == ["a", "b"]
    assert progress.pending()["total"] == 2


def test_a_loop_goes_on_behind_what_is_done(sink: Sink) -> None:
    """The item that was not finished comes again."""
    before = Progress(sink, clock=sink.clock)
    items = before.track(range(5))
    assert [next(items), next(items), next(items)] == [0, 1, 2]
    after = Progress(sink, clock=sink.clock, floor=2, saved=before.pending()["checkpoint"])
    assert list(after.track(range(5))) == [2, 3, 4]
    assert after.done == 5


def test_an_item_that_is_broken_off_is_not_done(progress: Progress) -> None:
    """`break` and exceptions leave it to the next attempt."""
    for item in progress.track(range(5)):
        if item == 2:
            break
    assert progress.done == 2


def test_loops_after_each_other_keep_their_places(sink: Sink) -> None:
    """Each goes on by itself, in the order in which they began."""

    def work(progress: Progress) -> Iterator[str]:
        yield from (f"a{item}" for item in progress.track(range(2)))
        yield from (f"b{item}" for item in progress.track(range(3)))

    before = Progress(sink, clock=sink.clock)
    steps = work(before)
    assert [next(steps) for _ in range(4)] == ["a0", "a1", "b0", "b1"]
    after = Progress(sink, clock=sink.clock, saved=before.pending()["checkpoint"])
    assert list(work(after)) == ["b1", "b2"]


def test_loops_side_by_side_keep_their_places(sink: Sink) -> None:
    """Both were opened before either began."""
    progress = Progress(sink, clock=sink.clock)
    assert list(zip(progress.track("abc"), progress.track("xyz"), strict=True)) == [("a", "x"), ("b", "y"), ("c", "z")]


def test_a_loop_inside_a_loop_is_refused(progress: Progress) -> None:
    """Its place could not be told from that of an earlier round: items would be skipped in silence."""
    outer = progress.track(range(3))
    next(outer)
    with pytest.raises(UsageError, match="cannot be used inside a loop that it counts already"):
        progress.track(range(3))
    outer.close()  # type: ignore[attr-defined]
    assert list(progress.track("a")) == ["a"]


def test_state_and_place_are_saved_together(progress: Progress, sink: Sink) -> None:
    """A checkpoint inside a loop names the items that are done."""
    for item in progress.track(range(2)):
        progress.checkpoint({"last": item})
    assert [place_of(write) for write in sink.writes] == [
        {"state": {"last": 0}, "tracks": [0]},
        {"state": {"last": 1}, "tracks": [1]},
    ]


@pytest.mark.parametrize(
    ("seconds", "cost", "done"),
    [
        (10, 1, 8),  # 2 s are kept for the end, and 1 s for another item
        (100, 30, 3),
        (10, 9, 1),  # the first item always begins
        (1, 0.25, 3),  # of a short invocation a fifth is kept
    ],
)
def test_a_loop_ends_while_there_is_time_for_it(sink: Sink, seconds: float, cost: float, done: int) -> None:
    """Another item like the longest so far would not fit, so the rest is left to another invocation."""
    progress = Progress(sink, clock=sink.clock, deadline=START + seconds)
    items = progress.track(range(100))

    def work() -> None:
        for _ in items:
            sink.clock.advance(cost)

    with pytest.raises(Continue):
        work()
    assert progress.done == done


def test_a_loop_whose_last_item_is_done_does_not_go_on(sink: Sink) -> None:
    """Nothing is left for another invocation."""
    progress = Progress(sink, clock=sink.clock, deadline=START + 10)
    for _ in progress.track([1]):
        sink.clock.advance(9.9)
    assert progress.done == 1


def test_progress_outside_an_attempt_goes_nowhere() -> None:
    """A plain call of an implementation in a test needs no stores."""
    progress = Progress()
    progress.report(1, 2, "half")
    assert list(progress.track("ab")) == ["a", "b"]
    progress.checkpoint("state")
    assert (progress.done, progress.state) == (2, "state")


def test_a_task_may_report_from_its_own_thread(sink: Sink) -> None:
    """Reports are taken one at a time."""
    import threading  # noqa: PLC0415 - only here

    progress = Progress(sink, clock=sink.clock)
    reports: list[Callable[[], None]] = [lambda number=number: progress.report(number) for number in range(50)]  # type: ignore[misc]
    threads = [threading.Thread(target=report) for report in reports]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert progress.done == 49
    assert len(sink.writes) == 1
