"""The worker of catalog.fetch_external_data."""

import json
import re
from typing import Annotated, NoReturn

import catalog
from afterward import Depends, Discard, Progress, Results, Retry, injected
from afterward.clock import Clock, SystemClock
from destination import outcome
from outbound import Answer, Client, public_client

SECONDS = 20.0
"""For all of it: the name, the connections, the redirects and the body; well below the function's own timeout."""

LIMIT = 10_000_000
"""Bytes, unpacked."""

LONGEST_WAIT = 3_600.0
"""Seconds: a server may ask for more patience, but does not get it."""

ACCEPT = "application/json, application/*+json;q=0.9, text/*;q=0.8, application/xml;q=0.8"

_MEDIA_TYPE = re.compile(r"([\w!#$&^.+-]+/[\w!#$&^.+-]+)[ \t]*(?:;.*)?", re.ASCII)
_CHARSET = re.compile(r""";[ \t]*charset="?([\w.:+-]{1,40})"?""", re.ASCII | re.IGNORECASE)
_EXTENSIONS = {"text/csv": "csv", "text/html": "html", "text/xml": "xml", "application/xml": "xml"}
_TEMPORARY = frozenset({408, 425, 429})


def fetch(  # noqa: PLR0913 - two are the task's, the others are injected
    user_id: catalog.UserId,  # noqa: ARG001 - for whom; what is fetched belongs to the job, and with it to its owner
    data_url: catalog.Url,
    *,
    progress: Progress = injected,
    results: Results = injected,
    client: Annotated[Client, Depends(public_client, scope="environment")] = injected,
    clock: Annotated[Clock, Depends(SystemClock)] = injected,
) -> None:
    """Get the data, see that it is what it says, and keep it."""
    answer = _got(client, data_url, clock)
    media_type, kept_as = _types(answer)
    results.store(f"data.{_extension(answer, media_type)}", answer.body, kept_as)
    progress.report(1, 1, f"Stored {len(answer.body)} bytes of {media_type}")


def _got(client: Client, url: str, clock: Clock) -> Answer:
    with outcome():
        answer = client.get(url, seconds=SECONDS, limit=LIMIT, accept=ACCEPT)
    if not answer.good:
        _give_up_or_wait(answer, clock)
    return answer


def _give_up_or_wait(answer: Answer, clock: Clock) -> NoReturn:
    reason = f"{answer.host} answered {answer.status}"
    if answer.status < 500 and answer.status not in _TEMPORARY:  # noqa: PLR2004 - RFC 9110, 15.6
        raise Discard(reason)
    raise Retry(reason, at_least=min(LONGEST_WAIT, answer.retry_after(clock.now())))


def _types(answer: Answer) -> tuple[str, str]:
    """Return the type of what was sent, and the same with its character set."""
    sent = answer.headers.get("content-type", "").strip()
    found = _MEDIA_TYPE.fullmatch(sent)
    if not found:
        raise Discard(f"{answer.host} does not say what type of data it sends")
    media_type = found[1].lower()
    if not (media_type in _EXTENSIONS or media_type.startswith("text/") or _is_json(media_type)):
        raise Discard(f"{answer.host} sends {media_type[:100]}; JSON, text and XML are taken")
    charset = _CHARSET.search(sent)
    return media_type, f"{media_type}; charset={charset[1]}" if charset else media_type


def _is_json(media_type: str) -> bool:
    return media_type == "application/json" or media_type.endswith("+json")


def _extension(answer: Answer, media_type: str) -> str:
    if not _is_json(media_type):
        return _EXTENSIONS.get(media_type, "txt")
    try:
        json.loads(answer.body, parse_int=len, parse_float=len, parse_constant=_no_number)
    except (ValueError, RecursionError):
        raise Discard(f"what {answer.host} sends as {media_type[:100]} is not valid JSON") from None
    return "json"


def _no_number(name: str) -> NoReturn:
    """Refuse NaN and Infinity, which Python takes and JSON has not."""
    raise ValueError(name)


lambda_handler = catalog.fetch_external_data.worker(fetch)
