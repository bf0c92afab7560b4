"""What comes in: how large it may be, how JSON may be written, and that no text becomes a header, a line or a path."""

import asyncio
import base64
import email.policy
import io
import json
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

import log_activity
import process_data
import send_notification
from afterward import Discard, Job
from afterward.background.limits import DEPTH, JSON, BodyLimits, fault_of
from afterward.background.watch import versions, wait_of
from afterward.results import NAME
from afterward.testing import Trial
from mailer import SmtpMailer, mail_of, smtp_mailer
from send_email import deliver
from tests.support.gateway import Answer
from tests.support.logs import configured
from tests.support.postmaster import Postmaster, client_context, postmaster
from tests.unit.app.conftest import Deployed, deployment

PROBLEM = "application/problem+json"
MAIL = {"to_email": "ada@example.com", "subject": "Hi", "body": "Hello"}


@pytest.fixture(scope="module")
def _app() -> Iterator[tuple[Deployed, asyncio.AbstractEventLoop]]:
    with pytest.MonkeyPatch.context() as monkeypatch, deployment(monkeypatch) as made:
        yield made, asyncio.get_event_loop()


@pytest.fixture
def app(_app: tuple[Deployed, asyncio.AbstractEventLoop]) -> Deployed:
    """The application, the same for all tests here: none of them looks at what another one has left."""
    made, loop = _app
    asyncio.set_event_loop(loop)  # which asyncio.run() of a test before may have taken away
    return made


@contextmanager
def soon(seconds: float = 5) -> Iterator[None]:
    began = time.monotonic()
    yield
    assert time.monotonic() - began < seconds


def refused(answer: Answer, status: int) -> str:
    """See that it is a problem of this status, and return what it says."""
    assert (answer.status, answer.headers["content-type"]) == (status, PROBLEM)
    detail: str = answer.json["detail"]
    return detail


# Bodies


def mail(app: Deployed, body: bytes, content_type: str = "application/json", **headers: str) -> Answer:
    return app.api.request("POST", "/send-email/", body=body, headers={"content-type": content_type, **headers})


def padded(size: int) -> bytes:
    """A mail of so many bytes that would be taken for its content."""
    bare = json.dumps(MAIL).encode()
    return bare + b" " * (size - len(bare))


def test_a_body_has_a_largest_size(app: Deployed) -> None:
    """One byte more than the limit is 413 and names the limit; as many as that are taken."""
    assert mail(app, padded(JSON)).status == 202
    assert refused(mail(app, padded(JSON + 1)), 413) == "The body has more than 2,500,000 bytes"


def test_the_largest_mail_is_taken_however_it_is_written(app: Deployed) -> None:
    """The longest text of all fits, if each of its characters is escaped as JSON writes them at the longest."""
    assert mail(app, json.dumps({**MAIL, "body": "\U0001f600" * 200_000}).encode()).status == 202


@pytest.mark.parametrize("path", ["/tasks", "/process/report", "/upload-csv/7/url", "/nowhere"])
def test_a_body_that_nobody_asked_for_has_a_largest_size(app: Deployed, path: str) -> None:
    """The limit holds on every route, also on those that take no body."""
    refused(app.api.request("POST", path, body=b" " * (JSON + 1), headers={"content-type": "text/plain"}), 413)


@pytest.mark.parametrize("declared", ["2500001", "999999999999999999", "0002500001"])
def test_a_length_that_is_declared_is_believed(app: Deployed, declared: str) -> None:
    """A Content-Length beyond the limit is refused before anything is read."""
    refused(mail(app, b"{}", **{"content-length": declared}), 413)


@pytest.mark.parametrize("declared", ["-1", "x", "1e9", "9" * 40, "²"])
def test_a_length_that_is_none_changes_nothing(app: Deployed, declared: str) -> None:
    """What cannot be a length is no answer of 500; what comes is counted."""
    assert mail(app, json.dumps(MAIL).encode(), **{"content-length": declared}).status == 202


