"""What the local gateway asks of a token, and how it refuses: as API Gateway's JWT authorizer does, over real HTTP."""

import base64
import hmac
import json
import os
import re
import stat
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from joserfc import jws, jwt
from joserfc.jwk import RSAKey

from local.authorizer import Authorizer
from local.cloud import LocalCloud, local_parameters
from local.errors import CannotStart
from local.route import JwtAuthorizer
from local.tokens import Issuer
from local.user import AUDIENCE, ISSUER, Refused
from tests.stack.conftest import APP, STATE
from tests.stack.test_command import ROOT, Run, app, running

__all__ = ["app"]

UNAUTHORIZED = b'{"message":"Unauthorized"}'
"""26 bytes, as the Content-Length in AWS's documentation says."""

Claims = dict[str, Any]


def said(description: str) -> str:
    return f'Bearer scope="" error="invalid_token" error_description="{description}"'


AUDIENCES = said("the token does not have a valid audience")
EARLY = said("the token is not valid yet")
EXPIRED = said("the token has expired")
ISSUERS = said("issuer does not match")
KEYS = said("the token is not signed with a key of its issuer")
SEGMENTS = said("token contains an invalid number of segments")
UNREADABLE = said("the token cannot be decoded")


@pytest.fixture(scope="module")
def issuer(tmp_path_factory: pytest.TempPathFactory) -> Issuer:
    return Issuer.kept(tmp_path_factory.mktemp("issuer"))


@pytest.fixture(scope="module")
def cloud(issuer: Issuer) -> Iterator[LocalCloud]:
    """The small application behind an authorizer."""
    with LocalCloud(APP, state=STATE, own_runtime=True, caller=Authorizer(issuer.keys)) as running:
        yield running


@pytest.fixture(scope="module")
def http(cloud: LocalCloud) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=cloud.url, timeout=30) as client:
        yield client


def claims(**changes: Any) -> Claims:
    """Return those of a token that passes, but for the changes; what is None is left out."""
    now = int(time.time())
    made = {"iss": ISSUER, "aud": AUDIENCE, "sub": "7", "iat": now, "nbf": now, "exp": now + 60} | changes
    return {name: value for name, value in made.items() if value is not None}


def part(value: object) -> str:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def signed(issuer: Issuer, payload: bytes) -> str:
    """Sign what need not be claims."""
    return jws.serialize_compact({"alg": "RS256", "kid": issuer.key.kid}, payload, issuer.key)


def ask(http: httpx.Client, authorization: str, path: str = "/items/1") -> httpx.Response:
    return http.get(path, headers={"authorization": authorization} if authorization else {})


def jwt_of(response: httpx.Response) -> Any:
    assert response.status_code == 200, response.text
    return response.json()["requestContext"]["authorizer"]["jwt"]


def assert_refused(response: httpx.Response, challenge: str) -> None:
    """Check that an answer is the gateway's: its status, every byte of its body, and its headers."""
    assert (response.status_code, response.content) == (401, UNAUTHORIZED)
    assert response.headers["www-authenticate"] == challenge
    assert response.headers["apigw-requestid"]
    assert "content-type" not in response.headers


@pytest.mark.parametrize("prefix", ["Bearer ", "bearer ", "BEARER   ", ""])
def test_a_token_passes(http: httpx.Client, issuer: Issuer, prefix: str) -> None:
    """With the word Bearer in any case, or by itself; its claims reach the function as texts."""
    given = claims(scope="admin other")
    assert jwt_of(ask(http, prefix + issuer.sign(given))) == {
        "claims": {name: str(value) for name, value in given.items()},
        "scopes": None,
    }


def test_claims_are_texts(http: httpx.Client, issuer: Issuer) -> None:
    """Lists stand in brackets, numbers and truth values are spelled out, what is null is left out."""
    more = {"scp": ["a", "b c"], "groups": [], "level": 1.5, "verified": True, "address": {"city": "Oslo"}}
    found = jwt_of(ask(http, issuer.sign(claims() | more | {"nothing": None})))["claims"]
    assert {name: found[name] for name in more} == {
        "scp": "[a b c]",
        "groups": "[]",
        "level": "1.5",
        "verified": "true",
        "address": '{"city":"Oslo"}',
    }
    assert "nothing" not in found


