"""The library's guards, each with the edit that takes it out and the scenario that notices it (see `guards`)."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Guard:
    """`why`: what goes wrong without it. `old` stands once in `file` and becomes `new`, so do the pairs of `also`.

    `scenario` is what pytest is told to run. `hangs`: it notices the loss by running into its time limit, too.
    """

    name: str
    why: str
    file: str
    old: str
    new: str
    scenario: str
    also: tuple[tuple[str, str], ...] = ()
    hangs: bool = False

    @property
    def edits(self) -> tuple[tuple[str, str], ...]:
        return ((self.old, self.new), *self.also)


_HOMES = {
    "single": "once poison large duplicate overtaken overtaken-chain overtaken-chosen short-visibility worn-out "
    "single long-single stumble",
    "loops": "loop loop-once",
    "chains": "chain broken-chain cancel-running cancel-queued",
    "groups": "group group-within",
    "fan_out": "fan-out fan-out-broken",
    "retries": "retry retry-repeated retry-in-group",
    "requests": "chosen chosen-repeated chosen-delayed chosen-by-another keyed keyed-repeated request-key "
    "request-key-repeated",
}
"""The workloads in each file of crash points."""


def home(workload: str) -> str:
    """Return the file that holds a workload's crash points."""
    (found,) = (name for name, workloads in _HOMES.items() if workload in workloads.split())
    return f"tests/faults/test_crash_{found}.py"


def crash(workload: str, fault: str) -> str:
    """Name the cases of a workload in which any one of its calls meets this fault; call numbers come and go."""
    return f'{home(workload)} -k "[{workload}- and -{fault}]"'


def schedules(kind: str, chunk: int) -> str:
    """Name the random schedules from this seed on; `kind` says how far clocks differ."""
    return f"tests/faults/test_schedules.py::test_clocks_{kind}[{chunk}-{chunk + 19}]"


def unit(test: str) -> str:
    return f"tests/unit/{test}"


_LAYER = "layers/afterward/afterward/"

CLAIM = (
    Guard(
        name="the condition on the claim",
        why="a duplicate begins a job again that runs or has ended",
        file=_LAYER + "dynamodb.py",
        old='f"attribute_not_exists(pk) OR ({admitted})"',
        new='f"attribute_not_exists(pk) OR attribute_exists(pk) OR ({admitted})"',
        scenario=crash("group", "reply-lost"),
    ),
    Guard(
        name="only who finds the lease ended claims a running job",
        why="two attempts of one job run at the same time",
        file=_LAYER + "records.py",
        old="record.status is Status.RUNNING and record.lease <= self.now",
        new="record.status is Status.RUNNING",
        scenario=schedules("agree", 0),
    ),
    Guard(
        name="a lease outlives its invocation by a margin",
        why="with clocks that differ, a second attempt begins beside the first",
        file=_LAYER + "delivery.py",
        old="lease=self.deadline + SKEW",
        new="lease=self.deadline",
        scenario=unit("test_delivery.py::test_the_record_is_running_under_a_lease_while_the_task_runs"),
    ),
    Guard(
        name="the claim counts attempts up to the limit",
        why="a job that kills its workers is tried for ever",
        file=_LAYER + "dynamodb.py",
        old="#run = :run AND #attempt < #limit AND ",
        new="#run = :run AND ",
        scenario=crash("once", "killed-after"),
    ),
    Guard(
        name="the claim is of the record's run",
        why="a late message of an older run begins the job in a newer one",
        file=_LAYER + "records.py",
        old="record.run != self.fresh.run or record.attempt >= record.limit",
        new="record.attempt >= record.limit",
        scenario=schedules("agree", 40),
    ),
    Guard(
        name="the claim waits until the job is due",
        why="a duplicate runs a job before its backoff is over",
        file=_LAYER + "dynamodb.py",
        old="(#status = :queued AND #not_before <= :now)",
        new="(#status = :queued)",
        scenario=crash("stumble", "reply-lost"),
    ),
    Guard(
        name="the claim is of the same request",
        why="a refused request's stray message runs under an id that is another one's by then",
        file=_LAYER + "dynamodb.py",
        old='_OPEN + (_SAME_REQUEST if claim.fresh.digest else "")',
        new="_OPEN",
        scenario=crash("chosen-by-another", "replies-lost"),
    ),
    Guard(
        name="a message of another request is dropped",
        why="a refused request's stray message hands over for a job that is another one's",
        file=_LAYER + "delivery.py",
        old="if stands is not None and not stands.answers(self._envelope.digest):",
        new="if stands is not None and not stands.answers(stands.digest):",
        scenario=crash("chosen-by-another", "replies-lost"),
    ),
)

