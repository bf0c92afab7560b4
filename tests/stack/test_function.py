import json
import os
import signal
import sys
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from local.cloud import LocalCloud
from local.runtime import Outcome
from tests.stack.waiting import eventually

APP = Path(__file__).parent / "app"


def told(outcome: Outcome) -> Any:
    assert not outcome.failed, outcome.payload
    return json.loads(outcome.payload)


def error(outcome: Outcome) -> dict[str, Any]:
    assert outcome.failed, outcome.payload
    described: dict[str, Any] = json.loads(outcome.payload)
    return described


LAMBDAS_OWN = {
    *(
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "AWS_REGION",
        "AWS_DEFAULT_REGION",
        "AWS_EXECUTION_ENV",
    ),
    *("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "AWS_LAMBDA_FUNCTION_NAME", "AWS_LAMBDA_FUNCTION_VERSION"),
    *(
        "AWS_LAMBDA_INITIALIZATION_TYPE",
        "AWS_LAMBDA_LOG_GROUP_NAME",
        "AWS_LAMBDA_LOG_STREAM_NAME",
        "AWS_LAMBDA_RUNTIME_API",
    ),
    *("LAMBDA_RUNTIME_DIR", "LAMBDA_TASK_ROOT", "_HANDLER", "_X_AMZN_TRACE_ID", "LANG", "TZ", "PATH"),
}
OURS = {"AWS_ENDPOINT_URL", "HOME"}
TEMPLATES = {"GREETING", "SHARDS", "SMTP_PORT", "TABLE", "QUEUE", "SECRET", "API", "ALARM"}


def test_a_function_has_lambdas_variables_and_its_own_and_no_others(either: LocalCloud) -> None:
    """Nothing of the developer's environment reaches a function."""
    environment = told(either.invoke("Probe", {"environment": None}))
    assert set(environment) == LAMBDAS_OWN | OURS | TEMPLATES
    assert environment["GREETING"] == "hello"
    assert environment["SHARDS"] == "4"
    assert environment["_HANDLER"] == "probe.lambda_handler"


def test_variables_are_those_that_the_template_resolves_to(cloud: LocalCloud) -> None:
    """References are to what exists, or to the local twin of what does not."""
    environment = told(cloud.invoke("Probe", {"environment": None}))
    assert environment["TABLE"] == cloud.resources["Table"]
    assert environment["QUEUE"] == cloud.resources["Queue"]
    assert environment["SECRET"] == cloud.resources["Secret"]
    assert environment["API"] == cloud.url
    assert environment["ALARM"] == "Alarm/us-east-1"


def test_the_environment_can_be_asked_for_without_running_anything(cloud: LocalCloud) -> None:
    """Other suites start functions themselves with it."""
    assert cloud.function_environment("Probe")["GREETING"] == "hello"


def test_a_function_sees_its_folder_its_layers_the_runtime_and_the_standard_library(either: LocalCloud) -> None:
    """The path holds what Lambda has there, in its order: the last layer lies on top."""
    path = told(either.invoke("Probe", {"path": None}))
    assert path[:2] == [str(APP / "functions/probe"), str(APP / "layers/upper")]
    assert str(APP / "layers/lower") in path
    assert not [entry for entry in path if entry.startswith(sys.prefix)]
    assert told(either.invoke("Probe", {"import": "layered"})) == str(APP / "layers/upper/layered.py")
    assert told(either.invoke("Probe", {"import": "below"})) == str(APP / "layers/lower/below.py")


def test_what_a_layer_requires_is_installed_for_it(either: LocalCloud) -> None:
    """requirements.txt of a layer is part of its content."""
    assert "upper-" in told(either.invoke("Probe", {"import": "six"}))


@pytest.mark.parametrize("module", ["moto", "pytest", "local", "tests", "boto3"])
def test_what_only_the_developer_has_cannot_be_imported(either: LocalCloud, module: str) -> None:
    """Neither the development environment nor the repository is on a function's path."""
    assert error(either.invoke("Probe", {"import": module}))["errorType"] == "ModuleNotFoundError"


def test_the_context_is_lambdas(either: LocalCloud) -> None:
    """Names, ids and the remaining time are there."""
    name = told(either.invoke("Probe", {"context": "function_name"}))
    assert told(either.invoke("Probe", {"context": "invoked_function_arn"})).endswith(f":function:{name}")
    assert told(either.invoke("Probe", {"context": "memory_limit_in_mb"})) == "256"
    assert len(told(either.invoke("Probe", {"context": "aws_request_id"}))) == 36
    assert 4000 < told(either.invoke("Probe", {"remaining": None})) <= 5000


def test_standard_input_is_empty(either: LocalCloud) -> None:
    """What the local cloud uses it for is not for the function."""
    assert told(either.invoke("Probe", {"stdin": None})) == ""


def test_an_environment_is_used_again(either: LocalCloud) -> None:
    """A function's process outlives its invocations."""
    assert told(either.invoke("Probe", {"pid": None})) == told(either.invoke("Probe", {"pid": None}))


def test_what_a_handler_raises_is_described_as_lambda_does(either: LocalCloud) -> None:
    """Type, message and the frames of the function itself; the environment survives."""
    before = told(either.invoke("Probe", {"pid": None}))
    described = error(either.invoke("Probe", {"fail": "no such thing"}))
    assert (described["errorType"], described["errorMessage"]) == ("ValueError", "no such thing")
    assert "in lambda_handler" in described["stackTrace"][0]
    assert told(either.invoke("Probe", {"pid": None})) == before


def test_a_result_that_is_not_json_is_an_error(either: LocalCloud) -> None:
    """The runtime says so, in its own words."""
    assert error(either.invoke("Probe", {"unserialisable": None}))["errorType"] == "Runtime.MarshalError"


def test_a_module_that_raises_fails_each_invocation(either: LocalCloud) -> None:
    """Init errors are the invocation's error, and tried again with the next one."""
    for _ in range(2):
        assert error(either.invoke("Broken", {}))["errorMessage"] == "not today"


def test_a_function_is_killed_when_its_time_is_up(either: LocalCloud) -> None:
    """The next invocation starts a new environment."""
    before = told(either.invoke("Hasty", {"pid": None}))
    described = error(either.invoke("Hasty", {"sleep": 30}))
    assert described["errorMessage"].endswith("Task timed out after 1.00 seconds")
    assert told(either.invoke("Hasty", {"pid": None})) != before


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        ({"exit": 3}, "exited with error: exit status 3"),
        ({"exit": 0}, "exited without providing a reason"),
        ({"sys.exit": 4}, "exited with error: exit status 4"),
    ],
)
def test_a_process_that_ends_is_an_error_and_is_replaced(either: LocalCloud, event: object, reason: str) -> None:
    """Nothing that a function does to its process reaches further than its invocation."""
    described = error(either.invoke("Probe", event))
    assert described["errorType"] == "Runtime.ExitError"
    assert described["errorMessage"].endswith(reason)
    assert told(either.invoke("Probe", {"pid": None}))


