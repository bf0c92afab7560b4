"""A function's init phase: what it is told wrongly is named before it takes any work."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

FUNCTIONS = sorted(folder.name for folder in (ROOT / "functions").iterdir() if any(folder.glob("*.py")))

VARIABLES = {
    "ACTIVITY_TABLE": "activity",
    "AFTERWARD_BUCKET": "bucket",
    "AFTERWARD_DEAD_LETTER_QUEUE": "https://sqs.us-east-1.amazonaws.com/123456789012/dead-letters",
    "AFTERWARD_DIGEST_SECRET": "arn:aws:secretsmanager:us-east-1:123456789012:secret:digest",
    "AFTERWARD_JOBS_TABLE": "jobs",
    "AFTERWARD_LISTING_SHARDS": "4",
    "AFTERWARD_QUEUE_SEND_EMAIL": "https://sqs.us-east-1.amazonaws.com/123456789012/send-email",
    "JWT_ISSUER": "https://login.example.com",
    "NOTIFICATIONS_TABLE": "notifications",
    "SMTP_HOST": "127.0.0.1",
    "SMTP_PORT": "587",
    "SMTP_SENDER": "afterward@example.com",
    "SMTP_STARTTLS": "required",
    "STATISTICS_TABLE": "statistics",
    "WEBHOOK_SECRET": "arn:aws:secretsmanager:us-east-1:123456789012:secret:webhooks",
}


def init(function: str, **changes: str | None) -> subprocess.CompletedProcess[str]:
    """Import a function as Lambda's init phase does, with variables changed or (None) missing."""
    layers = [ROOT / "layers" / name for name in ("afterward", "catalog", "csv_pipeline", "outbound")]
    path = [*layers, ROOT / "functions" / function]
    environment = {
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_LAMBDA_RUNTIME_API": "127.0.0.1:9001",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "PATH": os.environ["PATH"],
        "PYTHONPATH": os.pathsep.join(map(str, path)),
        **{name: value for name, value in (VARIABLES | changes).items() if value is not None},
    }
    command = [sys.executable, "-c", f"import {function}"]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_init_needs_no_service(function: str) -> None:
    """With its variables set, a function initialises without calling anything."""
    result = init(function)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize(
    ("function", "variable", "value"),
    [
        ("action_notification", "ACTIVITY_TABLE", None),
        ("action_notification", "SMTP_HOST", None),
        ("api", "ACTIVITY_TABLE", None),
        ("api", "AFTERWARD_DIGEST_SECRET", None),
        ("api", "AFTERWARD_JOBS_TABLE", None),
        ("api", "NOTIFICATIONS_TABLE", " "),
        ("api", "STATISTICS_TABLE", None),
        ("dead_letter", "AFTERWARD_BUCKET", None),
        ("dead_letter", "AFTERWARD_DEAD_LETTER_QUEUE", "dead-letters"),
        ("log_activity", "ACTIVITY_TABLE", None),
        ("long_running_task", "AFTERWARD_LISTING_SHARDS", "0"),
        ("long_running_task", "AFTERWARD_QUEUE_SEND_EMAIL", "send email"),
        ("merge_csv", "AFTERWARD_BUCKET", None),
        ("s3_upload", "AFTERWARD_DIGEST_SECRET", None),
        ("s3_upload", "JWT_ISSUER", " "),
        ("send_email", "SMTP_HOST", None),
        ("send_email", "SMTP_PORT", "smtp"),
        ("send_email", "SMTP_SENDER", None),
        ("send_email", "SMTP_STARTTLS", "maybe"),
        ("send_notification", "NOTIFICATIONS_TABLE", None),
        ("send_webhook", "WEBHOOK_SECRET", None),
        ("update_statistics", "STATISTICS_TABLE", None),
    ],
)
def test_init_names_the_variable(function: str, variable: str, value: str | None) -> None:
    """A missing or malformed variable fails the init, and the last line names it."""
    result = init(function, **{variable: value})
    assert result.returncode == 1
    assert f"SettingError: environment variable {variable} " in result.stderr.splitlines()[-1]