FENCE = (
    Guard(
        name="the fence: a write asks for the last write's nonce",
        why="who was overtaken or cancelled writes over what has happened since",
        file=_LAYER + "memory.py",
        old="(record.nonce, record.attempt) if record else None",
        new='("", record.attempt) if record else None',
        scenario=schedules("agree", 0),
    ),
    Guard(
        name="the fence asks for the attempt, too",
        why="a claim that arrives a second time, late, lets the older attempt write over the newer one",
        file=_LAYER + "memory.py",
        old="(record.nonce, record.attempt) if record else None",
        new="(record.nonce, 0) if record else None",
        scenario=unit(
            "test_records.py::test_a_claim_that_arrives_late_again_fences_the_attempt_that_it_began_once[memory]"
        ),
    ),
    Guard(
        name="our own nonce in a refusal is our success",
        why="a write whose reply was lost, and that botocore repeats, looks like somebody else's",
        file=_LAYER + "dynamodb.py",
        old="return Written(stands) if stands is not None and stands.nonce == nonce else Held(stands)",
        new="return Held(stands)",
        scenario=crash("once", "reply-lost"),
    ),
    Guard(
        name="an attempt remembers its writes that were never answered",
        why="it takes its own write for somebody else's, and stops",
        file=_LAYER + "lease.py",
        old="if stands is not None and stands.nonce in self._unsure:",
        new="if stands is not None and stands.nonce in ():",
        scenario=crash("loop-once", "replies-lost"),
    ),
    Guard(
        name="and which effects such a write has carried",
        why="they are committed a second time",
        file=_LAYER + "lease.py",
        old="self._stands(stands, self._unsure[stands.nonce])",
        new="self._stands(stands, 0)",
        scenario=schedules("agree", 0),
    ),
)

EFFECTS = (
    Guard(
        name="effects and completion are one transaction (effects first)",
        why="a worker that dies in between leaves effects that its successor has again",
        file=_LAYER + "dynamodb.py",
        old="            return self._swap_with(effects, old, new)\n",
        new=(
            "            from afterward.transaction import requested\n\n"
            "            for one in effects:\n"
            '                self._call("transact_write_items", table=False, TransactItems=[requested(one)])\n'
        ),
        scenario=crash("single", "reply-lost"),
    ),
    Guard(
        name="effects and completion are one transaction (completion first)",
        why="a worker that dies in between leaves a completed job without its effects",
        file=_LAYER + "dynamodb.py",
        old="            return self._swap_with(effects, old, new)\n",
        new=(
            "            from afterward.transaction import requested\n\n"
            '            outcome = self._written(new, "update_item", **_update(old, new))\n'
            "            for one in effects if isinstance(outcome, Written) else ():\n"
            '                self._call("transact_write_items", table=False, TransactItems=[requested(one)])\n'
            "            return outcome\n"
        ),
        scenario=crash("single", "killed-after"),
    ),
    Guard(
        name="effects that are committed are forgotten",
        why="the next checkpoint commits them again",
        file=_LAYER + "effects.py",
        old="del self._staged[:count]",
        new="pass",
        scenario=schedules("agree", 0),
    ),
    Guard(
        name="what is added behind a write in doubt is kept apart from what that carried",
        why="it is taken for committed with it, and lost",
        file=_LAYER + "effects.py",
        old="if batch and len(self._staged) > self._carried:",
        new="if batch and self._staged:",
        scenario=schedules("agree", 0),
    ),
    Guard(
        name="a retry goes on from the checkpoint",
        why="effects that were committed with it happen again",
        file=_LAYER + "steering.py",
        old="anew = {} if stands.checkpoint else {",
        new='anew = {"checkpoint": None} | {',
        scenario=schedules("agree", 0),
    ),
)

