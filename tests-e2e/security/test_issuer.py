"""Tokens of an issuer whose public keys are fetched: known, new, and while it is away."""

import asyncio
import json
from collections.abc import AsyncGenerator
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from imc_testkit.processes import Process
from imc_testkit.tokens import JWT, SERVICE_SECRET, claims_of
from imc_testkit.waiting import wait_until
from jwt.algorithms import RSAAlgorithm

QUERY = {"appId": "app", "groupId": "g"}


class Issuer:
    """An endpoint that publishes keys; it hangs while ``hangs``."""

    def __init__(self) -> None:
        self.private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.hangs = False
        self.url = ""

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        if self.hangs:
            await reader.read()  # until whoever asked gives up
        else:
            key = {**json.loads(RSAAlgorithm.to_jwk(self.private.public_key())), "kid": "one"}
            body = json.dumps({"keys": [key]}).encode()
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        writer.close()

    def token(self, kid: str = "one", **claims: Any) -> dict[str, str]:
        signed = jwt.encode({**claims_of("app", "read"), **claims}, self.private, "RS256", {"kid": kid})
        return {"Authorization": f"Bearer {signed}"}


@pytest.fixture
async def issuer() -> AsyncGenerator[Issuer]:
    issuer = Issuer()
    server = await asyncio.start_server(issuer.answer, "127.0.0.1", 0)
    issuer.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/keys"
    yield issuer
    server.close()


async def test_a_process_believes_the_keys_that_its_issuer_publishes(
    issuer: Issuer, sqlite_url: str, stranger: httpx.AsyncClient
):
    environment = {
        "IMC_AUTH": "jwt",
        "IMC_JWKS_URL": issuer.url,
        "IMC_SERVICE_SECRET": SERVICE_SECRET,
        "IMC_DATABASE_URL": sqlite_url,
    }
    async with Process("imc-query-api", environment) as process:
        await process.ready()

        async def status(headers: dict[str, str]) -> int:
            url = f"{process.url}/chat/message/findByGroupId"
            return (await stranger.get(url, params=QUERY, headers=headers)).status_code

        assert await status(issuer.token()) == 200
        assert await status(issuer.token(aud="another")) == 401
        assert await status(issuer.token(app="other")) == 403
        assert await status(issuer.token("nobody's")) == 401
        issuer.hangs = True
        # Who asks for a key that is not there may wait for it; nobody else needs the issuer.
        waiting = asyncio.create_task(status(issuer.token("new")))
        assert await status(issuer.token(sub="not seen before")) == 200
        assert await waiting in (401, 503)


async def test_a_process_without_any_key_says_that_it_is_not_ready(
    sqlite_url: str, stranger: httpx.AsyncClient, issuer: Issuer
):
    issuer.hangs = True
    environment = {
        **JWT,
        "IMC_JWT_SECRET": "",
        "IMC_JWKS_URL": issuer.url,
        "IMC_DATABASE_URL": sqlite_url,
    }
    async with Process("imc-query-api", environment) as process:

        async def answers() -> bool:
            try:
                return (await stranger.get(f"{process.url}/livez")).status_code == 200
            except httpx.TransportError:
                return False

        await wait_until(answers)
        ready = await stranger.get(f"{process.url}/readyz")
        assert ready.status_code == 503
        assert "keys of the issuer" in ready.text
        reply = await stranger.get(f"{process.url}/v1/queries/messages", params=QUERY, headers=issuer.token())
        assert (reply.status_code, reply.json()["code"]) == (503, 50301)
        assert reply.headers["Retry-After"]
