"""Starts an IMC of separate processes and two chats on it, until Ctrl-C: `make demo`.

A process that ends, because somebody killed it, is started again. Data is kept in a folder that is removed at
the end.
"""

import asyncio
import contextlib
import os
import signal
import socket
import sys
import tempfile
from collections.abc import AsyncGenerator
from pathlib import Path

import httpx
from imc_service.database.url import sqlite_url
from imc_standalone.embedded_redis import embedded_redis
from imc_testkit.deployment import Deployment, Start, separate
from imc_testkit.processes import Process, free_port, run_script
from imc_testkit.proxy import TcpProxy, tcp_proxy
from imc_testkit.waiting import wait_until

HERE = Path(__file__).parent
QUICK = {"IMC_DRAIN_SECONDS": "1"}


def say(words: str) -> None:
    """Write a line for the person who started it."""
    sys.__stdout__.write(words + "\n")  # pyright: ignore[reportOptionalMemberAccess]
    sys.__stdout__.flush()  # pyright: ignore[reportOptionalMemberAccess]


@contextlib.asynccontextmanager
async def installation(folder: Path) -> AsyncGenerator[Deployment]:
    """One of each process but two push-nodes, on an embedded log and database."""
    database_url = sqlite_url(folder / "imc.sqlite3")
    async with embedded_redis(folder / "log") as redis_url:
        await run_script("imc-migrate", {"IMC_DATABASE_URL": database_url})
        ports = [free_port(), free_port()]
        nodes = [Start({"IMC_ADVERTISE_URL": f"ws://127.0.0.1:{port}"}, port=port) for port in ports]
        async with separate(
            redis_url,
            database_url,
            QUICK,
            command_apis=[Start()],
            projectors=[Start()],
            push_nodes=nodes,
        ) as deployment:
            yield deployment


def chat(number: int, port: int, push_port: int, imc: Deployment) -> Process:
    """A gateway of the chat, which connects to the push-nodes through their load balancer."""
    arguments = [
        str(HERE / "chat.py"),
        *("--port", str(port), "--gateway-id", f"chat-{number}"),
        *("--push", f"http://127.0.0.1:{push_port}"),
        *("--commands", imc.command_apis[0].url, "--queries", imc.query_apis[0].url),
    ]
    return Process("python", {}, port, arguments=arguments)


async def answers(process: Process) -> bool:
    """Whether a chat is connected, and shows its page. Raises `AssertionError` if it has ended."""
    assert process.exit_code is None, f"it ended:\n{process.log}"
    async with httpx.AsyncClient(trust_env=False) as client:
        try:
            return (await client.get(process.url)).status_code == 200
        except httpx.TransportError:
            return False


async def keep_up(processes: dict[str, Process], push_nodes: list[Process], balancer: TcpProxy) -> None:
    """Start again what ends, and lead new connections to a push-node that is up, as a load balancer does."""
    while True:
        up = [node for node in push_nodes if node.exit_code is None]
        if up:
            balancer.lead_new_to("127.0.0.1", up[0].port)
        for name, process in processes.items():
            if (code := process.exit_code) is not None:
                await process.start()
                say(f"{name} ended with {code}, and was started again: it is process {process.pid} now")
        await asyncio.sleep(0.5)


async def demo(first_port: int) -> None:
    """Run everything until it is told to end."""
    async with contextlib.AsyncExitStack() as stack:
        enter = stack.enter_async_context
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="imc-demo-")))
        # What the processes wrote, which they hand over when they end, is of no interest.
        stack.enter_context(contextlib.redirect_stdout((folder / "logs").open("w")))
        say("Starting IMC: one each of command-api, projector and query-api, and two push-nodes ...")
        imc = await enter(installation(folder))
        balancer = await enter(tcp_proxy("127.0.0.1", imc.push_nodes[0].port))
        chats = [chat(number, first_port + number - 1, balancer.port, imc) for number in (1, 2)]
        for each in chats:
            await enter(each)
            await wait_until(lambda each=each: answers(each), 60, 0.1, what="the chat to answer")
        links = [f"{each.url}/?name={name}" for each, name in zip(chats, ("ann", "bob"), strict=True)]
        nodes = {f"push-node {number}": node for number, node in enumerate(imc.push_nodes, 1)}
        say("\nTwo gateways of one chat. Open both, and write:\n")
        for link in links:
            say(f"  {link}")
        say("\nKill a push-node, and see that nothing is lost:\n")
        for name, node in nodes.items():
            say(f"  kill -9 {node.pid}   # {name}")
        say("\nCtrl-C ends everything.")
        others = {"command-api": imc.command_apis[0], "query-api": imc.query_apis[0]}
        await keep_up(
            {**nodes, **others, "projector": imc.projectors[0], "chat 1": chats[0], "chat 2": chats[1]},
            imc.push_nodes,
            balancer,
        )


async def until_told(work: asyncio.Task[None]) -> None:
    """Wait for the work, which SIGINT and SIGTERM cancel."""
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, work.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await work


def first_port() -> int:
    """PORT, or 9001. Raises `SystemExit` if it or the one after it is taken."""
    text = os.environ.get("PORT", "9001")
    if not text.isdecimal() or not 1 <= int(text) < 65535:
        sys.exit(f"PORT is {text!r}: it must be a number from 1 to 65534")
    for port in (int(text), int(text) + 1):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError as error:
                sys.exit(f"port {port} can't be used ({error.strerror}): let PORT say another one")
    return int(text)


async def main() -> None:
    """Run the demo on PORT and the one after it."""
    await until_told(asyncio.create_task(demo(first_port())))


if __name__ == "__main__":
    asyncio.run(main())
