import smtplib
from email.message import EmailMessage
from pathlib import Path

import pytest

from local.cloud import LocalCloud
from tests.stack.waiting import eventually


@pytest.fixture
def smtp_port(cloud: LocalCloud) -> int:
    return int(cloud.function_environment("Probe")["SMTP_PORT"])


def mail(subject: str) -> EmailMessage:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "me@example.com", "you@example.com", subject
    message.set_content("First line\nSecond line\n")
    return message


def test_a_mail_is_kept_and_shown(cloud: LocalCloud, smtp_port: int) -> None:
    """It can be read back from the list and from its file, and the log has who, what and how it begins."""
    with smtplib.SMTP("127.0.0.1", smtp_port) as smtp:
        smtp.send_message(mail("Grüße"), to_addrs=["you@example.com", "hidden@example.com"])
    (kept,) = eventually(lambda: [each for each in cloud.mails if each.message["Subject"] == "Grüße"])
    assert kept.sender == "me@example.com"
    assert kept.recipients == ("you@example.com", "hidden@example.com")
    assert kept.path.read_bytes() == kept.content
    texts = [line.text for line in cloud.logs if line.source == "mail"]
    assert [text for text in texts if text.startswith("me@example.com -> you@example.com, hidden@example.com: Grüße")]
    assert "    First line" in texts


def test_mails_do_not_outlive_a_run_unless_asked(cloud: LocalCloud, smtp_port: int) -> None:
    """Tests leave nothing behind: their folder is a temporary one."""
    with smtplib.SMTP("127.0.0.1", smtp_port) as smtp:
        smtp.send_message(mail("Hello"))
    assert Path(__file__).parents[2] not in eventually(lambda: cloud.mails)[-1].path.parents
