"""Who may: routes that name a user serve that user, and whoever has the scope admin."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute

import access
from afterward.background.caller import Caller, caller
from tests.support.gateway import ADA, Answer, Gateway, user
from tests.unit.app.conftest import TASKS, Deployed

FORM = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.csv"\r\n\r\nid\n1\n\r\n--b--\r\n'
FETCH = {"data_url": "https://example.com/data", "webhook_url": "https://example.com/hook"}

ROUTES: list[tuple[str, str, dict[str, str]]] = [
    ("POST", "/upload-csv/{user_id}", {}),
    ("POST", "/upload-csv/{user_id}/url", {}),
    ("POST", "/user/{user_id}/action", {"action": "login"}),
    ("POST", "/trigger-external-fetch/{user_id}", FETCH),
    ("POST", "/safe-task/{user_id}", {"message": "hello"}),
    ("POST", "/action/{user_id}", {"action": "login"}),
    ("GET", "/users/{user_id}/notifications", {}),
    ("GET", "/users/{user_id}/activity", {}),
    ("GET", "/users/{user_id}/statistics", {}),
]
"""Every route that names a user, with what it needs."""


def call(api: Gateway, method: str, path: str, query: dict[str, str], user_id: str = "7") -> Answer:
    body = FORM if path == "/upload-csv/{user_id}" else None
    headers = {"content-type": "multipart/form-data; boundary=b"} if body else {}
    return api.request(method, path.format(user_id=user_id), query=query, body=body, headers=headers)


def promised(deployed: Deployed) -> list[Any]:
    """Return everything that a request may have left behind."""
    waiting = [one for task in TASKS for one in deployed.waiting(task)]
    return [*waiting, *deployed.records(), *deployed.objects("")]


SERVED = [user("7"), user("ada", scope="admin"), user("x", scp="read admin"), user("x", scp="[read admin]")]

OTHERS = [
    *(user(subject) for subject in ("8", "07", " 7", "7 ", "7.0", "+7", "\uff17", "77", "admin")),
    user("x", scope="administrator not-admin admin:read Admin"),
    user("x", scope="[admin]"),
    user("x", scp="[admin"),
    user("x", scope="read\u00a0admin\tadmin"),
    user("x", permissions="admin", groups="[admin]"),
    user("x", user_id="7", email="7"),
]


@pytest.mark.parametrize(("method", "path", "query"), ROUTES)
def test_a_user_and_an_admin_are_served(deployed: Deployed, method: str, path: str, query: dict[str, str]) -> None:
    """Whose number the path names, or whoever has the scope, in `scope` or in `scp` as a text or a list."""
    for claims in SERVED:
        assert call(deployed.api.caller(claims), method, path, query).status in {200, 202}, claims


@pytest.mark.parametrize(("method", "path", "query"), ROUTES)
def test_nobody_else_is(deployed: Deployed, method: str, path: str, query: dict[str, str]) -> None:
    """A 403 says why, and nothing has happened: what is not the very number, or the very word, is another."""
    for claims in OTHERS:
        answer = call(deployed.api.caller(claims), method, path, query)
        assert (answer.status, answer.headers["content-type"]) == (403, "application/problem+json"), claims
        assert answer.json == {
            "type": "about:blank",
            "title": "Forbidden",
            "status": 403,
            "detail": "You are not this user, and your token has not the scope admin.",
        }
    assert promised(deployed) == []


@pytest.mark.parametrize(("method", "path", "query"), ROUTES)
def test_nobody_is_served_without_a_token(deployed: Deployed, method: str, path: str, query: dict[str, str]) -> None:
    """Before it is asked whose number it is."""
    assert call(deployed.api.caller(None), method, path, query).status == 401
    assert promised(deployed) == []


@pytest.mark.parametrize("spelled", ["07", "+7", "7.0"])
def test_a_number_is_one_however_it_is_spelled(deployed: Deployed, spelled: str) -> None:
    """A path's number means a user, and is served to that user alone."""
    path = f"/users/{spelled}/statistics"
    assert deployed.api.caller(user("7")).get(path).json["user_id"] == 7
    assert deployed.api.caller(user(spelled)).get(path).status == 403


def test_an_inbox_is_its_owners(deployed: Deployed) -> None:
    """Inboxes have any name: whose `sub` it is may read it, letter by letter, and nobody else but an admin."""
    mine = "/users/ada@example.com/notifications"
    for subject, status in {"ada@example.com": 200, "Ada@example.com": 403, "ada@example.co": 403, "7": 403}.items():
        assert deployed.api.caller(user(subject)).get(mine).status == status
    assert deployed.api.caller(ADA).get(mine).status == 200
    assert deployed.api.caller(user("07")).get("/users/07/notifications").status == 200
    assert deployed.api.caller(user("7")).get("/users/07/notifications").status == 403


def test_what_is_no_user_is_said_first(deployed: Deployed) -> None:
    """A path that names nobody is 422 for everybody."""
    for claims in (user("x"), ADA):
        assert deployed.api.caller(claims).get("/users/x/activity").status == 422


# No route forgets


def routes(deployed: Deployed) -> Iterator[APIRoute]:
    from api import app  # noqa: PLC0415 - Mangum wants the loop that a Lambda has

    yield from (one for one in all_of(app.routes) if isinstance(one, APIRoute))


def all_of(found: Any) -> Iterator[Any]:
    """Return routes, and those of routers that were included."""
    for one in found:
        router = getattr(one, "original_router", None)
        if router is None:
            yield one
        else:
            yield from all_of(router.routes)


def calls(dependant: Dependant) -> Iterator[Any]:
    yield dependant.call
    for one in dependant.dependencies:
        yield from calls(one)


def test_every_route_that_names_a_user_asks_who_calls(deployed: Deployed) -> None:
    """Each of them is among the routes above, takes its user from the check, and documents the 403."""
    naming = [one for one in routes(deployed) if "user" in one.path]
    assert sorted((method, one.path) for one in naming for method in one.methods or ()) == sorted(
        (method, path) for method, path, _ in ROUTES
    )
    for one in naming:
        checks = [call for call in calls(one.dependant) if getattr(call, "__module__", "") == access.__name__]
        assert len(checks) == 1, one.path
        assert not [field for field in one.dependant.path_params if field.name == "user_id"], one.path
        assert 403 in one.responses, one.path


def test_every_route_asks_who_calls(deployed: Deployed) -> None:
    """But for the documentation, which is the same for all."""
    for one in routes(deployed):
        assert caller in {*calls(one.dependant)}, one.path


def test_the_documentation_tells_of_it(deployed: Deployed) -> None:
    """Every route that names a user has a 403 that names the scope, and no other route has any."""
    paths = deployed.api.get("/openapi.json").json["paths"]
    told = {
        (method.upper(), path): operation["responses"]["403"]["description"]
        for path, methods in paths.items()
        for method, operation in methods.items()
        if "403" in operation["responses"]
    }
    assert told.keys() == {(method, path) for method, path, _ in ROUTES}
    assert all("`admin`" in description for description in told.values())


def test_a_caller_is_not_written_out() -> None:
    """What is logged of a caller names nobody."""
    assert not re.search("ada", repr(Caller("https://issuer.example.com", "ada", frozenset({"admin"}))))