END = (
    Guard(
        name="a message that is given back stays on its queue",
        why="a job that waits has no message any more",
        file=_LAYER + "event.py",
        old="            except GiveBack:\n                kept.append(message.id)\n",
        new="            except GiveBack:\n                pass\n",
        scenario=schedules("agree", 0),
    ),
    Guard(
        name="a message whose service failed stays on its queue",
        why="a job that was never claimed has no message any more",
        file=_LAYER + "event.py",
        old='logger.exception("the message stays on its queue")\n                kept.append(message.id)\n',
        new='logger.exception("the message stays on its queue")\n',
        scenario=crash("single", "refused"),
    ),
    Guard(
        name="a duplicate of a running job waits out the lease",
        why="where it is the only message left, a killed worker is never replaced",
        file=_LAYER + "delivery.py",
        old="self._give_back(stands.lease - self._now + 1)",
        new='logger.info("dropped")',
        scenario=crash("short-visibility", "killed-after"),
    ),
    Guard(
        name="a message comes again after a failed attempt",
        why="its job is queued for ever",
        file=_LAYER + "delivery.py",
        old="if self._end(lease, pending | waiting):\n            self._come_again(delay)",
        new='if self._end(lease, pending | waiting):\n            logger.info("later")',
        scenario=schedules("agree", 0),
    ),
    Guard(
        name="the last attempt that never ended fails the job",
        why="it is running for ever, and its message comes for ever",
        file=_LAYER + "delivery.py",
        old="        elif stands.attempt >= stands.limit:\n            self._give_up(stands)\n",
        new="",
        scenario=schedules("agree", 0),
    ),
    Guard(
        name="a store that does not answer is asked again",
        why="throttling for a moment costs the only attempt",
        file=_LAYER + "patience.py",
        old="if unavailable.lasting or clock.now() + 2 * pause + RESERVE > until:",
        new="if unavailable:",
        scenario=crash("once", "throttled"),
    ),
    Guard(
        name="what the status says will pass is asked again, too",
        why="a server's error of a name that nobody knows costs another delivery",
        file=_LAYER + "aws.py",
        old="status in _PASSING_STATUSES or status >= 500 or any(",
        new="any(",
        scenario=unit("test_patience.py::test_what_passes_is_told_by_its_status_too"),
    ),
    Guard(
        name="a claim leaves the attempt half of the invocation",
        why="the only attempt is spent on waiting for the table",
        file=_LAYER + "delivery.py",
        old="until = (self._now + self.deadline) / 2",
        new="until = self.deadline",
        scenario=unit("test_patience.py::test_an_attempt_that_would_begin_late_is_not_spent"),
    ),
    Guard(
        name="a table that does not answer is asked for one message of a batch only",
        why="each of the others is received again at once, until it is worn out",
        file=_LAYER + "worker.py",
        old="                unanswered = True\n                raise\n",
        new="                raise\n",
        scenario=unit("test_worker.py::test_a_table_that_does_not_answer_is_asked_for_one_message_of_a_batch"),
    ),
    Guard(
        name="progress begins where the last attempt came to",
        why="it falls when a job is tried again",
        file=_LAYER + "delivery.py",
        old="floor=record.progress,",
        new="floor=0,",
        scenario=schedules("agree", 20),
    ),
    Guard(
        name="going on in another invocation does not count as an attempt",
        why="a job that takes longer than its limit of invocations fails",
        file=_LAYER + "delivery.py",
        old='"not_before": 0.0, "limit": lease.record.limit + 1}',
        new='"not_before": 0.0}',
        scenario=unit("test_delivery.py::test_a_continued_job_still_has_all_its_attempts"),
    ),
    Guard(
        name="but one that came no further does",
        why="a task that ignores its checkpoints goes on for ever",
        file=_LAYER + "delivery.py",
        old="        if progress.stalled:\n",
        new="        if progress.stalled and lease.record.attempt > 20:\n",
        scenario=unit("test_delivery.py::test_a_task_that_ignores_its_checkpoints_does_not_go_on_for_ever"),
    ),
    Guard(
        name="an attempt that reported more came further",
        why="a task whose checkpoint only names what it waits for fails",
        file=_LAYER + "progress.py",
        old=" and self._done == self._floor",
        new="",
        scenario=unit("test_delivery.py::test_a_task_that_reports_more_has_not_stalled"),
    ),
    Guard(
        name="so did one that first saves where the one before stopped, and goes on",
        why="a task that saves its state as it begins fails",
        file=_LAYER + "progress.py",
        old="return again and not resumed",
        new="return again",
        scenario=unit("test_delivery.py::test_a_task_that_first_saves_where_it_is_has_not_stalled"),
    ),
    Guard(
        name="but not one that saves only that",
        why="a task that needs its whole invocation to begin goes on for ever",
        file=_LAYER + "progress.py",
        old="self._first == self._restored and self._last != self._restored",
        new="self._first == self._restored",
        scenario=unit("test_delivery.py::test_a_task_that_saves_the_same_and_comes_no_further_has_stalled"),
    ),
    Guard(
        name="a message that newer code has made waits for that code",
        why="jobs that are added during a deploy fail",
        file=_LAYER + "delivery.py",
        old="if self._now - self.message.sent < DEPLOY:",
        new="if self._now - self.message.sent < 0:",
        scenario=unit("test_deploys.py::test_a_job_of_a_newer_version_waits_for_its_code"),
    ),
)

