"""How long a cold start takes, and how much memory: the API and one task, beside the same application written by hand.

Both as `sam build` leaves them, and without a place to write bytecode to. Every run is a process of its own that
imports the handler and answers one event, with real calls to a server of moto's; the variants take turns, and what is
printed are medians. Needs Linux, since that is what is built for. Usage: python benchmarks/cold_start.py [RUNS]
"""

import contextlib
import json
import logging
import shutil
import statistics
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any

from moto.server import ThreadedMotoServer

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks._cloud import Cloud, Event
from local import patches
from scripts import artifact

RUNS = 10
LIBRARY = ROOT / "layers" / "afterward"
HANDWRITTEN = ROOT / "benchmarks" / "handwritten"


@dataclass(frozen=True)
class Variant:
    """One way to build one function. `aim`: the share of its time that ours may take at most."""

    name: str
    handler: str
    path: list[Path]
    event: Callable[[], Event]
    aim: float | None = None
    took: list[dict[str, float]] = field(default_factory=list)

    def run(self, python: str, environment: Mapping[str, str]) -> None:
        # -B is what a read-only folder does, and does it to root, too.
        command = [python, "-B", "-S", "-P", str(ROOT / "benchmarks" / "_probe.py"), self.handler]
        command += [json.dumps(self.event()), *map(str, self.path)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(f"{self.name} does not start:\n{done.stderr}")
        result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        if result["answer"] != {"batchItemFailures": []} and result["answer"].get("statusCode") != HTTPStatus.ACCEPTED:
            sys.exit(f"{self.name} does not answer: {result['answer']}\n{done.stdout}{done.stderr}")
        self.took.append(result["took"])

    def median(self, what: str) -> float:
        return statistics.median(took[what] for took in self.took)

    def share(self, of: "Variant") -> float:
        return self.median("total") / of.median("total")


def request() -> Event:
    event: Event = json.loads((ROOT / "events" / "api.send_notification.json").read_text())
    return event


def message() -> Event:
    """Return the message of a job that has not run yet."""
    event: Event = json.loads((ROOT / "events" / "send_notification.one.json").read_text())
    (record,) = event["Records"]
    record["body"] = json.dumps(json.loads(record["body"]) | {"id": str(uuid.uuid4())})
    return event


def handwritten_message() -> Event:
    event: Event = json.loads((ROOT / "events" / "send_notification.one.json").read_text())
    (record,) = event["Records"]
    envelope = json.loads(record["body"])
    record["body"] = json.dumps(
        {"job": str(uuid.uuid4())} | {key: envelope[key] for key in ("owner", "created", "arguments")}
    )
    return event


def build(target: Path) -> dict[str, Path]:
    """Build ours as template.yaml has `sam build` do it, and the hand-written application as SAM does by itself."""
    ours = {
        "afterward": "layers/afterward",
        "catalog": "layers/catalog",
        "api": "functions/api",
        "task": "functions/send_notification",
    }
    for name, source in ours.items():
        with contextlib.chdir(ROOT / source):
            artifact.main(source.partition("/")[0].removesuffix("s"), str(target / name))
    plain, compiled = target / "plain", target / "compiled"
    artifact.install(LIBRARY / "requirements.txt", plain)
    shutil.copytree(HANDWRITTEN, plain, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(plain, compiled)
    artifact.compile_all(compiled, "/var/task")
    return {path.name: path for path in target.iterdir()}


def variants(built: dict[str, Path]) -> dict[str, list[Variant]]:
    layers = [built["afterward"] / "python", built["catalog"] / "python"]
    api, worker = "handwritten_api.lambda_handler", "handwritten_worker.lambda_handler"
    return {
        "API: POST /send-notification": [
            Variant("Afterward", "api.lambda_handler", [built["api"], *layers], request),
            Variant("hand-written", api, [built["plain"]], request, aim=0.4),
            Variant("hand-written, with bytecode", api, [built["compiled"]], request, aim=0.9),
        ],
        "Task send_notification: one message": [
            Variant("Afterward", "send_notification.lambda_handler", [built["task"], *layers], message),
            Variant("hand-written", worker, [built["plain"]], handwritten_message, aim=0.5),
            Variant("hand-written, with bytecode", worker, [built["compiled"]], handwritten_message),
        ],
    }


@contextlib.contextmanager
def cloud() -> Iterator[dict[str, str]]:
    patches.apply(lambda _queue: None)  # or moto spends 30 ms on the expression of a claim, every time
    logging.getLogger("werkzeug").disabled = True
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    try:
        # Lambda's variable is what has the library set itself up at init.
        yield Cloud(endpoint).environment | {"AWS_ENDPOINT_URL": endpoint, "AWS_LAMBDA_RUNTIME_API": "127.0.0.1:9001"}
    finally:
        server.stop()


def show(title: str, ours: Variant, *others: Variant) -> None:
    print(f"\n{title:35}   init  1st event     total    memory  modules  ours / it")
    for one in (ours, *others):
        row = f"  {one.name:33}{one.median('init'):7.0f}{one.median('event'):11.0f}{one.median('total'):10.0f} ms"
        row += f"{one.median('memory'):7.0f} MB{one.median('modules'):8.0f}"
        print(row if one is ours else f"{row}{ours.share(one):9.2f}  {aimed(ours.share(one), one.aim)}")


def aimed(share: float, aim: float | None) -> str:
    if aim is None:
        return ""
    return f"aim: {aim}" if share <= aim else f"MISSED: {aim}"


def main(runs: int = RUNS) -> None:
    python = artifact.find_python()
    if python is None:
        # Without the runtime's own Python the comparison is made with this one, for both sides.
        python, artifact.PYTHON = sys.executable, f"{sys.version_info.major}.{sys.version_info.minor}"
    with tempfile.TemporaryDirectory() as folder, cloud() as environment:
        functions = variants(build(Path(folder)))
        for run in range(runs + 1):
            for one in (one for measured in functions.values() for one in measured):
                one.run(python, environment)
                if run == 0:
                    one.took.clear()  # the first one reads its files from disk, and warms moto up
        print(f"\nCold starts with Python {artifact.PYTHON}: medians of {runs} fresh processes each, taking turns")
        for title, measured in functions.items():
            show(title, *measured)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
