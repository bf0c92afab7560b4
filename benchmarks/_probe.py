"""One cold start, in a process of its own: `python -B -S -P _probe.py HANDLER EVENT PATH...`.

Prints in its last line, as JSON, what it took: import and init of the handler's module, then one event. What this
module imports comes free to the functions, so it is only what Lambda's own runtime has loaded before them, too.
"""

import json
import sys
import time


class Context:
    """The part of Lambda's context that handlers use."""

    aws_request_id = "8f507cfc-0000-4697-b07a-ac58fc914c95"
    function_name = "benchmark"
    function_version = "$LATEST"
    invoked_function_arn = "arn:aws:lambda:us-east-1:123456789012:function:benchmark"
    memory_limit_in_mb = "1024"

    def get_remaining_time_in_millis(self) -> int:
        return 10_000


def main(handler: str, event: str, *path: str) -> None:
    sys.path[:0] = path
    module, _, name = handler.rpartition(".")
    parsed = json.loads(event)
    began = time.perf_counter()
    function = getattr(__import__(module), name)
    ready = time.perf_counter()
    answer = function(parsed, Context())
    ended = time.perf_counter()
    took = {"init": (ready - began) * 1000, "event": (ended - ready) * 1000, "total": (ended - began) * 1000}
    print("\n" + json.dumps({"took": took | {"memory": peak_memory(), "modules": len(sys.modules)}, "answer": answer}))


def peak_memory() -> float:
    """Return in MB the most that this process had in memory; getrusage would count its parent's before exec, too."""
    with open("/proc/self/status", encoding="ascii") as status:  # noqa: PTH123 - pathlib is an import
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) / 1024


if __name__ == "__main__":
    main(*sys.argv[1:])