@pytest.mark.parametrize(
    "changes", [{"aud": ["x", AUDIENCE]}, {"aud": None, "client_id": AUDIENCE}, {"nbf": None, "iat": None}]
)
def test_what_need_not_be_there(http: httpx.Client, issuer: Issuer, changes: Claims) -> None:
    """The audience may be one of several, or be called client_id; nbf and iat count where they are there."""
    assert jwt_of(ask(http, issuer.sign(claims(**changes))))["claims"]["sub"] == "7"


@pytest.mark.parametrize("authorization", ["", "Bearer", "bearer"])
def test_no_token_is_refused(http: httpx.Client, authorization: str) -> None:
    """The challenge asks for one, and no more."""
    assert_refused(ask(http, authorization), "Bearer")


def test_a_token_elsewhere_is_none(http: httpx.Client, issuer: Issuer) -> None:
    """Neither the query, a cookie nor another header is looked at."""
    token = issuer.token("7")
    headers = {"cookie": f"Authorization={token}", "x-authorization": token, "proxy-authorization": f"Bearer {token}"}
    response = http.get("/items/1", params={"access_token": token, "authorization": token}, headers=headers)
    assert_refused(response, "Bearer")


@pytest.mark.parametrize(
    ("changes", "challenge"),
    [
        ({"exp": int(time.time()) - 1}, EXPIRED),
        ({"exp": None}, EXPIRED),
        ({"exp": "2100-01-01"}, EXPIRED),
        ({"exp": float("nan")}, EXPIRED),
        ({"nbf": 4_000_000_000}, EARLY),
        ({"iat": 4_000_000_000}, EARLY),
        ({"nbf": "now"}, EARLY),
        ({"iss": ISSUER + "/"}, ISSUERS),
        ({"iss": ISSUER.upper()}, ISSUERS),
        ({"iss": [ISSUER]}, ISSUERS),
        ({"iss": None}, ISSUERS),
        ({"aud": "another"}, AUDIENCES),
        ({"aud": AUDIENCE + " "}, AUDIENCES),
        ({"aud": [[AUDIENCE], {AUDIENCE: 1}]}, AUDIENCES),
        ({"aud": []}, AUDIENCES),
        ({"aud": None}, AUDIENCES),
        ({"aud": "another", "client_id": AUDIENCE}, AUDIENCES),
        ({"aud": "", "client_id": AUDIENCE}, AUDIENCES),
    ],
)
def test_claims_are_checked(http: httpx.Client, issuer: Issuer, changes: Claims, challenge: str) -> None:
    """A token that has expired, is not valid yet or is meant for others is refused, and told why."""
    assert_refused(ask(http, f"Bearer {issuer.sign(claims(**changes))}"), challenge)


def test_an_expired_token_was_good(http: httpx.Client, issuer: Issuer) -> None:
    """One second makes the difference: nothing is allowed for clocks that differ."""
    now = int(time.time())
    asked = JwtAuthorizer(ISSUER, (AUDIENCE,))
    headers = {"authorization": issuer.sign(claims(exp=now + 10))}
    assert Authorizer(issuer.keys, lambda: now + 9.9).authorizer(asked, headers)
    with pytest.raises(Refused) as refused:
        Authorizer(issuer.keys, lambda: now + 10).authorizer(asked, headers)
    assert refused.value.challenge == EXPIRED