HAND_OVER = (
    Guard(
        name="a finished job's duplicate hands over again",
        why="where the worker died before its hand-over, the rest of the chain never runs",
        file=_LAYER + "delivery.py",
        old="        self._hand_over(stands, again=True)\n",
        new="",
        scenario=crash("once", "killed-after"),
    ),
    Guard(
        name="a group's job that is found finished is counted again",
        why="where the worker died before it counted, what follows the group never runs",
        file=_LAYER + "handover.py",
        old="        over = _join(backend, envelope, ended)\n",
        new="        over = None if again else _join(backend, envelope, ended)\n",
        scenario=crash("group", "killed-after"),
    ),
    Guard(
        name="the last job of a group goes on in the run of what follows",
        why="what a retry has taken along gets a message of an older run, and waits for ever",
        file=_LAYER + "handover.py",
        old="ended, envelope = over.broken, _in_their_run(backend, envelope, over.run)",
        new="ended = over.broken",
        scenario=schedules("agree", 0),
    ),
    Guard(
        name="what a retry took along keeps its place when it is retried itself",
        why="a hand-over that is repeated counts its group with fewer places, and what follows never runs",
        file=_LAYER + "records.py",
        old="return run == self.run or str(run) in self.taken.split()",
        new="return run == self.run",
        scenario=unit(
            "test_retrying.py::test_a_group_is_counted_as_before_by_a_hand_over_that_is_repeated_after_a_later_retry"
        ),
    ),
    Guard(
        name="what it did not take along has none",
        why="a group waits for ever for a job that runs in a later run, outside of it",
        file=_LAYER + "records.py",
        old="return run == self.run or str(run) in self.taken.split()",
        new="return run <= self.run",
        scenario=schedules("differ_a_little", 1_000_060),
    ),
    Guard(
        name="how many messages are sent is said of one run",
        why="a large group that a retry brings back is taken for sent, and waits for ever",
        file=_LAYER + "handover.py",
        old="if noted == str(run) else 0",
        new="if noted else 0",
        scenario=unit("test_retrying.py::test_a_retry_sends_all_of_a_large_group_although_the_run_before_has_sent_it"),
    ),
    Guard(
        name="a job is counted in its set only by the run that its seat waits for",
        why="a late message of an older run counts a job that runs again",
        file=_LAYER + "memory.py",
        old="if run < self._runs.get((key, slot), 0):",
        new="if run < 0:",
        scenario=unit("test_retrying.py::test_a_retried_member_is_not_counted_by_its_old_run[memory]"),
    ),
    Guard(
        name="children are stored before their parent completes",
        why="a worker that dies in between loses them",
        file=_LAYER + "delivery.py",
        old="            self._patiently(lambda: children.store(self.backend.blobs))\n",
        new='            self.__dict__["added"] = children\n',
        also=(
            (
                'logger.info("completed")',
                'self._patiently(lambda: self.__dict__["added"].store(self.backend.blobs))',
            ),
        ),
        scenario=crash("fan-out", "killed-after"),
    ),
)