def exchange(*pieces: bytes, kind: str = "application/json", ends: str = "", limit: int = 10) -> tuple[int, Any, int]:
    """Send a body in pieces through the middleware alone; return the status, what the app got, and the pieces taken."""
    waiting = [{"type": "http.request", "body": piece, "more_body": True} for piece in pieces]
    waiting += [{"type": ends}] if ends else [{"type": "http.request", "body": b"", "more_body": False}]
    size, sent, got = len(waiting), [], []

    async def receive() -> Any:
        return waiting.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    async def reading(_scope: Any, receive: Any, send: Any) -> None:
        got.append(await receive())
        await send({"type": "http.response.start", "status": 200, "headers": []})

    scope = {"type": "http", "headers": [(b"content-type", kind.encode())]}
    asyncio.run(BodyLimits(reading, json=limit, form=2 * limit)(scope, receive, send))
    return sent[0]["status"], got[0] if got else None, size - len(waiting)


def test_a_body_in_pieces_is_counted_and_passed_on_whole() -> None:
    """Servers that stream are read no further than it takes to know; the app gets what came as one piece."""
    assert exchange(b"[1,", b"2]") == (200, {"type": "http.request", "body": b"[1,2]", "more_body": False}, 3)
    assert exchange(*[b"[1,"] * 100) == (413, None, 4)
    assert exchange(b"x" * 15, kind='Multipart/Form-Data; boundary="b"')[0] == 200
    assert exchange(b"x" * 21, kind="multipart/form-data")[0] == 413


def test_a_client_that_goes_is_told_of() -> None:
    """Where the client leaves in the middle the app hears that, and no half of a body."""
    assert exchange(b"[1,", ends="http.disconnect")[1] == {"type": "http.disconnect"}


DEEP = [b"[" * 100_000, b'{"a":' * 100_000 + b"1" + b"}" * 100_000, b"[" * 100_000 + b"]" * 100_000]
WRONG = [
    *((body, 400, f"more than {DEPTH} levels deep") for body in DEEP),
    (json.dumps({**MAIL, "body": 0}).encode().replace(b": 0}", b": " + DEEP[1] + b"}"), 400, "levels deep"),
    (b'{"to_email": 1e999999}', 400, "a number is too large"),
    (b'{"to_email": -1E400}', 400, "a number is too large"),
    (b'{"to_email": ' + b"9" * 5_000 + b"}", 400, "a number is too large"),
    (b'{"to_email": ' + b"9" * 2_000_000 + b"}", 400, "a number is too large"),
    (b'{"to_email": NaN}', 400, "a number is none that JSON has"),
    (b'{"to_email": -Infinity}', 400, "a number is none that JSON has"),
    (b'{"subject": "a", "subject": "b"}', 400, "a name stands twice"),
    (b'{"subject": "a", "\\u0073ubject": "b"}', 400, "a name stands twice"),
    (b'{"body": {"a": 1, "a": 1}}', 400, "a name stands twice"),
    (json.dumps(MAIL).encode("utf-16"), 400, "it is not in UTF-8"),
    (b'{"subject": "\xff"}', 400, "it is not in UTF-8"),
    (b'{"subject": "\xed\xa0\x80"}', 400, "it is not in UTF-8"),
    (b'\xef\xbb\xbf{"body": NaN}', 400, "a number is none that JSON has"),
    ('{"a": 1, "a": 2}'.encode("utf-16-le"), 400, "it is not in UTF-8"),
    ('{"a": 1, "a": 2}'.encode("utf-32-be"), 400, "it is not in UTF-8"),
    (b"{", 422, "JSON"),
    (b'"' + b'\\"' * 1_000_000, 422, "JSON"),
    (b'{"to_email": "ada@example.com", "subject": "Hi\nBcc: b@example.com", "body": ""}', 422, "JSON"),
    (b"[]", 422, "dictionary"),
    (b"1e5", 422, "dictionary"),
    (json.dumps({**MAIL, "sender": "eve@example.com"}).encode(), 422, "sender"),
    (json.dumps({**MAIL, "__proto__": {}}).encode(), 422, "__proto__"),
    (json.dumps({**MAIL, "subject": 7}).encode(), 422, "string"),
    (json.dumps({**MAIL, "subject": ["Hi"]}).encode(), 422, "string"),
    (json.dumps({**MAIL, "subject": None}).encode(), 422, "string"),
    (json.dumps({**MAIL, "subject": "\ud800"}).encode(), 422, ""),
    (json.dumps({**MAIL, "body": "x" * 200_001}).encode(), 422, "200000"),
]