def test_who_signs_it_is_checked(http: httpx.Client, issuer: Issuer) -> None:
    """Unsigned, with another key under the same id, with an unknown id or none, or with a public key as a secret."""
    name = issuer.key.kid
    foreign = RSAKey.generate_key(2048)
    given = claims()
    header, payload, signature = issuer.sign(given).split(".")
    confused = f"{part({'alg': 'HS256', 'kid': name})}.{part(given)}"
    mac = hmac.new(issuer.key.as_pem(private=False), confused.encode(), "sha256").digest()
    tokens = {
        "unsigned": f"{part({'alg': 'none', 'kid': name})}.{part(given)}.",
        "unsigned, signed": f"{part({'alg': 'none', 'kid': name})}.{part(given)}.{signature}",
        "spelled differently": f"{part({'alg': 'NonE', 'kid': name})}.{part(given)}.",
        "stripped": f"{header}.{payload}.",
        "foreign": jwt.encode({"alg": "RS256", "kid": name}, given, foreign),
        "unknown id": jwt.encode({"alg": "RS256", "kid": "another"}, given, issuer.key),
        "no id": jwt.encode({"alg": "RS256"}, given, issuer.key),
        "an id that is a list": f"{part({'alg': 'RS256', 'kid': [name]})}.{payload}.{signature}",
        "keys elsewhere": jwt.encode({"alg": "RS256", "kid": "x", "jku": "https://example.com/keys"}, given, foreign),
        "confused": f"{confused}.{part(mac)}",
        "another padding": jwt.encode({"alg": "PS256", "kid": name}, given, issuer.key, ["PS256"]),
        "changed": f"{header}.{part(given | {'sub': '8'})}.{signature}",
        "critical": f"{part({'alg': 'RS256', 'kid': name, 'crit': ['x'], 'x': 1})}.{payload}.{signature}",
    }
    for what, token in tokens.items():
        response = ask(http, f"Bearer {token}")
        assert (what, response.headers.get("www-authenticate")) == (what, KEYS)
        assert_refused(response, KEYS)


@pytest.mark.parametrize("algorithm", ["RS256", "RS384", "RS512"])
def test_rsa_signs(http: httpx.Client, issuer: Issuer, algorithm: str) -> None:
    """The three algorithms that API Gateway knows."""
    token = jwt.encode({"alg": algorithm, "kid": issuer.key.kid}, claims(), issuer.key, [algorithm])
    assert jwt_of(ask(http, token))["claims"]["sub"] == "7"


def test_what_is_no_token_is_refused(http: httpx.Client, issuer: Issuer) -> None:
    """Too few or too many parts, parts that are no base64 or no JSON, and JSON that is no object."""
    token = issuer.token("7")
    header, payload, signature = token.split(".")
    tokens = {
        "not-a-token": SEGMENTS,
        "Basic YWRhOnNlY3JldA==": SEGMENTS,
        header: SEGMENTS,
        f"{header}.{payload}": SEGMENTS,
        f"{token}.": SEGMENTS,
        f"{token},Bearer {token}": SEGMENTS,
        "..": UNREADABLE,
        f"{header}.{payload}.{signature}!": UNREADABLE,
        f"{header}.{payload}.{signature}=": UNREADABLE,
        f"{header}.{payload}. {signature}": UNREADABLE,
        f"x.{payload}.{signature}": UNREADABLE,
        f"{part([])}.{payload}.{signature}": UNREADABLE,
        f"{part({'kid': issuer.key.kid})}.{payload}.{signature}": UNREADABLE,
        f"{part(b'no json')}.{payload}.{signature}": UNREADABLE,
        f"{header}.{part(b'no json')}.{signature}": UNREADABLE,
        signed(issuer, json.dumps([claims()]).encode()): UNREADABLE,
        signed(issuer, b'"7"'): UNREADABLE,
        signed(issuer, b"\xff\xfe"): UNREADABLE,
        signed(issuer, b"[" * 30_000): UNREADABLE,
    }
    for text, challenge in tokens.items():
        response = ask(http, f"Bearer {text}" if not text.startswith("Basic") else text)
        assert (text[:99], response.headers.get("www-authenticate")) == (text[:99], challenge)
        assert_refused(response, challenge)


def test_two_tokens_are_none(http: httpx.Client, issuer: Issuer) -> None:
    """Of two headers neither is chosen."""
    token = f"Bearer {issuer.token('7')}"
    assert_refused(http.get("/items/1", headers=[("authorization", token), ("authorization", token)]), SEGMENTS)


def test_an_open_route_asks_for_none(http: httpx.Client, issuer: Issuer) -> None:
    """Nor does it look at what is presented; a route that is not there is not found before anybody asks."""
    for authorization in ("", "Bearer x", issuer.token("7")):
        response = ask(http, authorization, "/open")
        assert response.status_code == 200
        assert "authorizer" not in response.json()["requestContext"]
    assert ask(http, "", "/nowhere").content == b'{"message":"Not Found"}'