DEAD_LETTERS = (
    Guard(
        name="a failed job's record says that its archive is owed",
        why="a worker that dies before the dead letter leaves a failure that nobody can retry",
        file=_LAYER + "records.py",
        old='"message": f"Task failed: {reason}",\n        "owes": "archive",',
        new='"message": f"Task failed: {reason}",\n        "owes": "",',
        scenario=schedules("agree", 0),
    ),
    Guard(
        name="a job's failure is written before its dead letter is sent",
        why="a worker that dies in between leaves a letter that waits for an attempt which is dead",
        file=_LAYER + "delivery.py",
        old=(
            "        if self._end(lease, pending | failed(reason)):\n"
            "            self._bury(lease.record, reason, type(error).__name__)\n"
        ),
        new=(
            "        self._dead_letter(reason, type(error).__name__)\n"
            "        if self._end(lease, pending | failed(reason)):\n"
            "            self._hand_over(lease.record)\n"
        ),
        scenario=unit("test_delivery.py::test_a_crash_before_the_dead_letter_is_made_good"),
    ),
    Guard(
        name="a failed job's duplicate sends its dead letter again",
        why="the failure is never archived",
        file=_LAYER + "delivery.py",
        old='            self._dead_letter(stands.reason or "", "")\n',
        new="            pass\n",
        scenario=crash("broken-chain", "killed-after"),
    ),
    Guard(
        name="a dead letter is archived before the record says so",
        why="a function that dies in between leaves a failure that nobody can retry",
        file=_LAYER + "dead_letters.py",
        old=(
            "        keep_job(self.backend, envelope, self._first_id, attempts=attempts, reason=reason, "
            "error=self._error)\n"
            "        hand_over(self.backend, envelope, self._finish(envelope, record, reason), again=True)\n"
        ),
        new=(
            "        finished = self._finish(envelope, record, reason)\n"
            "        keep_job(self.backend, envelope, self._first_id, attempts=attempts, reason=reason, "
            "error=self._error)\n"
            "        hand_over(self.backend, envelope, finished, again=True)\n"
        ),
        scenario=crash("broken-chain", "killed-after"),
    ),
    Guard(
        name="a dead letter that comes again hands over",
        why="where the function died before its hand-over, the rest of the chain never ends",
        file=_LAYER + "dead_letters.py",
        old="            hand_over(self.backend, envelope, record, again=True)\n            return\n",
        new="            return\n",
        scenario=crash("worn-out", "killed-after"),
    ),
    Guard(
        name="a dead letter waits for a running attempt",
        why="a job fails while it runs",
        file=_LAYER + "dead_letters.py",
        old="if record.held(now):",
        new="if record.held(now) and not record.held(now):",
        scenario=schedules("agree", 0),
    ),
    Guard(
        name="a dead letter is of the record's run",
        why="an old failure fails the job's retry",
        file=_LAYER + "dead_letters.py",
        old="if record is not None and record.run != envelope.run:",
        new="if record is not None and record.run != record.run:",
        scenario=unit("test_dead_letters.py::test_a_letter_of_another_run_is_dropped"),
    ),
    Guard(
        name="a job whose envelope is gone cancels what comes after it",
        why="that waits for ever",
        file=_LAYER + "dead_letters.py",
        old="            give_up(self.backend, named, record)\n",
        new="",
        scenario=unit("test_dead_letters.py::test_what_comes_after_a_job_whose_envelope_is_gone_is_cancelled"),
    ),
    Guard(
        name="it owes its archive until all of that is cancelled",
        why="a function that dies in between leaves the rest waiting for ever",
        file=_LAYER + "dead_letters.py",
        old='            give_up(self.backend, named, record)\n            self._written(record, {"owes": ""})\n',
        new='            give_up(self.backend, named, self._written(record, {"owes": ""}))\n',
        scenario=unit("test_dead_letters.py::test_a_crash_before_all_of_it_is_cancelled_is_made_good"),
    ),
    Guard(
        name="what a retry has taken along since is not cancelled with it",
        why="a job is cancelled whose message is still to come",
        file=_LAYER + "handover.py",
        old="        if one.run in runs:\n",
        new="        if one.run in {one.run, *runs}:\n",
        scenario=unit("test_dead_letters.py::test_what_a_retry_has_taken_along_is_not_cancelled"),
    ),
    Guard(
        name="a job that its owner cancels is archived",
        why="it cannot be retried",
        file=_LAYER + "delivery.py",
        old=(
            "        if stands.status is Status.CANCELLED and stands.owes:\n"
            "            self._keep(stands)\n            return\n"
        ),
        new="",
        scenario=schedules("agree", 0),
    ),
)