@pytest.mark.parametrize(("body", "status", "said"), WRONG, ids=lambda value: ascii(value)[:40])
@pytest.mark.parametrize("kind", ["application/json", "Application/Problem+JSON; charset=utf-8"])
def test_json_that_is_wrong_is_refused(app: Deployed, body: bytes, status: int, said: str, kind: str) -> None:
    """Bombs, numbers that are none, names given twice and fields that are unknown are refused quickly, in words."""
    with soon():
        detail = refused(mail(app, body, kind), status)
    assert said in detail
    assert len(detail) < 500


def test_json_may_be_as_deep_as_people_write_it(app: Deployed) -> None:
    """Brackets in texts count for nothing, and neither do those that are closed again."""
    body = json.dumps({**MAIL, "body": '[{"\\' * 1_000, "subject": "[" * 100})
    assert mail(app, body.encode()).status == 202
    assert fault_of(b"[" * DEPTH + b"]" * DEPTH) == ""
    assert fault_of(b"[" * (DEPTH + 1) + b"]" * (DEPTH + 1)) != ""
    assert fault_of(b"[" + b"[]," * 10_000 + b"[]]") == ""


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)  # fmt: skip


@given(VALUES, st.booleans(), st.sampled_from([None, 1]))
def test_json_as_programs_write_it_has_no_fault(value: Any, ascii_only: bool, indent: int | None) -> None:
    """What a JSON library writes of any value is taken, however it is set."""
    assert fault_of(json.dumps(value, ensure_ascii=ascii_only, indent=indent).encode("utf-8", "ignore")) == ""


@given(st.binary(max_size=100) | st.text(alphabet='[]{}",:\\1eN\n', max_size=100).map(str.encode))
def test_any_bytes_are_judged(body: bytes) -> None:
    """Whatever comes, the answer is a sentence or nothing, and no error."""
    assert isinstance(fault_of(body), str)


def form(*parts: str) -> bytes:
    return "".join(f"--b\r\nContent-Disposition: form-data; {part}\r\n" for part in (*parts,)).encode() + b"--b--\r\n"


def part(name: str, content: str, filename: str | None = None, kind: str = "text/csv") -> str:
    file = "" if filename is None else f'; filename="{filename}"\r\nContent-Type: {kind}'
    return f'name="{name}"{file}\r\n\r\n{content}'


def upload(app: Deployed, body: bytes, **query: str) -> Answer:
    headers = {"content-type": "multipart/form-data; boundary=b"}
    return app.api.request("POST", "/upload-csv/7", query=query, body=body, headers=headers)


CSV = part("file", "id\n1", "orders.csv")


@pytest.mark.parametrize(
    "parts",
    [
        [CSV, CSV],
        [part("other", "", f"{number}.csv") for number in range(500)],
        [*(part(f"field{number}", "x") for number in range(11)), CSV],
        [part(f"field{number}", "") for number in range(50_000)],
        [part("file", "x" * 1_100_000)],
        ["x" * 100_000],
        [f'name="file"; filename="a.csv"\r\nX-{"a" * 100_000}: b\r\n\r\nid'],
        ['name="file"; filename="a.csv"\r\n' + "X-A: b\r\n" * 5_000],
    ],
    ids=["two files", "many files", "fields", "many fields", "long field", "no name", "long header", "headers"],
)
def test_a_form_has_few_parts(app: Deployed, parts: list[str]) -> None:
    """A form holds one file, and little beside it."""
    before = app.objects("uploads/")
    with soon():
        answer = upload(app, form(*parts))
    assert answer.status in {400, 422}
    assert answer.headers["content-type"] == PROBLEM
    assert app.objects("uploads/") == before


# Parameters

LIMITED = {"maxLength", "enum", "const"}
WHOLE = r"\{\d+,(\d+)\}\$$"


def parameters(app: Deployed) -> Iterator[tuple[str, str, dict[str, Any], list[dict[str, Any]]]]:
    """Give each parameter of each operation as the API's document has it, with all of its operation."""
    for path, operations in document(app)["paths"].items():
        for method, operation in operations.items():
            given = operation.get("parameters", [])
            for parameter in given:
                yield method.upper(), path, parameter, given


def document(app: Deployed) -> dict[str, Any]:
    found: dict[str, Any] = app.api.get("/openapi.json").json
    return found