def test_a_route_may_ask_for_a_scope(issuer: Issuer) -> None:
    """One of its scopes is enough, in `scope` or `scp`; without any it is 403, as the gateway says it."""
    asked = JwtAuthorizer(ISSUER, (AUDIENCE,), ("read", "write"))
    checking = Authorizer(issuer.keys)
    enough: list[Claims] = [{"scope": "x write"}, {"scp": ["write"]}]
    for given in enough:
        jwt_ = checking.authorizer(asked, {"authorization": issuer.sign(claims(**given))})["jwt"]
        assert "write" in jwt_["scopes"]
    too_little: list[Claims] = [{}, {"scope": "rewrite"}, {"scp": ["x"], "scope": "y"}]
    for given in too_little:
        with pytest.raises(Refused) as refused:
            checking.authorizer(asked, {"authorization": issuer.sign(claims(**given))})
        assert (refused.value.status, refused.value.message) == (403, "Forbidden")
        assert refused.value.challenge == 'Bearer scope="read write" error="insufficient_scope"'


# The local issuer


def test_the_template_trusts_the_local_issuer() -> None:
    """What the local cloud gives the template as its issuer and its audience is what local tokens say."""
    given = local_parameters(0)
    assert (given["JwtIssuer"], given["JwtAudience"]) == (ISSUER, AUDIENCE)


def test_the_key_is_kept_and_nobody_elses(tmp_path: Path) -> None:
    """It is made on first use, only its user may read it, and tokens outlive a restart."""
    folder = tmp_path / "new"
    first = Issuer.kept(folder)
    (file,) = folder.iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    again = Issuer.kept(folder)
    headers = {"authorization": first.token("7")}
    assert Authorizer(again.keys).authorizer(JwtAuthorizer(ISSUER, (AUDIENCE,)), headers)
    assert "d" not in next(iter(again.keys.values())).as_dict()
    assert ".local/" in (ROOT / ".gitignore").read_text().splitlines()


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"kty": "oct", "k": "AAAA"}', '{"kty": "RSA"}'])
def test_a_broken_key_is_said(tmp_path: Path, text: str) -> None:
    """The file is named, and what to do about it."""
    (tmp_path / "issuer.json").write_text(text)
    with pytest.raises(CannotStart, match=r"issuer\.json holds no key .* Delete it"):
        Issuer.kept(tmp_path)


def printed(app: Path, *arguments: str) -> str:
    command = [str(ROOT / ".venv/bin/python"), "-m", "local.tokens", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=app, env=environment, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_the_command_demands_and_prints_tokens(app: Path) -> None:
    """`python -m local --auth` takes what `python -m local.tokens` prints, and says so; it takes nothing else."""
    with running(Run(app, "--auth")) as run:
        address = run.ready()
        assert "make token USER=7" in run.text
        assert_refused(httpx.get(f"{address}/items/1"), "Bearer")
        with httpx.Client(base_url=address) as http:
            found = jwt_of(ask(http, f"Bearer {printed(app, '--scope', 'admin', '7')}"))
            assert [found["claims"][name] for name in ("iss", "sub", "scope")] == [ISSUER, "7", "admin"]
            assert_refused(ask(http, printed(app, "--seconds", "-1", "7")), EXPIRED)


def test_make_passes_on_who_is_meant() -> None:
    """`make run AUTH=1` demands tokens; `make token USER=7` means 7, and never who is logged in."""

    def last(*arguments: str) -> str:
        command = ["make", "--dry-run", "--always-make", "--no-print-directory", *arguments]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        return done.stdout.splitlines()[-1]

    assert re.search(r"-m local --auth --allow-loopback", last("run", "AUTH=1"))
    assert "--auth" not in last("run") + last("run", "AUTH=0")
    assert last("token", "USER=7").endswith('-m local.tokens -- "7"')
    wanted = '--scope "admin" --seconds "60" -- "7"'
    assert last("token", "USER=7", "SCOPE=admin", "SECONDS=60").endswith(wanted)
    with pytest.raises(subprocess.CalledProcessError) as refused:
        last("token")
    assert "Whose token? make token USER=7" in refused.value.stderr
