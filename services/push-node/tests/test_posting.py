"""How batches get to command-api over the network: what they cost, and what failures are told apart."""

import asyncio

import pytest
from imc_push_node.forwarding.command_api import NothingAccepted
from imc_push_node.forwarding.posting import LARGE_BYTES, posting
from imc_push_node.settings import PushNodeSettings
from imc_service.settings import load
from imc_testkit.child import free_port

ENVIRONMENT = {"IMC_AUTH": "off", "IMC_REDIS_URL": "redis://127.0.0.1"}


class Server:
    """Answers every POST with the length of its body; counts connections and requests."""

    def __init__(self) -> None:
        self.connections = self.requests = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                (length,) = [
                    int(line.partition(b":")[2])
                    for line in head.split(b"\r\n")
                    if line.lower().startswith(b"content-length:")
                ]
                await reader.readexactly(length)
                self.requests += 1
                body = b"%d" % length
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
        except asyncio.IncompleteReadError:
            writer.close()


def settings(port: int) -> PushNodeSettings:
    return load(PushNodeSettings, {**ENVIRONMENT, "IMC_COMMAND_API_URL": f"http://127.0.0.1:{port}"})


async def test_batches_one_after_another_share_connections_and_arrive_whole() -> None:
    server = Server()
    port = free_port()
    async with await asyncio.start_server(server.serve, "127.0.0.1", port), posting(settings(port)) as post:
        for size in (1, LARGE_BYTES, LARGE_BYTES + 1, *range(10, 30)):
            assert await post(b"x" * size, {}) == (200, b"%d" % size, None)
    # One that was idle for some seconds is not used again: on a busy machine there may be several.
    assert server.requests == 23
    assert server.connections < 10


async def test_a_batch_that_never_left_is_told_apart() -> None:
    async with posting(settings(free_port())) as post:
        with pytest.raises(NothingAccepted):
            await post(b"x", {})