STEERING = (
    Guard(
        name="a retry is sent, then written",
        why="a request that dies in between leaves a queued job without a message",
        file=_LAYER + "steering.py",
        old="        self.backend.queues.send([pack(envelope, self.backend.blobs)])\n",
        new="",
        also=(
            (
                'logger.info("run %d, with %d jobs behind it", new.run, len(again))',
                "self.backend.queues.send([pack(envelope, self.backend.blobs)])",
            ),
        ),
        scenario=crash("retry", "killed-after"),
    ),
    Guard(
        name="a retry's message waits for its record",
        why="it is dropped before the record says the new run, and that has no message",
        file=_LAYER + "delivery.py",
        old="            self._wait_for_run()\n",
        new='            logger.info("dropped")\n',
        scenario=unit("test_retrying.py::test_a_message_of_a_retry_waits_for_its_record"),
    ),
    Guard(
        name="a message of an older run is dropped",
        why="it hands over, or waits, for the newer run",
        file=_LAYER + "delivery.py",
        old="elif stands.run > self._envelope.run:",
        new="elif stands.run > stands.run:",
        scenario=schedules("agree", 80),
    ),
    Guard(
        name="no two retries of a chain have the same run",
        why="the message of a retry that died runs the job of another one",
        file=_LAYER + "steering.py",
        old="return self.backend.records.next_run(self.record.owner, chain, 1 + max(runs), self.backend.clock.now())",
        new="return 1 + max(runs)",
        scenario=unit("test_retrying.py::test_a_message_of_a_retry_that_died_never_runs"),
    ),
    Guard(
        name="a retry empties its seats in the sets of its group",
        why="what follows the group runs before the retried job is over",
        file=_LAYER + "steering.py",
        old="leaving = [seat for seat, _ in seats(envelope)] if rest else []",
        new="leaving = [seat for seat, _ in seats(envelope)] if not rest else []",
        scenario=schedules("agree", 0),
    ),
)

