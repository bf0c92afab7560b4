import base64
import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from local import gateway
from local.cloud import LocalCloud
from local.gateway import BODY_LIMIT
from tests.stack.waiting import eventually


@pytest.fixture
def http(cloud: LocalCloud) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=cloud.url, timeout=30) as client:
        yield client


def seen(response: httpx.Response) -> dict[str, Any]:
    assert response.status_code == 200, response.text
    event: dict[str, Any] = response.json()
    return event


def test_a_request_becomes_an_event_of_format_2(http: httpx.Client) -> None:
    """The event has what API Gateway says of a request."""
    event = seen(
        http.put("/below/a/b?x=1&x=2&y=%20z&empty=", json={"k": "v"}, headers={"X-Thing": "1", "User-Agent": "me"})
    )
    assert event["version"] == "2.0"
    assert event["routeKey"] == "ANY /below/{proxy+}"
    assert event["rawPath"] == "/below/a/b"
    assert event["rawQueryString"] == "x=1&x=2&y=%20z&empty="
    assert event["queryStringParameters"] == {"x": "1,2", "y": " z", "empty": ""}
    assert event["pathParameters"] == {"proxy": "a/b"}
    assert event["headers"]["x-thing"] == "1"
    assert event["headers"]["x-forwarded-for"] == "127.0.0.1"
    assert event["headers"]["x-amzn-trace-id"].startswith("Root=1-")
    assert json.loads(event["body"]) == {"k": "v"}
    assert event["isBase64Encoded"] is False
    context = event["requestContext"]
    assert context["http"] == {
        "method": "PUT",
        "path": "/below/a/b",
        "protocol": "HTTP/1.1",
        "sourceIp": "127.0.0.1",
        "userAgent": "me",
    }
    assert context["stage"] == "$default"
    assert context["domainName"] == event["headers"]["host"]
    assert context["timeEpoch"] > 1_700_000_000_000
    assert context["time"].endswith(" +0000")


def test_a_path_is_decoded_and_a_query_is_not(http: httpx.Client) -> None:
    """That is how HTTP APIs differ from REST APIs."""
    event = seen(http.get("/items/a%20b%40c?q=%C3%A4"))
    assert event["rawPath"] == "/items/a b@c"
    assert event["pathParameters"] == {"id": "a b@c"}
    assert event["rawQueryString"] == "q=%C3%A4"
    assert event["queryStringParameters"] == {"q": "ä"}


def test_cookies_are_a_list_and_no_header(http: httpx.Client) -> None:
    """Format 2.0 has them in a field of their own."""
    event = seen(http.get("/items/1", headers={"Cookie": "a=1; b=2"}))
    assert event["cookies"] == ["a=1", "b=2"]
    assert "cookie" not in event["headers"]


def test_headers_that_come_twice_are_joined(http: httpx.Client) -> None:
    """Format 2.0 has no lists of values."""
    event = seen(http.get("/items/1", headers=[("X-Many", "1"), ("X-Many", "2")]))
    assert event["headers"]["x-many"] == "1,2"


def test_no_query_cookies_or_body_leave_no_fields(http: httpx.Client) -> None:
    """Absent things are absent."""
    event = seen(http.get("/open"))
    assert not {"queryStringParameters", "cookies", "body", "pathParameters"} & set(event)
    assert event["rawQueryString"] == ""


@pytest.mark.parametrize(
    "content_type", ["image/png", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"]
)
def test_a_body_that_is_no_text_by_its_type_is_base64(http: httpx.Client, content_type: str) -> None:
    """The content type alone decides, as forms on real HTTP APIs show."""
    event = seen(http.post("/below/x", content=b"a=1", headers={"Content-Type": content_type}))
    assert event["isBase64Encoded"] is True
    assert base64.b64decode(event["body"]) == b"a=1"


def test_a_posted_file_comes_byte_for_byte(http: httpx.Client) -> None:
    """A form with a file in it is no text, whatever the file's own type says."""
    content = bytes(range(256))
    event = seen(http.post("/below/x", files={"file": ("a.csv", content, "text/csv")}))
    assert event["isBase64Encoded"] is True
    assert b"\r\n\r\n" + content + b"\r\n--" in base64.b64decode(event["body"])


@pytest.mark.parametrize("content_type", ["text/csv", "application/json; charset=utf-8", "application/problem+json"])
def test_a_text_body_is_itself(http: httpx.Client, content_type: str) -> None:
    """Text needs no encoding."""
    event = seen(http.post("/below/x", content="ä", headers={"Content-Type": content_type}))
    assert (event["isBase64Encoded"], event["body"]) == (False, "ä")


def test_the_caller_is_the_developer_where_a_token_is_asked_for(http: httpx.Client) -> None:
    """Claims are those of a token that the template's authorizer would accept."""
    jwt = seen(http.get("/items/1"))["requestContext"]["authorizer"]["jwt"]
    assert jwt == {
        "claims": {"iss": "https://issuer.localhost", "sub": "developer", "aud": "afterward-local", "scope": "admin"},
        "scopes": None,
    }


def test_an_open_route_has_no_caller(http: httpx.Client) -> None:
    """Routes without an authorizer say nothing about who calls."""
    assert "authorizer" not in seen(http.get("/open"))["requestContext"]


def test_the_most_specific_route_answers(http: httpx.Client) -> None:
    """A full match comes before variables, whatever the order in the template."""
    assert seen(http.get("/items/newest"))["routeKey"] == "GET /items/newest"
    assert seen(http.get("/items/oldest"))["routeKey"] == "GET /items/{id}"


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/nowhere"), ("POST", "/items/1"), ("GET", "/items/1/2"), ("GET", "/below")]
)
def test_what_no_route_takes_is_not_found(http: httpx.Client, method: str, path: str) -> None:
    """The gateway answers itself, in its own form."""
    response = http.request(method, path)
    assert (response.status_code, response.json()) == (404, {"message": "Not Found"})


