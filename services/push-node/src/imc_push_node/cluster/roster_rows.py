"""What the roster has of a gateway. No I/O."""

from typing import Any

import orjson
from imc_contracts.roster import close_field

from imc_push_node.gateway.gateway import Gateway, State
from imc_push_node.stream.hub import App


def row_of(gateway: Gateway, app: App | None) -> bytes:
    """What the roster has of a gateway."""
    lag = None if app is None else gateway.lag(app.delivery.outbox.told)
    return orjson.dumps(
        {
            "door": "v1" if gateway.format.has_cursors else "java",
            "transport": gateway.transport.value,
            "connectedAt": gateway.connected_at,
            "state": gateway.state.value,
            "lagEntries": lag and lag.entries,
            "lagBytes": lag and lag.size,
            "lagSeconds": 0.0 if app is None else _seconds_behind(gateway, app),
            "sendsAccepted": gateway.sends_accepted,
            "sendsRefused": gateway.sends_refused,
            "groupsHeld": None if gateway.groups is None else len(gateway.groups),
        }
    )


def close_of(gateway: Gateway, now_ms: int, node: str) -> tuple[bytes, bytes]:
    """The field and the value of a gateway that has left, for the hash of closes.

    The value of one that operators look at has its ``node`` and its last row too.
    """
    code, reason = gateway.socket.ending
    close: dict[str, Any] = {"code": code, "reason": reason, "time": now_ms}
    if gateway.last_row is not None:
        close |= {"node": node, "row": orjson.Fragment(gateway.last_row)}
    return close_field(gateway.app_id, gateway.gateway_id), orjson.dumps(close)


def _seconds_behind(gateway: Gateway, app: App) -> float:
    """How much older the gateway's position is than the newest entry; 0 if it is live, or not known."""
    outbox = app.delivery.outbox
    if gateway.state in (State.LIVE, State.CONNECTING) or not outbox.has_begun:
        return 0.0
    return max(0, outbox.head.entry.ms - gateway.position.entry.ms) / 1000
