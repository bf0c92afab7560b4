"""Who calls: what is read from the claims that a JWT authorizer has checked."""

from typing import Annotated, Any

import pytest
from fastapi import Depends
from hypothesis import given
from hypothesis import strategies as st

from afterward.background import owner
from afterward.background.caller import Caller, _scopes, caller
from afterward.digest import owner_digest
from tests.support.gateway import user
from tests.unit.web.conftest import Site


def who(site: Site) -> None:
    del site.app.dependency_overrides[owner]

    @site.app.get("/me")
    async def me(
        caller: Annotated[Caller, Depends(caller)], owner: Annotated[str, Depends(owner)]
    ) -> tuple[str, str, list[str], str]:
        return caller.issuer, caller.subject, sorted(caller.scopes), owner


def test_a_caller_is_who_the_token_names(site: Site) -> None:
    """Issuer, subject and scopes, each as it was written; the owner is a digest of the first two."""
    who(site)
    claims = user(" 07", scope="read admin", scp="[write]")
    assert site.gateway.caller(claims).get("/me").json == [
        claims["iss"],
        " 07",
        ["admin", "read", "write"],
        owner_digest(claims["iss"], " 07"),
    ]


def test_an_owner_follows_an_overridden_caller(site: Site) -> None:
    """An app with another authorizer overrides one thing."""
    who(site)
    site.app.dependency_overrides[caller] = lambda: Caller("https://x", "ada")
    assert site.get("/me").json() == ["https://x", "ada", [], owner_digest("https://x", "ada")]


@pytest.mark.parametrize(
    ("claims", "scopes"),
    [
        ({}, set()),
        ({"scope": ""}, set()),
        ({"scope": "  admin   read "}, {"admin", "read"}),
        ({"scp": "admin read"}, {"admin", "read"}),
        ({"scp": "[admin read]"}, {"admin", "read"}),
        ({"scp": "[]"}, set()),
        ({"scope": "read", "scp": "[admin]"}, {"admin", "read"}),
        ({"scope": "[admin]"}, {"[admin]"}),
        ({"scp": "[[admin]]"}, {"[admin]"}),
        ({"scope": "admin,read"}, {"admin,read"}),
        ({"scope": "admin\tread\nadmin\u00a0"}, {"admin\tread\nadmin\u00a0"}),
        ({"scope": ["admin"], "scp": {"admin": 1}}, set()),
        ({"permissions": "[admin]", "cognito:groups": "[admin]", "Scope": "admin"}, set()),
    ],
)
def test_scopes_are_words_between_spaces(claims: dict[str, Any], scopes: set[str]) -> None:
    """In `scope`, and in `scp`, which may have been a list; nothing else is a scope, and no part of a word is one."""
    assert _scopes(claims) == scopes


@given(st.text(), st.text())
def test_no_text_is_a_scope_but_the_words_in_it(scope: str, scp: str) -> None:
    """Whatever the claims say, each scope is a word of theirs, whole."""
    words = {*scope.split(" "), *scp.removeprefix("[").removesuffix("]").split(" "), *scp.split(" ")}
    assert _scopes({"scope": scope, "scp": scp}) <= words - {""}