def test_a_killed_process_is_an_error_and_is_replaced(cloud: LocalCloud) -> None:
    """kill -9 in the middle of an invocation ends only that."""
    pid = told(cloud.invoke("Probe", {"pid": None}))
    outcomes: list[Outcome] = []
    thread = Thread(target=lambda: outcomes.append(cloud.invoke("Probe", {"sleep": 4})))
    thread.start()
    eventually(lambda: pid in cloud.processes("Probe"))
    os.kill(pid, signal.SIGKILL)
    thread.join()
    assert error(outcomes[0])["errorMessage"].endswith("signal: killed")
    assert told(cloud.invoke("Probe", {"pid": None})) != pid


def test_an_init_that_takes_too_long_is_tried_again(cloud: LocalCloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second try has the function's own time, as on Lambda."""
    error(cloud.invoke("Probe", {"exit": 1}))
    monkeypatch.setattr("local.function._INIT_LIMIT", 0.001)
    assert told(cloud.invoke("Probe", {"pid": None})) in cloud.processes("Probe")


def test_an_idle_environment_ends() -> None:
    """Processes that nobody needs do not stay."""
    with LocalCloud(APP / "template.yaml", state=APP.parents[2] / ".local", idle=0.1) as cloud:
        told(cloud.invoke("Probe", {"pid": None}))
        eventually(lambda: not cloud.processes("Probe"))
        assert told(cloud.invoke("Probe", {"pid": None}))


def test_a_response_has_lambdas_limit(either: LocalCloud) -> None:
    """6 MB are the most; the environment is replaced."""
    assert error(either.invoke("Probe", {"large": 7_000_000}))["errorType"] == "Function.ResponseSizeTooLarge"
    assert told(either.invoke("Probe", {"pid": None}))


def test_an_event_has_lambdas_limit(cloud: LocalCloud) -> None:
    """More than 6 MB never reach the function."""
    assert error(cloud.invoke("Probe", {"fail": "x" * 7_000_000}))["errorType"] == "RequestEntityTooLarge"


def test_two_invocations_run_side_by_side_and_no_more(cloud: LocalCloud) -> None:
    """A function has two environments; the reserved concurrency of the template may allow fewer."""
    threads = [
        Thread(target=cloud.invoke, args=(name, {"sleep": 0.2})) for name in ("Probe", "Witness") for _ in range(5)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(cloud.processes("Probe")) == 2
    assert len(cloud.processes("Witness")) == 1


def test_everything_that_a_function_writes_is_logged(either: LocalCloud) -> None:
    """Both outputs and the logging module end up in the one stream, under the function's name."""
    told(either.invoke("Probe", {"log": "a word"}))
    lines = eventually(
        lambda: [line.text for line in either.logs if line.source == "Probe" and "two lines" in line.text]
    )
    assert len(lines) == 1
    texts = [line.text for line in either.logs if line.source == "Probe"]
    assert texts.count("a word") == 2
    assert [text for text in texts if text.startswith("[ERROR]") and text.endswith("a word")]
