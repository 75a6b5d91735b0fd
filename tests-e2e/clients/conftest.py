"""The clients that each test of the Java door runs with."""

from pathlib import Path

import pytest
from imc_testkit.deployment import Deployment

from clients.program import Program
from clients.toolchains import QUICK_JAVA, go, java, node, python

JAVA_GATEWAYS = ["java.net.http", "tyrus", "spring", "java-websocket", "okhttp", "tomcat"]
OTHER_GATEWAYS = ["ws", "websocket-client", "coder/websocket"]
JAVA_CALLS = ["RestTemplate", "HttpClient", "OkHttp", "Feign"]
WITHOUT_BODIES_IN_QUERIES = ["OkHttp", "Feign"]
"""Clients that send no body with a GET."""


def java_command(*arguments: str) -> tuple[list[str], Path]:
    """The command that runs a client in Java, and its folder."""
    return [*QUICK_JAVA, "-cp", "classes:jars/*", "imc.clients.Main", *arguments], java()


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


GATEWAYS = [*JAVA_GATEWAYS, *OTHER_GATEWAYS]
TOMCAT_CHARACTERS = 8_192
"""The longest text that Tomcat's client takes, unless it is told otherwise."""


@pytest.fixture(params=GATEWAYS)
def gateway(request: pytest.FixtureRequest, standalone_process: Deployment, app_id: str) -> Program:
    """A gateway of ``app_id`` at the Java door, with each client in turn."""
    origin = standalone_process.push_nodes[0].url.replace("http", "ws", 1)
    return Program(*gateway_command(request.param, f"{origin}/chat/message/broadcast/{app_id}/gateway-1"))


@pytest.fixture(params=JAVA_CALLS)
def calls(request: pytest.FixtureRequest) -> Program:
    """A program that makes HTTP calls, with each client in turn."""
    return Program(*java_command(request.param))
