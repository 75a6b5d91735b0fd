"""Keys that an issuer publishes: which are taken, and what happens while it is away."""

import json
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from imc_contracts.codes import ErrorCode
from imc_contracts.errors import Refused
from imc_contracts.policies import Policies
from imc_contracts.scopes import CLIENT_SCOPES
from imc_service.auth import key_set as key_set_module
from imc_service.auth.gatekeeper import Gatekeeper
from imc_service.auth.key_set import KeySet
from imc_service.auth.verifier import Verifier
from imc_testkit.tokens import AUDIENCE, SECRET, bad_tokens, claims_of
from jwt.algorithms import ECAlgorithm, HMACAlgorithm, OKPAlgorithm, RSAAlgorithm
from jwt.utils import base64url_encode

RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC = ec.generate_private_key(ec.SECP256R1())
ED = ed25519.Ed25519PrivateKey.generate()


def jwk(key: Any, kid: str | None, **fields: Any) -> dict[str, Any]:
    kind: Any = {
        rsa.RSAPrivateKey: RSAAlgorithm,
        ec.EllipticCurvePrivateKey: ECAlgorithm,
    }
    algorithm = next((kind[each] for each in kind if isinstance(key, each)), OKPAlgorithm)
    public = json.loads(algorithm.to_jwk(key.public_key()))
    public.pop("key_ops", None)
    return {**public, **({} if kid is None else {"kid": kid}), **fields}


class Issuer:
    """An endpoint that answers as the test says."""

    def __init__(self) -> None:
        self.answer: Any = {"keys": [jwk(RSA, "rsa"), jwk(EC, "ec"), jwk(ED, "ed")]}
        self.status = 200
        self.calls = 0
        self.now = 1000.0
        client = httpx.AsyncClient(transport=httpx.MockTransport(self._reply))
        self.keys = KeySet("https://issuer/keys", client, lambda: self.now)
        self.gatekeeper = Gatekeeper(
            Verifier(self.keys, AUDIENCE, CLIENT_SCOPES), Policies(), None, self.keys
        )

    def _reply(self, _request: httpx.Request) -> httpx.Response:
        self.calls += 1
        if self.status == 0:
            raise httpx.ConnectError("refused")
        content = self.answer if isinstance(self.answer, bytes) else json.dumps(self.answer).encode()
        return httpx.Response(self.status, content=content)

    async def code(self, token: str) -> ErrorCode | None:
        """Why the token is refused, or None if it is not."""
        try:
            await self.gatekeeper.grant_of(token)
        except Refused as refused:
            return refused.code
        return None


@pytest.fixture
def issuer() -> Issuer:
    return Issuer()


def signed(key: Any, algorithm: str, kid: str | None = None, **claims: Any) -> str:
    headers = {} if kid is None else {"kid": kid}
    return jwt.encode({**claims_of(), **claims}, key, algorithm, headers)


async def test_each_kind_of_key_is_taken_for_its_own_algorithm(issuer: Issuer) -> None:
    for key, algorithm, kid in ((RSA, "RS256", "rsa"), (EC, "ES256", "ec"), (ED, "EdDSA", "ed")):
        assert await issuer.code(signed(key, algorithm, kid)) is None
    assert issuer.calls == 1
    for key, algorithm, kid in ((RSA, "PS256", "rsa"), (RSA, "RS512", "rsa"), (EC, "ES256", "rsa")):
        assert await issuer.code(signed(key, algorithm, kid)) is ErrorCode.UNAUTHENTICATED
    assert issuer.calls == 1


async def test_a_public_key_is_no_shared_secret(issuer: Issuer) -> None:
    pem = RSA.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    hashed = HMACAlgorithm(HMACAlgorithm.SHA256)
    head = base64url_encode(json.dumps({"alg": "HS256", "kid": "rsa"}).encode())
    body = base64url_encode(json.dumps(claims_of()).encode())
    for secret in (pem, pem.strip(), json.dumps(jwk(RSA, "rsa")).encode()):
        signature = base64url_encode(hashed.sign(head + b"." + body, secret))
        token = b".".join((head, body, signature)).decode()
        assert await issuer.code(token) is ErrorCode.UNAUTHENTICATED


