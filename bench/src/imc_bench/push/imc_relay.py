"""IMC as a relay: command-api takes the messages, a push-node pushes them."""

from urllib.parse import quote

import orjson

from imc_bench.installation import Installation
from imc_bench.push.listener import Listener
from imc_bench.push.load import room
from imc_bench.push.publishers import HttpSender, ImcPublisher
from imc_bench.push.relay import Publisher, Relay


async def imc(installed: Installation, node: int = 0) -> Relay:
    """A push-node of an installation as a relay; messages are sent to its command-api."""
    push_node, command_api = installed.deployment.push_nodes[node], installed.deployment.command_apis[0]

    async def publisher(app_id: str) -> Publisher:
        return ImcPublisher(HttpSender(command_api.port), app_id)

    def relay(overhead: int) -> Relay:
        return Relay(
            "IMC", (push_node.pid,), push_node.port, imc_path, publisher, lambda: imc_greeting, overhead
        )

    async with room(relay(0), 1, 100, senders=1) as probe:
        await probe.senders[0].send(1)
        await probe.audience.delivered(1)
        return relay(len(probe.audience.stream.frames) - 100)


def imc_path(app_id: str, number: int, cursor: str = "") -> str:
    """The path that a gateway connects to."""
    query = f"?cursor={quote(cursor)}" if cursor else ""
    return f"/v1/gateways/{app_id}/gateway-{number}{query}"


def imc_greeting(listener: Listener, payload: bytes) -> bool:
    """Accept the frame 2000. Raises `ConnectionError` for any other."""
    if orjson.loads(payload)["code"] != 2000:
        raise ConnectionError(f"not connected: {payload!r}")
    return True