def respond(http: httpx.Client, returned: Any) -> httpx.Response:
    return http.post("/below/respond", json=returned)


def test_a_result_becomes_a_response(http: httpx.Client) -> None:
    """Status, headers, cookies and body are the function's."""
    returned = {
        "statusCode": 202,
        "headers": {"X-A": "1", "Content-Type": "text/html"},
        "cookies": ["a=1; Path=/", "b=2"],
        "body": "ä",
    }
    response = respond(http, returned)
    assert (response.status_code, response.text, response.headers["x-a"]) == (202, "ä", "1")
    assert response.headers.get_list("set-cookie") == ["a=1; Path=/", "b=2"]
    assert response.headers["apigw-requestid"]


def test_a_base64_body_is_decoded(http: httpx.Client) -> None:
    """Bytes come through."""
    body = base64.b64encode(b"\x00\xff").decode()
    assert respond(http, {"statusCode": 200, "body": body, "isBase64Encoded": True}).content == b"\x00\xff"


def test_a_result_without_a_status_is_the_body(http: httpx.Client) -> None:
    """Format 2.0 infers the rest."""
    response = respond(http, {"hello": 1})
    assert (response.status_code, response.json(), response.headers["content-type"]) == (
        200,
        {"hello": 1},
        "application/json",
    )


@pytest.mark.parametrize(
    "returned",
    [
        {"statusCode": "many"},
        {"statusCode": 200, "headers": "none"},
        {"statusCode": 200, "isBase64Encoded": True, "body": "?"},
    ],
)
def test_a_malformed_result_is_an_internal_error(http: httpx.Client, returned: Any) -> None:
    """What is no response is the gateway's 500."""
    response = respond(http, returned)
    assert (response.status_code, response.json()) == (500, {"message": "Internal Server Error"})


def test_an_error_of_the_function_is_an_internal_error(http: httpx.Client) -> None:
    """Nothing of the error reaches the client."""
    response = http.post("/below/respond", content="no json", headers={"Content-Type": "text/plain"})
    assert (response.status_code, response.json()) == (500, {"message": "Internal Server Error"})


def test_a_slow_function_is_not_waited_for(http: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """Past the gateway's time the client gets its 503, and the function is there for the next request."""
    monkeypatch.setattr(gateway, "TIMEOUT", 0.2)
    response = http.get("/below/slow")
    assert (response.status_code, response.json()) == (503, {"message": "Service Unavailable"})
    monkeypatch.undo()
    assert http.get("/below/slow").status_code == 200


def test_a_body_has_the_gateways_limit(http: httpx.Client) -> None:
    """More than 10 MB are refused by the gateway, and more than 6 fail in Lambda."""
    response = http.post("/below/x", content=b"x" * (BODY_LIMIT + 1))
    assert (response.status_code, response.json()) == (413, {"message": "Request Entity Too Large"})
    assert http.post("/below/x", content=b"x" * (BODY_LIMIT - 1)).status_code == 500


def test_requests_are_logged_without_their_query(cloud: LocalCloud, http: httpx.Client) -> None:
    """A query may hold what nobody should read."""
    http.get("/items/logged?secret=1")
    lines = eventually(lambda: [line.text for line in cloud.logs if "logged" in line.text and line.source == "http"])
    assert lines[0].startswith("200 GET /items/logged ")
    assert "secret" not in lines[0]
