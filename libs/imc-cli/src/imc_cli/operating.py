"""The calls of operators over HTTP: requests to make and ways to read their replies. No I/O."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar
from urllib.parse import quote

from imc_contracts.operator_views import (
    AppActivity,
    ConnectedGateway,
    DeadLetter,
    ErasureAccepted,
    ErasureReport,
    LettersDone,
)
from imc_gateway.calls import Call

T = TypeVar("T", bound=Mapping[str, Any])

MOST_LETTERS = 100
"""The most letters that one call takes."""


@dataclass(frozen=True, slots=True)
class Listing(Generic[T]):
    """A page of what is listed, and where the next one begins; None if this is the last."""

    items: list[T]
    next: str | None


def gateways(
    *,
    state: str | None = None,
    app_id: str | None = None,
    node: str | None = None,
    after: str | None = None,
    limit: int = 50,
) -> Call[Listing[ConnectedGateway]]:
    """A page of the connections of gateways on all nodes, by app and gatewayId.

    ``state``: connected, behind or closed.
    """
    return _listing(
        "/v1/gateways", "gateways", state=state, appId=app_id, node=node, after=after, limit=limit
    )


def disconnect(app_id: str, gateway_id: str, *, reason: str | None = None) -> Call[int]:
    """Disconnect a gateway wherever it is; how many connections were closed."""
    path = f"/v1/gateways/{quote(app_id, safe='')}/{quote(gateway_id, safe='')}/disconnect"
    body = {} if reason is None else {"reason": reason}
    return Call(path, lambda data: int(data["disconnected"]), body)


def apps(*, order: str, after: str | None = None, limit: int = 50) -> Call[Listing[AppActivity]]:
    """A page of the apps with their rates; ``order``: id or noisiest."""
    return _listing("/v1/apps", "apps", order=order, after=after, limit=limit)


def dead_letters(
    *, app_id: str | None = None, after: str | None = None, limit: int = 50
) -> Call[Listing[DeadLetter]]:
    """A page of the dead letters, without what users wrote."""
    return _listing("/v1/dead-letters", "letters", appId=app_id, after=after, limit=limit)


def replay(app_id: str, letter_ids: Sequence[str]) -> Call[LettersDone]:
    """Store what at most `MOST_LETTERS` letters of an app hold."""
    return _letters("replay", app_id, letter_ids)


def drop(app_id: str, letter_ids: Sequence[str]) -> Call[LettersDone]:
    """Forget at most `MOST_LETTERS` letters of an app."""
    return _letters("drop", app_id, letter_ids)


def erase(kind: str, app_id: str, **subject: str) -> Call[ErasureAccepted]:
    """Erase a user (``userId``), a group (``groupId``) or an app; ``kind``: user, group or app."""
    return Call(f"/v1/commands/erase-{kind}", lambda data: data, {"appId": app_id, **subject})


def erasures(
    app_id: str, *, erasure_id: str | None = None, after: str | None = None, limit: int = 50
) -> Call[Listing[ErasureReport]]:
    """A page of the erasures of an app, the newest first; or only one."""
    return _listing("/v1/erasures", "erasures", appId=app_id, erasureId=erasure_id, after=after, limit=limit)


def _listing(path: str, key: str, **query: Any) -> Call[Listing[Any]]:
    given = {name: value for name, value in query.items() if value is not None}
    return Call(path, lambda data: Listing(data[key], data["next"] if data["hasMore"] else None), query=given)


def _letters(action: str, app_id: str, letter_ids: Sequence[str]) -> Call[LettersDone]:
    body = {"appId": app_id, "letterIds": list(letter_ids)}
    return Call(f"/v1/dead-letters/{action}", lambda data: data, body)
