"""Tokens for tests: valid ones, and every kind of invalid one that must be refused."""

import base64
import functools
import json
import time
from collections.abc import Sequence
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import HMACAlgorithm, RSAAlgorithm

SECRET = "the secret of clients in tests and nowhere else, long enough for any hash".replace(" ", "-")
SERVICE_SECRET = "the secret of services in tests, and nowhere else".replace(" ", "-")
AUDIENCE = "imc"
EVERY_SCOPE = "send recall notice read gateway operate"

OFF = {"IMC_AUTH": "off"}
"""Settings that turn authentication off."""

JWT = {"IMC_AUTH": "jwt", "IMC_JWT_SECRET": SECRET, "IMC_SERVICE_SECRET": SERVICE_SECRET}
"""Settings for which `token` makes valid tokens."""

Claims = dict[str, Any]


def claims_of(app: str | Sequence[str] = "*", scope: str = EVERY_SCOPE, lifetime: float = 600) -> Claims:
    """The claims of a valid token that expires after ``lifetime`` seconds."""
    return {
        "aud": AUDIENCE,
        "app": app if isinstance(app, str) else list(app),
        "scope": scope,
        "exp": time.time() + lifetime,
    }


def token(
    app: str | Sequence[str] = "*", scope: str = EVERY_SCOPE, lifetime: float = 600, **more: Any
) -> str:
    """A valid token, with ``more`` claims."""
    return jwt.encode(claims_of(app, scope, lifetime) | more, SECRET, "HS256")


def bearer(
    app: str | Sequence[str] = "*", scope: str = EVERY_SCOPE, lifetime: float = 600, **more: Any
) -> dict[str, str]:
    """Headers with a valid token, with ``more`` claims."""
    return {"Authorization": f"Bearer {token(app, scope, lifetime, **more)}"}


def bad_tokens(app: str = "*", scope: str = EVERY_SCOPE) -> dict[str, str]:
    """Invalid tokens for ``app`` and ``scope``, by what is wrong with each."""
    good = claims_of(app, scope)
    return {**_badly_signed(good), **_with_bad_claims(good), **_malformed(good)}


def _badly_signed(good: Claims) -> dict[str, str]:
    signed = jwt.encode(good, SECRET, "HS256")
    other = jwt.encode({**good, "app": "another"}, SECRET, "HS256")
    private = _rsa_key()
    public = json.loads(RSAAlgorithm.to_jwk(private.public_key()))
    head, body, signature = signed.split(".")
    return {
        "signed with another secret": jwt.encode(good, "x" * 48, "HS256"),
        "signed with no secret": _signed_by_hand(good, b""),
        "signed with the secret of services": jwt.encode(good, SERVICE_SECRET, "HS256"),
        "signed by another algorithm": jwt.encode(good, SECRET, "HS512"),
        "signed with an RSA key of its own": jwt.encode(good, private, "RS256"),
        "with an RSA key of its own inside": jwt.encode(good, private, "RS256", {"jwk": public}),
        "with a key to be fetched elsewhere": jwt.encode(good, "x" * 48, "HS256", {"jku": "http://[::1]/"}),
        "with a file as its key": _signed_by_hand(good, b"", kid="/dev/null"),
        "with the signature of another token": f"{head}.{body}.{other.split('.')[2]}",
        "with the claims of another token": f"{head}.{other.split('.')[1]}.{signature}",
        "without its signature": f"{head}.{body}.",
        "like one of services": jwt.encode(good, SECRET, "HS256", {"typ": "imc-service+jwt"}),
        **{f"unsigned, {alg}": f"{_part({'alg': alg})}.{body}." for alg in ("none", "None", "NONE", "")},
        **{
            f"unsigned, {alg}, with a signature": f"{_part({'alg': alg})}.{body}.{signature}"
            for alg in ("none", "HS384")
        },
        "without an algorithm": f"{_part({'typ': 'JWT'})}.{body}.{signature}",
    }


def _with_bad_claims(good: Claims) -> dict[str, str]:
    now = time.time()
    expiries: list[Any] = ["never", True, [1], float("inf"), float("nan"), 10**400, -1, {}, ""]
    audiences: list[Any] = ["another", ["another"], [], "", 1, {"imc": "imc"}, ["imc", 1], "IMC", "imc "]
    apps: list[Any] = ["", 1, {}, ["a", " b"], "a\n", [None], "a" * 128]
    scopes: list[Any] = [1, {}, [1], True]
    changes: dict[str, Claims] = {
        "expired": {"exp": now - 1},
        "expired long ago": {"exp": 1},
        "not yet valid": {"nbf": now + 600},
        "issued in the future": {"iat": now + 600},
        **{f"with exp {value!r}": {"exp": value} for value in expiries},
        **{f"with aud {value!r}": {"aud": value} for value in audiences},
        **{f"with app {value!r}": {"app": value} for value in apps},
        **{f"with scope {value!r}": {"scope": value} for value in scopes},
    }
    without = {f"without {claim}": {**good} for claim in ("exp", "aud", "app", "scope")}
    for claim, claims in zip(("exp", "aud", "app", "scope"), without.values(), strict=True):
        del claims[claim]
    null = {f"with {claim} null": {claim: None} for claim in ("exp", "aud", "app", "scope")}
    all_claims = {name: {**good, **change} for name, change in {**changes, **null}.items()} | without
    return {name: jwt.encode(claims, SECRET, "HS256") for name, claims in all_claims.items()}


def _malformed(good: Claims) -> dict[str, str]:
    signed = jwt.encode(good, SECRET, "HS256")
    head, body, signature = signed.split(".")
    deep = base64.urlsafe_b64encode(b"[" * 3000).rstrip(b"=").decode()
    return {
        "truncated by one": signed[:-1],
        "truncated by many": signed[:-20],
        "truncated in front": signed[1:],
        "cut in the middle": f"{head}.{body[: len(body) // 2]}.{signature}",
        "of two parts": f"{head}.{body}",
        "of four parts": f"{signed}.{signature}",
        "of five parts": f"{signed}.{signature}.{signature}",
        "twice the same": f"{signed},{signed}",
        "of dots": "..",
        "one word": "token",
        "null": "null",
        "no JSON": f"{_part(good)[:-3]}.{body}.{signature}",
        "a list": f"{base64.urlsafe_b64encode(b'[]').decode()}.{body}.{signature}",
        "deep": f"{deep}.{body}.{signature}",
        "critical of what nobody knows": jwt.encode(good, SECRET, "HS256", {"crit": ["x"], "x": 1}),
        "very long": jwt.encode({**good, "more": "x" * 10_000}, SECRET, "HS256"),
        "of other characters": "\u00e9.\u00e9.\u00e9",
    }


@functools.cache
def _rsa_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def _part(value: Claims) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def _signed_by_hand(claims: Claims, key: bytes, **header: str) -> str:
    signed = f"{_part({'alg': 'HS256', **header})}.{_part(claims)}"
    signature = HMACAlgorithm(HMACAlgorithm.SHA256).sign(signed.encode(), key)
    return f"{signed}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"