def test_every_text_has_a_longest(app: Deployed) -> None:
    """Each text in a path, a query, a header or a body has a length that it may have at most."""
    found = [(f"{method} {path} {one['name']}", one["schema"]) for method, path, one, _ in parameters(app)]
    mails = document(app)["components"]["schemas"]["EmailIn"]
    assert mails["additionalProperties"] is False
    found += [(f"EmailIn.{name}", schema) for name, schema in mails["properties"].items()]
    texts = [(name, schema.get("items", schema)) for name, schema in found]
    unlimited = [
        name
        for name, schema in texts
        if schema["type"] == "string"
        and not LIMITED & schema.keys()
        and not re.search(WHOLE, schema.get("pattern", ""))
    ]
    assert len(texts) > 40
    assert unlimited == []


INJECTED = "injected"
EVIL = [
    f"x\r\nX-Injected: {INJECTED}\r\n\r\n<script>{INJECTED}</script>",
    f"x\n{{{INJECTED}: 1}}\r{INJECTED}",
    f"x\x00{INJECTED}\x1b[2J\x7f\x85{INJECTED}\u2028{INJECTED}\u2029{INJECTED}\x0b{INJECTED}\x0c{INJECTED}",
    f"\ufeff\u202e{INJECTED}\u200b{{0.__class__}} %s %(message)s ${{jndi:ldap://{INJECTED}}}",
    f"%0d%0aX-Injected:%20{INJECTED}..%2f..%2f%00",
    f"../../{INJECTED}",
]

VALID: dict[str, Any] = {"user_id": 7, "name": "report", "to_email": "a@example.com", "subject": "s", "body": "b"}


def value_of(parameter: dict[str, Any]) -> Any:
    schema = parameter["schema"]
    return VALID.get(parameter["name"]) or schema.get("default") or schema["examples"][0]


@contextmanager
def logged() -> Iterator[io.StringIO]:
    """Collect the log as a function writes it, and see that each line of it is a record of its own."""
    stream = io.StringIO()
    with configured(stream):
        yield stream
        written = stream.getvalue()
    for line in written.splitlines():
        assert json.loads(line)["level"]
        assert not line.startswith(INJECTED)


def sent(app: Deployed, method: str, path: str, values: list[tuple[dict[str, Any], Any]]) -> Answer:
    """Send a request with these values of its parameters, in the path as a client writes them there."""
    query, headers = {}, {}
    for parameter, value in values:
        name = parameter["name"]
        if parameter["in"] == "path":
            path = path.replace(f"{{{name}}}", quote(str(value), safe=""))
        elif parameter["in"] == "query":
            query[name] = value
        else:
            headers[name.lower()] = value[0] if isinstance(value, list) else str(value)
    return app.api.request(method, path, query=query, headers=headers)


def test_no_argument_becomes_a_line(app: Deployed) -> None:
    """A text that was accepted is written to no log where its task runs, and kept as it was given."""
    inboxes = {f"user{number}@example.com": evil for number, evil in enumerate(EVIL)}
    with logged() as log:
        for recipient, evil in inboxes.items():
            app.api.post(f"/send-notification/{recipient}", message=evil)
            app.api.post("/user/7/action", action=evil)
        app.api.post("/safe-task/7", message="x", task="process_data", data_id=-1)
        for worker in (send_notification, process_data, log_activity):
            while app.waiting(worker.lambda_handler.task.name):
                app.run(worker.lambda_handler)
    assert INJECTED not in log.getvalue()
    assert "process_data" in log.getvalue()
    for recipient, evil in inboxes.items():
        (line,) = app.api.get(f"/users/{recipient}/notifications").json["notifications"]
        assert line["text"] == f"notification for {recipient}: {evil}"


@pytest.mark.parametrize("evil", EVIL, ids=ascii)
def test_no_parameter_becomes_a_header_or_a_line(app: Deployed, evil: str) -> None:
    """In each parameter of each route text may be what it likes: no header, no line of the log begins with it."""
    asked = 0
    with logged() as log:
        for method, path, parameter, given in parameters(app):
            if parameter["schema"]["type"] in {"string", "array"}:
                others = [(one, value_of(one)) for one in given if one["required"] and one is not parameter]
                answer = sent(app, method, path, [*others, (parameter, evil)])
                asked += 1
                assert answer.status < 500, (method, path, parameter["name"], answer.body)
                clean(answer)
    assert asked > 30
    assert len(log.getvalue().splitlines()) >= asked


