"""The client programs, built once."""

import sys
from functools import cache
from pathlib import Path

import pytest
from imc_testkit.deployment import Deployment

from clients.program import Program
from clients.toolchains import SOURCES, built


@cache
def java() -> Path:
    """The clients in Java, with their packages in ``jars`` and their classes in ``classes``."""
    folder = SOURCES / "java"
    sources = [str(path.relative_to(folder)) for path in sorted(folder.rglob("*.java"))]
    return built(
        "java",
        folder,
        fetch=[["mvn", "-q", "-B", "dependency:copy-dependencies", "-DoutputDirectory=jars"]],
        build=[["javac", "--release", "17", "-Xlint:all", "-cp", "jars/*", "-d", "classes", *sources]],
    )


@cache
def node() -> Path:
    """The client on `ws`."""
    return built("node", SOURCES / "node", fetch=[["npm", "install", "--no-audit", "--no-fund"]])


@cache
def python() -> Path:
    """The client on websocket-client, in an environment of its own."""
    return built(
        "python",
        SOURCES / "python",
        fetch=[
            [sys.executable, "-m", "venv", "environment"],
            ["environment/bin/pip", "install", "--quiet", "-r", "requirements.txt"],
        ],
    )


@cache
def go() -> Path:
    """The client on coder/websocket."""
    return built(
        "go", SOURCES / "go", fetch=[["go", "mod", "tidy"]], build=[["go", "build", "-o", "gateway"]]
    )


def java_command(*arguments: str) -> tuple[list[str], Path]:
    """The command that runs a client in Java, and its folder."""
    # A short start: no compilation of hot code, one thread that collects garbage.
    quick = ["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"]
    return ["java", *quick, "-cp", "classes:jars/*", "imc.clients.Main", *arguments], java()


def gateway_command(client: str, address: str) -> tuple[list[str], Path]:
    """The command that connects as a gateway with the named client, and its folder."""
    match client:
        case "ws":
            return ["node", "gateway.js", address], node()
        case "websocket-client":
            return ["environment/bin/python", "gateway.py", address], python()
        case "coder/websocket":
            return ["./gateway", address], go()
        case _:
            return java_command(client, address)


JAVA_GATEWAYS = ["java.net.http", "tyrus", "spring", "java-websocket"]
OTHER_GATEWAYS = ["ws", "websocket-client", "coder/websocket"]


@pytest.fixture(params=[*JAVA_GATEWAYS, *OTHER_GATEWAYS])
def gateway(request: pytest.FixtureRequest, standalone_process: Deployment, app_id: str) -> Program:
    """A gateway of ``app_id`` at the Java door, with each client in turn."""
    origin = standalone_process.push_nodes[0].url.replace("http", "ws", 1)
    return Program(*gateway_command(request.param, f"{origin}/chat/message/broadcast/{app_id}/gateway-1"))


@pytest.fixture(params=["RestTemplate", "HttpClient"])
def calls(request: pytest.FixtureRequest) -> Program:
    """What makes HTTP calls, with each client in turn."""
    return Program(*java_command(request.param))
