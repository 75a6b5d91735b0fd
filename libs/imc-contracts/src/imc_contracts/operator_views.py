"""The views in the replies to operators, as dictionaries with the names of the wire."""

from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter, WithJsonSchema
from typing_extensions import TypedDict

from imc_contracts.field_guide import MEANINGS
from imc_contracts.views import DecimalId, Int32, Int64, Next

Rate = Annotated[float, Field(json_schema_extra={"format": "double"})]
"""Of the last minute or two, per second."""

Days = Annotated[float, Field(json_schema_extra={"format": "double"})]
"""An age in days; null if nothing is removed for it."""


def _or_null(view: Any) -> Any:
    """Describes a field that holds such a view or null, without a reference: generators read that best."""
    schema = TypeAdapter(view).json_schema()
    for name, field in schema["properties"].items():
        field.setdefault("description", MEANINGS[name])
        field.pop("title", None)
    return WithJsonSchema({**schema, "type": ["object", "null"], "examples": [None]})


class LastClose(TypedDict):
    """How a connection of a gateway ended."""

    code: Annotated[Int32, Field(description="The close code. 1006: it broke off.", examples=[4408])]
    reason: Annotated[
        str,
        Field(
            description="What the close frame said.", examples=["no progress: took nothing for 30 seconds"]
        ),
    ]
    time: Int64


class ConnectedGateway(TypedDict):
    """One connection of a gateway, on whichever push-node it is.

    The lag is what it has not been written of its app's log, as far as its node knows the log. ``lagEntries``
    and ``lagBytes`` are null while the gateway resumes from before what its node has counted. One that was
    closed is shown as it was before.
    """

    appId: str
    gatewayId: str
    door: Annotated[Literal["v1", "java"], Field(examples=["v1"])]
    transport: Annotated[Literal["websocket", "stream", "poll"], Field(examples=["websocket"])]
    node: str
    connectedAt: Int64
    state: str
    lagEntries: Int64 | None
    lagBytes: Int64 | None
    lagSeconds: Annotated[float, Field(json_schema_extra={"format": "double"})]
    sendsAccepted: Int64
    sendsRefused: Int64
    groupsHeld: Int32 | None
    lastClose: Annotated[LastClose | None, _or_null(LastClose)]


class ConnectedGatewayPage(TypedDict):
    """Connections in the order of their appId and gatewayId."""

    gateways: list[ConnectedGateway]
    hasMore: bool
    next: Next


class Disconnected(TypedDict):
    """How many connections of a gateway were closed."""

    disconnected: Int32


class AppQuotas(TypedDict):
    """What an app may use; null is without limit."""

    sendsPerSecond: Annotated[float | None, Field(json_schema_extra={"format": "double"})]
    sendBurst: Int32 | None
    gateways: Annotated[Int64 | None, Field(description="How many gateways may be connected.", examples=[10])]
    backlogBytes: Int64 | None


class AppActivity(TypedDict):
    """What an app does and uses. Rates are those of the last one to two minutes."""

    appId: str
    sendsPerSecond: Rate
    sendsRefusedPerSecond: Rate
    pushesPerSecond: Rate
    backlogEntries: Int64
    backlogSeconds: Rate
    gateways: Annotated[Int64, Field(description="How many gateways are connected.", examples=[2])]
    deadLetters: Int64
    quotas: Annotated[AppQuotas | None, _or_null(AppQuotas)]
    retentionDays: Days | None
    abandonedGroupDays: Days | None
    isSuspended: bool


class AppPage(TypedDict):
    """Apps in the order that was asked for."""

    apps: list[AppActivity]
    hasMore: bool
    next: Next


class MinuteActivity(TypedDict):
    """What happened in one minute. Of one app, backlog and times of sends are not known."""

    time: Int64
    sends: Int64
    sendsRefused: Int64
    pushes: Int64
    backlogEntries: Int64 | None
    sendMsP50: Rate | None
    sendMsP99: Rate | None


class Activity(TypedDict):
    """The last minutes, the oldest first. The last one is not over."""

    minutes: list[MinuteActivity]


class Process(TypedDict):
    """One process, as it describes itself every five seconds."""

    name: Annotated[str, Field(description="The program.", examples=["imc-push-node"])]
    id: Annotated[
        str, Field(description="Unique among all processes and all times.", examples=["host-7-0a1b2c3d"])
    ]
    address: str
    version: str
    startedAt: Int64
    lastSeen: Int64
    ready: bool
    reasons: Annotated[
        dict[str, str], Field(description="Why it is not ready, by part.", examples=[{"log": "out of reach"}])
    ]


class RedisMaster(TypedDict):
    """A Redis server that takes writes."""

    address: str
    usedMemoryBytes: Int64 | None
    maxMemoryBytes: Annotated[
        Int64 | None, Field(description="0 without limit. Null if it is not told.", examples=[0])
    ]
    replicas: Int32 | None
    isPersistent: bool | None


class RedisState(TypedDict):
    """The Redis that holds the logs."""

    ready: bool
    reason: Annotated[str | None, Field(description="Why it does not do the work.", examples=[None])]
    isCluster: bool
    masters: list[RedisMaster]


class DatabaseState(TypedDict):
    """The database that the logs are projected into."""

    ready: bool
    reason: Annotated[str | None, Field(description="Why it does not answer.", examples=[None])]
    kind: Annotated[str, Field(description="mysql, for MariaDB too, or sqlite.", examples=["mysql"])]
    version: str | None


class Installation(TypedDict):
    """The processes and the servers of the installation."""

    version: str
    processes: list[Process]
    redis: RedisState
    database: DatabaseState


class DeadLetter(TypedDict):
    """A log entry that could not be projected, without what users wrote."""

    appId: str
    letterId: str
    logId: str
    kind: str
    reason: Annotated[str, Field(description="Why it could not be projected.", examples=["Data too long"])]
    time: Int64


class DeadLetterPage(TypedDict):
    """Dead letters in the order of their appId, the oldest of an app first."""

    letters: list[DeadLetter]
    hasMore: bool
    next: Next


class LetterNotDone(TypedDict):
    """A dead letter that stays, and why."""

    letterId: str
    reason: Annotated[str, Field(description="Why it stays.", examples=["there is no such letter"])]


class LettersDone(TypedDict):
    """What became of the dead letters of a call."""

    done: Int32
    failed: list[LetterNotDone]


class ErasureAccepted(TypedDict):
    """The acknowledgement of an erasure: it is in the log. ``cursor`` is its position there."""

    erasureId: DecimalId
    eraseTime: Int64
    cursor: str


class ErasureReport(TypedDict):
    """How far an erasure is, and what it has removed.

    It is of all that ``userId`` wrote, of all of ``groupId``, or if both are null of all of the app.
    """

    erasureId: DecimalId
    appId: str
    userId: Annotated[str | None, Field(description="The user whose messages and notices are erased.")]
    groupId: Annotated[str | None, Field(description="The group whose messages and notices are erased.")]
    eraseTime: Int64
    finishTime: Int64
    stage: Literal["rows", "log", "dead letters", "remains", "done"]
    erasedMessages: Int64
    erasedNotices: Int64
    erasedLogEntries: Int64
    erasedDeadLetters: Int64


class ErasurePage(TypedDict):
    """Erasures of one app, the newest first."""

    erasures: list[ErasureReport]
    hasMore: bool
    next: Next