def clean(answer: Answer) -> None:
    """See that the headers are the API's own."""
    for name, value in answer.headers.items():
        assert re.fullmatch("[a-z-]+", name)
        assert name != "x-injected"
        assert value.isprintable()
        assert value.isascii()
    assert answer.headers.get("content-type", "application/json") in {"application/json", PROBLEM}


@pytest.mark.parametrize("evil", EVIL, ids=ascii)
@pytest.mark.parametrize("where", ["name", "kind", "field"])
def test_no_file_name_becomes_a_header_or_a_key(app: Deployed, evil: str, where: str) -> None:
    """Of a file's name and type nothing stands in its key or type in the bucket, in a header or in the log."""
    name, kind = (evil if where == one else usual for one, usual in (("name", "orders.csv"), ("kind", "text/csv")))
    before = {*app.objects("uploads/")}
    with logged() as log:
        answer = upload(app, form(part(evil if where == "field" else "file", "id\n1", name, kind)))
    assert answer.status in {202, 400, 422}
    clean(answer)
    for key in {*app.objects("uploads/")} - before:
        assert re.fullmatch(r"uploads/[0-9a-f]{32}/[0-9a-f-]{36}/7/any\.csv", key)
    assert INJECTED not in log.getvalue()


@pytest.mark.parametrize(
    "name",
    [
        "..",
        ".",
        "../x",
        "..%2fx",
        "%2e%2e%2fx",
        "a/b",
        "a\\b",
        "/etc/passwd",
        "x\x00",
        "a\r\nb",
        "",
        " ",
        "-a",
        "ä",
        "x" * 101,
    ],
)
def test_no_result_leaves_its_folder(app: Deployed, name: str) -> None:
    """What is no plain name is refused where a task stores it, and leads to nothing where somebody asks for it."""
    assert not NAME.fullmatch(name)
    started = app.api.post("/process/report").json["task_id"]
    for spelled in (quote(name, safe=""), name):
        answer = app.api.get(f"/tasks/{started}/results/{spelled}")
        assert answer.status in {404, 422}
        assert "location" not in answer.headers


def test_no_id_leaves_its_owners_keys(app: Deployed) -> None:
    """An id that a client chooses cannot name a record or a folder of anything else."""
    before = app.records()
    for task_id in ("..", "a/b", "a#b", "ä", "a\x00", "a\n", "x" * 129, "%2e%2e%2fx"):
        for spelled in (quote(task_id, safe=""), task_id):
            assert app.api.post(f"/start-task/{spelled}", items_count=1).status in {404, 422}
            assert app.api.get(f"/tasks/{spelled}").status in {404, 422}
    assert app.records() == before


# Mails

