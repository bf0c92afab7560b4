"""The Lambda handler of one task: an SQS event becomes attempts and a partial batch response."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from afterward import log, startup
from afterward.backend import Backend, backend
from afterward.builtin import BUILTIN
from afterward.delivery import Delivery, Unclaimed
from afterward.depends import needs_of
from afterward.event import Context, GiveBack, Response, settle_all
from afterward.execution import Execution, Implementation
from afterward.queues import Incoming
from afterward.settings import on_lambda

if TYPE_CHECKING:
    from afterward.declaration import Task

LEAST = 1.0
"""Seconds below which no other message of a batch is begun."""


class Worker:
    """Runs the jobs of one task. On Lambda its backend is made here, at init; elsewhere on first use."""

    def __init__(self, task: "Task[...]", implementation: Implementation, *, using: Backend | None = None) -> None:
        self.task = task
        self.implementation = implementation
        self.label = (
            f"{implementation.__module__}.{getattr(implementation, '__qualname__', type(implementation).__name__)}"
        )
        self.needs = needs_of(f"task {task.name}: {self.label}", implementation, task.signature, BUILTIN)
        self._execution = Execution(implementation, self.needs)
        if on_lambda():
            self._execution.prepare()
        self._using = startup.finish() or using

    def __call__(self, event: Mapping[str, Any], context: Context) -> Response:
        """Run a batch one by one; what does not fit into the invocation any more goes back to the queue, unclaimed."""
        using = self._using or backend()
        return self.run(event, context, using)

    def run(self, event: Mapping[str, Any], context: Context, using: Backend) -> Response:
        """Do the same with a backend of the caller's choice."""
        now = using.clock.now
        deadline = now() + context.get_remaining_time_in_millis() / 1000
        longest, unanswered = 0.0, False

        def settle(message: Incoming) -> None:
            nonlocal longest, unanswered
            if unanswered:
                raise GiveBack  # and stay hidden: to be received again at once would only wear the message out
            began = now()
            if longest and deadline - began < max(LEAST, 1.5 * longest):
                using.queues.put_off(self.task.name, message, 0)
                raise GiveBack
            try:
                Delivery(self.task, self._execution, using, message, deadline).settle()
            except Unclaimed:
                unanswered = True
                raise
            finally:
                longest = max(longest, now() - began)

        with log.context(task=self.task.name, request_id=context.aws_request_id):
            return settle_all(event, settle)

    def close(self) -> None:
        """Close what was provided for this environment."""
        self._execution.close()