async def test_a_token_signed_with_a_secret_is_refused(issuer: Issuer) -> None:
    for name, bad in bad_tokens().items():
        assert await issuer.code(bad) is ErrorCode.UNAUTHENTICATED, name


async def test_keys_that_are_not_for_this_are_left_out(issuer: Issuer) -> None:
    short = rsa.generate_private_key(public_exponent=65537, key_size=1024)
    p384 = ec.generate_private_key(ec.SECP384R1())
    oct_key = {"kty": "oct", "kid": "oct", "k": base64url_encode(SECRET.encode()).decode()}
    issuer.answer["keys"] += [
        jwk(RSA, "encryption", use="enc"),
        jwk(RSA, "other algorithm", alg="RS512"),
        jwk(short, "short"),
        jwk(p384, "p384"),
        jwk(ed448.Ed448PrivateKey.generate(), "ed448"),
        {**jwk(EC, "private"), "d": "AAAA"},
        oct_key,
        *({"kty": kind, "kid": "x"} for kind in ("RSA", "EC", [], None, {})),
        {"kid": ["rsa"], **jwk(RSA, None)},
        "text",
        None,
    ]
    assert await issuer.code(signed(RSA, "RS256", "rsa")) is None
    assert set(issuer.keys._keys) == {"rsa", "ec", "ed"}  # pyright: ignore[reportPrivateUsage]
    assert await issuer.code(signed(SECRET, "HS256", "oct")) is ErrorCode.UNAUTHENTICATED


async def test_a_token_without_a_name_needs_no_choice_of_keys(issuer: Issuer) -> None:
    assert await issuer.code(signed(RSA, "RS256")) is ErrorCode.UNAUTHENTICATED
    issuer.answer = {"keys": [jwk(RSA, None)]}
    issuer.now += 60
    assert await issuer.code(signed(RSA, "RS256")) is None


async def test_an_unknown_key_is_asked_for_but_not_by_everybody(issuer: Issuer) -> None:
    issuer.answer = {"keys": [jwk(RSA, "old")]}
    assert await issuer.code(signed(RSA, "RS256", "old")) is None
    issuer.answer = {"keys": [jwk(RSA, "old"), jwk(EC, "new")]}
    assert await issuer.code(signed(EC, "ES256", "new")) is ErrorCode.UNAUTHENTICATED
    issuer.now += key_set_module.LEAST_SECONDS
    for number in range(50):
        await issuer.code(signed(EC, "ES256", f"nobody's {number}"))
    assert issuer.calls == 2
    assert await issuer.code(signed(EC, "ES256", "new")) is None
    assert issuer.calls == 2


@pytest.mark.parametrize(
    ("status", "answer"),
    [(0, {}), (500, {}), (200, b"<html>"), (200, {}), (200, []), (200, {"keys": []}), (200, b"[" * 100_000),
     (200, b" " * 2_000_000), (302, {})],
)  # fmt: skip
async def test_while_the_issuer_is_away_its_keys_hold(issuer: Issuer, status: int, answer: Any) -> None:
    good = issuer.answer
    issuer.status, issuer.answer = status, answer
    assert await issuer.code(signed(RSA, "RS256", "rsa")) is ErrorCode.UNAVAILABLE
    assert await issuer.keys.ready() is not None
    issuer.status, issuer.answer = 200, good
    issuer.now += key_set_module.LEAST_SECONDS
    assert await issuer.code(signed(RSA, "RS256", "rsa")) is None
    issuer.status, issuer.answer = status, answer
    issuer.now += 10_000
    await issuer.keys.refresh()
    assert await issuer.keys.ready() is None
    assert await issuer.code(signed(RSA, "RS256", "rsa", sub="another")) is None
    assert await issuer.code(signed(RSA, "RS256", "new")) is ErrorCode.UNAVAILABLE


async def test_what_a_withdrawn_key_has_signed_is_refused(issuer: Issuer) -> None:
    token = signed(RSA, "RS256", "rsa")
    assert await issuer.code(token) is None
    issuer.answer = {"keys": [jwk(EC, "ec")]}
    issuer.now += key_set_module.REFRESH_SECONDS
    await issuer.keys.refresh()
    assert await issuer.code(token) is ErrorCode.UNAUTHENTICATED
