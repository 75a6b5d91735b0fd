"""What a gatekeeper makes of tokens."""

import time
from collections.abc import Callable
from typing import Any

import jwt
import pytest
from imc_contracts.codes import ErrorCode
from imc_contracts.errors import Refused
from imc_contracts.policies import Policies
from imc_contracts.scopes import Scope
from imc_service.auth import gatekeeper as gatekeeper_module
from imc_service.auth import service_tokens
from imc_service.auth.gatekeeper import Gatekeeper, gatekeeper_of
from imc_service.auth.grant import EVERYTHING, Grant
from imc_service.auth.service_tokens import COMMAND_API, QUERY_API, ServiceToken
from imc_service.auth.settings import ServiceAccessSettings
from imc_service.settings import load
from imc_testkit.tokens import JWT, OFF, SECRET, SERVICE_SECRET, bad_tokens, claims_of, token
from pydantic import SecretStr


@pytest.fixture
def gatekeeper() -> Gatekeeper:
    return gatekeeper_of(load(ServiceAccessSettings, JWT), Policies(), COMMAND_API)


async def refusal(gatekeeper: Gatekeeper, text: str) -> Refused:
    with pytest.raises(Refused) as caught:
        await gatekeeper.grant_of(text)
    return caught.value


async def test_every_bad_token_is_refused_each_time(gatekeeper: Gatekeeper) -> None:
    for name, bad in bad_tokens().items():
        for _ in range(2):
            refused = await refusal(gatekeeper, bad)
            assert refused.code is ErrorCode.UNAUTHENTICATED, name
            assert bad not in refused.message or len(bad) < 6, name


@pytest.mark.parametrize(
    ("app", "apps"),
    [
        ("demo", {"demo"}),
        (["demo", "other"], {"demo", "other"}),
        ("*", None),
        (["*"], None),
        ([], set[str]()),
        ("应用 1", {"应用 1"}),
        (["a*", "**"], {"a*", "**"}),
    ],
)
async def test_a_good_token_is_read(gatekeeper: Gatekeeper, app: Any, apps: set[str] | None) -> None:
    grant = await gatekeeper.grant_of(token(app, "read  send unknown"))
    assert grant.apps == (None if apps is None else frozenset(apps))
    assert grant.scopes == {Scope.READ, Scope.SEND}
    assert time.time() + 590 < grant.expires_at < time.time() + 610


@pytest.mark.parametrize("scope", [["read", "send"], "send read"])
async def test_scopes_are_a_text_or_a_list(gatekeeper: Gatekeeper, scope: Any) -> None:
    claims = {**claims_of(), "scope": scope, "aud": ["else", "imc"], "sub": "x", "jti": "y"}
    grant = await gatekeeper.grant_of(jwt.encode(claims, SECRET, "HS256"))
    assert grant.scopes == {Scope.READ, Scope.SEND}


async def test_no_token_of_a_client_is_one_of_a_service(gatekeeper: Gatekeeper) -> None:
    assert (await gatekeeper.grant_of(token("*", "internal read"))).scopes == {Scope.READ}
    forged = jwt.encode(
        {**claims_of(), "aud": COMMAND_API, "scope": "internal"},
        SECRET,
        "HS256",
        {"typ": service_tokens.TYPE},
    )
    await refusal(gatekeeper, forged)


async def test_a_service_is_known_by_its_token() -> None:
    headers = ServiceToken(SecretStr(SERVICE_SECRET), QUERY_API, Scope.INTERNAL).headers()
    text = headers["authorization"].removeprefix("Bearer ")
    at_query_api = gatekeeper_of(load(ServiceAccessSettings, JWT), Policies(), QUERY_API)
    assert (await at_query_api.grant_of(text)).scopes == {Scope.INTERNAL}
    at_command_api = gatekeeper_of(load(ServiceAccessSettings, JWT), Policies(), COMMAND_API)
    assert (await refusal(at_command_api, text)).code is ErrorCode.UNAUTHENTICATED
    at_push_node = gatekeeper_of(load(ServiceAccessSettings, JWT), Policies())
    assert "do not call here" in (await refusal(at_push_node, text)).message


def test_a_service_token_is_made_anew_in_time() -> None:
    now = 1000.0
    made = ServiceToken(SecretStr(SERVICE_SECRET), QUERY_API, Scope.INTERNAL, lambda: now)
    first = made.headers()
    now += service_tokens.RENEWAL_SECONDS - 1
    assert made.headers() == first
    now += 1
    second = made.headers()
    assert second != first
    now -= 500
    assert made.headers() != second


async def test_while_a_secret_is_replaced_both_are_good() -> None:
    both = {**JWT, "IMC_JWT_SECRET": f"{'n' * 32} {SECRET}"}
    gatekeeper = gatekeeper_of(load(ServiceAccessSettings, both), Policies())
    await gatekeeper.grant_of(token())
    await gatekeeper.grant_of(jwt.encode(claims_of(), "n" * 32, "HS256"))


async def test_a_token_is_verified_once_and_good_until_it_expires(
    gatekeeper: Gatekeeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    verified = 0
    decode: Callable[..., Any] = jwt.decode

    def counting(*arguments: Any, **options: Any) -> Any:
        nonlocal verified
        verified += 1
        return decode(*arguments, **options)

    monkeypatch.setattr("jwt.decode", counting)
    text = token(lifetime=60)
    for _ in range(3):
        await gatekeeper.grant_of(text)
    assert verified == 1
    later = time.time() + 61
    monkeypatch.setattr("time.time", lambda: later)
    assert (await refusal(gatekeeper, text)).message == "the token has expired"
    assert (await refusal(gatekeeper, text)).message == "the token has expired"


async def test_no_more_tokens_are_remembered_than_there_is_room_for(
    gatekeeper: Gatekeeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gatekeeper_module, "REMEMBERED", 3)
    for number in range(5):
        await gatekeeper.grant_of(token(f"app{number}"))
    assert len(gatekeeper._remembered) == 3  # pyright: ignore[reportPrivateUsage]


async def test_nobody_is_asked_where_that_was_given_up() -> None:
    gatekeeper = gatekeeper_of(load(ServiceAccessSettings, OFF), Policies())
    assert gatekeeper.is_off
    assert await gatekeeper.grant_of("whatever") is EVERYTHING


def test_a_grant_covers_what_it_names_and_nothing_else() -> None:
    grant = Grant(frozenset({"a", "b"}), frozenset({Scope.READ}), 1.0)
    grant.require(Scope.READ, "a")
    assert grant.among(Scope.READ, "a") == {"a"}
    assert grant.among(Scope.READ, None) == {"a", "b"}
    assert EVERYTHING.among(Scope.SEND, None) is None
    for scope, app_id in ((Scope.READ, "A"), (Scope.READ, "c"), (Scope.SEND, "a"), (Scope.READ, "")):
        assert not grant.allows(scope, app_id)
        with pytest.raises(Refused) as caught:
            grant.require(scope, app_id)
        assert caught.value.code is ErrorCode.FORBIDDEN
        with pytest.raises(Refused):
            grant.among(scope, app_id)
    with pytest.raises(Refused):
        grant.among(Scope.SEND, None)