HEADERS = ["From", "To", "Subject", "Date", "Message-ID", "Content-Type", "Content-Transfer-Encoding", "MIME-Version"]
BREAKS = ["\r\n", "\n", "\r", "\x00", "\x0b", "\x0c", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029", "\x7f"]


@pytest.mark.parametrize("field", ["to_email", "subject"])
@pytest.mark.parametrize("line_break", BREAKS, ids=ascii)
def test_a_line_break_in_a_mails_header_is_refused(app: Deployed, field: str, line_break: str) -> None:
    """Whatever anybody reads as the end of a line stands in no recipient and no subject, in the query or the body."""
    for place in (f"{line_break}Bcc: eve@example.com", line_break, f"{line_break} folded"):
        for text in (f"{MAIL[field]}{place}", f"{place}{MAIL[field]}"):
            given = {**MAIL, field: text}
            refused(app.api.post("/send-email/", body=given), 422)
            refused(app.api.post("/send-email/", **given), 422)


@pytest.fixture(scope="module")
def office() -> Iterator[Postmaster]:
    with postmaster() as open_office:
        yield open_office


def deliver_to(office: Postmaster, *mail: str) -> email.message.EmailMessage:
    sender = SmtpMailer("127.0.0.1", office.port, "robot@sender.example", starttls=True, tls=client_context())
    Trial(overrides={smtp_mailer: lambda: sender}).run(deliver, *mail)
    return office.mails.pop()


WORDS = [
    "=?utf-8?q?x=0D=0ABcc:_eve=40example.com?=",
    "=?utf-8?b?eA0KQmNjOiBldmVAZXhhbXBsZS5jb20NCg0KYm9keQ==?=",
    "Hi =?UTF-8?Q?=0AReply-To:_eve=40example.com?= there",
    "=?unknown?q?x=0D=0ABcc:_eve=40example.com?=",
    "=?utf-8*en?q?=0D=0ABcc:_eve=40example.com?=",
    "=?us-ascii?q?=00?=",
    "=?utf-8?q?a?= =?utf-8?q?=0D=0ABcc:_eve=40example.com?=",
    "==??utf-8?q?=0D=0ABcc:_eve=40example.com?=",
    "ä =?utf-8?q?=0D=0ABcc:_eve=40example.com?= " + "x" * 800,
    "x" * 75 + "=?utf-8?q?=0D=0ABcc:_eve=40example.com?=",
    "Bcc: eve@example.com",
    "a =? b ?= c",
]


@pytest.mark.parametrize("subject", WORDS)
def test_no_encoded_word_becomes_a_header(app: Deployed, office: Postmaster, subject: str) -> None:
    """What would be decoded to a line of its own is refused, or arrives as the text that it is, with a blank in it."""
    if app.api.post("/send-email/", body={**MAIL, "subject": subject}).status == 422:
        return
    office.recipients.clear()
    arrived = deliver_to(office, MAIL["to_email"], subject, MAIL["body"])
    assert arrived.keys() == HEADERS
    assert arrived["Subject"].strip() == subject.replace("=?", "= ?")
    assert arrived.get_content().strip() == MAIL["body"]
    assert office.recipients == [MAIL["to_email"]]


@pytest.mark.parametrize(
    "address",
    [
        "=?utf-8?q?a=40evil.example=2C_?=@example.com",
        "=?utf-8?q?a=0D=0ABcc=3A_eve=40x.y?=@example.com",
        "x.=?utf-8?q?=0D=0Ax?=@example.com",
    ],
)
def test_no_encoded_word_becomes_a_recipient(address: str) -> None:
    """An address that mail programs would decode to another one is given up, in words that do not repeat it."""
    job = Job("job-1", "send_email", "2026-11-22T14:00:00.000000Z")
    with pytest.raises(Discard, match=r"^the recipient's address would be read as another one \(RFC 2047\)$"):
        mail_of(job, "robot@sender.example", address, "Hi", "Hello")


LINES = st.text(
    st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]) | st.sampled_from("=?=?_ \u00e4q0DA"), max_size=200
)


@given(LINES.filter(len))
def test_any_subject_is_one_header(subject: str) -> None:
    """Every subject that the API takes is one header of a mail, and all of it."""
    job = Job("job-1", "send_email", "2026-11-22T14:00:00.000000Z")
    written = mail_of(job, "robot@sender.example", "ada@example.com", subject, "Hello").as_bytes()
    head, _, body = written.partition(b"\n\n")
    read = email.message_from_bytes(written, policy=email.policy.default)
    assert [line.split(b":")[0].decode() for line in head.split(b"\n") if not line.startswith(b" ")] == HEADERS
    assert "".join(read["Subject"].split()) == "".join(subject.replace("=?", "= ?").split())
    assert body == b"Hello\n"


# Headers and cursors

BOMBS = [
    b"[" * 12_000,
    b"[" * 6_000 + b"]" * 6_000,
    b'{"a":' * 2_000,
    b"1" * 12_000,
    b"[1e999999]",
    b"[NaN]",
    b"\xff\x00",
]


@pytest.mark.parametrize("bomb", BOMBS, ids=lambda bomb: ascii(bomb)[:12])
def test_a_cursor_of_somebodys_own_is_refused(app: Deployed, bomb: bytes) -> None:
    """A cursor is a text that comes back: whatever is in it that the API has not put there is 422."""
    for encode in (base64.urlsafe_b64encode, base64.b64encode):
        refused(app.api.get("/tasks", cursor=encode(bomb).decode()), 422)
        refused(app.api.get("/tasks", cursor=encode(bomb).decode().rstrip("=")), 422)


@pytest.mark.parametrize("text", ['"' + '\\"' * 40_000, '"\\' * 40_000, '"a,' * 40_000, 'a"' * 40_000, "x=" * 40_000])
def test_headers_are_read_in_time_that_follows_their_length(text: str) -> None:
    """Quotes that are never closed cost no more than others."""
    with soon():
        assert wait_of([text]) is None
        assert isinstance(versions([text]), frozenset)