ACCEPT = (
    Guard(
        name="a message is sent before its record is put",
        why="a request that dies in between leaves a job that is queued for ever",
        file=_LAYER + "publish.py",
        old="            _reserve(backend, promise, reserved, now)\n",
        new=(
            "            _reserve(backend, promise, reserved, now)\n"
            "            if not reserved.made:\n"
            "                _put(backend, promise.records(backend, now))\n"
        ),
        scenario=crash("single", "killed-after"),
    ),
    Guard(
        name="a put does not overwrite what a worker has made",
        why="a job that runs or has ended is queued again",
        file=_LAYER + "memory.py",
        old="            if stands is None:\n                stands = self._records[record.key] = record\n",
        new="            stands = self._records[record.key] = record\n",
        scenario=schedules("agree", 0),
    ),
    Guard(
        name="an id that the client chooses is put before it is sent",
        why="two requests run under one id",
        file=_LAYER + "publish.py",
        old="        for promise in promises:\n            _reserve(backend, promise, reserved, now)\n",
        new="",
        also=(
            (
                "    except AfterwardError:\n",
                "        [_reserve(backend, one, reserved, now) for one in promises]\n    except AfterwardError:\n",
            ),
        ),
        scenario=crash("chosen-by-another", "replies-lost"),
    ),
    Guard(
        name="what was put for a refused request is taken back",
        why="its id stays taken by a job that never runs",
        file=_LAYER + "publish.py",
        old="        _take_back(backend, reserved.made)\n",
        new="",
        scenario=crash("chosen", "refused"),
    ),
    Guard(
        name="but only while nobody has written to it",
        why="a request whose message arrived after all removes a job that has run",
        file=_LAYER + "dynamodb.py",
        old='"ConditionExpression": "#nonce = :old",',
        new='"ConditionExpression": "attribute_exists(#nonce) OR #nonce = :old",',
        scenario=crash("overtaken-chosen", "replies-lost"),
    ),
    Guard(
        name="a record that is put before its message expires",
        why="a request that dies in between leaves a job that is queued for ever",
        file=_LAYER + "publish.py",
        old="records = [replace(one, expires=int(now) + KEEP_RESERVED) for one in promise.records(backend, now)]",
        new="records = promise.records(backend, now)",
        scenario=crash("chosen", "killed-after"),
    ),
    Guard(
        name="the request keeps it when the message is sent",
        why="the record of a job that waits longer is gone",
        file=_LAYER + "publish.py",
        old="    _confirm(backend, [*reserved.made, *reserved.found])\n",
        new="",
        scenario=unit("test_reservations.py::test_a_record_whose_message_is_sent_stays[aws]"),
    ),
    Guard(
        name="so does the claim",
        why="the record of a job that is under way is gone within the hour",
        file=_LAYER + "records.py",
        old="            expires=self.fresh.expires,\n",
        new="",
        scenario=unit("test_reservations.py::test_a_claim_keeps_a_reservation[memory]"),
    ),
    Guard(
        name="the repeat of a request sends again what has not begun",
        why="a request that died between put and send is completed by nobody",
        file=_LAYER + "publish.py",
        old="promise.due = _missing(backend, promise.due, stands)",
        new="promise.due = []",
        scenario=crash("keyed-repeated", "killed-after"),
    ),
    Guard(
        name="and keeps what it has found reserved",
        why="the record of a job that is promised by then is gone",
        file=_LAYER + "publish.py",
        old="        reserved.found.append(stands)\n",
        new="        pass\n",
        scenario=unit("test_reservations.py::test_a_repeat_within_the_hour_completes_it"),
    ),
    Guard(
        name="but not what has begun",
        why="the attempt that runs takes that write for somebody else's, and stops",
        file=_LAYER + "publish.py",
        old="    if stands.owes_message:\n        reserved",
        new="    if stands:\n        reserved",
        scenario=unit("test_publish.py::test_a_repeat_leaves_a_running_attempt_alone"),
    ),
    Guard(
        name="an id that nobody was promised is not in use",
        why="a request that was refused is refused for ever, though nobody else has its id",
        file=_LAYER + "publish.py",
        old="promise.repeated = not stands.reserved",
        new="promise.repeated = True",
        scenario=unit("test_publish.py::test_a_used_id_heals_what_it_finds"),
    ),
    Guard(
        name="records that are not kept together are kept one by one",
        why="one job that has begun lets the others of its request be gone within the hour",
        file=_LAYER + "publish.py",
        old="backend.clock, now + CONFIRMING) and len(some) > 1:",
        new="backend.clock, now + CONFIRMING) and not some:",
        scenario=unit("test_publish.py::test_one_of_many_jobs_that_has_begun_keeps_no_other_from_being_kept"),
    ),
    Guard(
        name="the jobs of a group that a request begins with are reserved as well",
        why="a job that is promised never runs, since that of a request that was refused half way has its id",
        file=_LAYER + "publish.py",
        old="if call.chosen or one.id in group]",
        new="if call.chosen]",
        scenario="tests/faults/test_half_a_group.py::test_another_request_is_not_promised_what_such_a_job_has_taken",
    ),
)

GUARDS = (*CLAIM, *FENCE, *EFFECTS, *END, *HAND_OVER, *DEAD_LETTERS, *STEERING, *ACCEPT)
