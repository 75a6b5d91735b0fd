"""The only builder of Redis keys and channels.

All keys of an app carry the hash tag ``{appId}``: one script may use all of them in a Redis Cluster. An appId
may hold any character, so it is escaped: each byte of its UTF-8 other than ``A-Z a-z 0-9 . _ ~ -`` is written
``%XX``. So it holds no brace or colon, and no app can reach another's keys.

Keys belong to one database of Redis, channels to all databases. So a channel carries the number of its
database: installations on two databases of one server do not hear each other.
"""

from functools import lru_cache
from urllib.parse import quote, unquote

APPS = "imc:apps"
"""Set of the apps that have a log: where projectors learn what to read."""

NEW_APPS = "{imc:apps}:new"
"""String: when the bucket of new apps is full again, in microseconds of Redis' clock."""

WORKERS = "imc:workers"
"""Hash of the leased worker numbers of the id generators."""

PUSH_NODES = "imc:push-nodes"
"""Sorted set by the end of their leases: the addresses of the push-nodes that gateways are pinned to."""

NO_APP = " "
"""An appId that no app can have, for commands that only prove that Redis carries them out."""

PROJECTOR_GROUP = "projector"
"""The consumer group that copies the log into the database."""


@lru_cache(4096)  # each command of an app builds some keys
def _of_app(app_id: str) -> str:
    """What the keys and channels of an app begin with."""
    return f"imc:{{{quote(app_id, safe='')}}}"


def log(app_id: str) -> str:
    """Stream: everything that happened to the app, in one order."""
    return f"{_of_app(app_id)}:log"


def log_state(app_id: str) -> str:
    """Hash beside the log.

    ``epoch``; ``born`` and ``last``, the first and the newest entry ever made; ``appended`` and
    ``projected``, how many entries were made and how many of them the database has; ``waiting``, the bytes of
    those that it has not; ``unborn``, the epoch of cursors taken before the first entry.
    """
    return f"{_of_app(app_id)}:log-state"


def send_quota(app_id: str) -> str:
    """String: when the app's bucket of sends is full again, in microseconds of Redis' clock."""
    return f"{_of_app(app_id)}:send-quota"


def live(app_id: str, database: int) -> str:
    """Channel: each batch as it is appended."""
    return f"{_of_app(app_id)}:live:{database}"


def recent(app_id: str, minute: int) -> str:
    """Hash: id of a message or notice made in that minute → its log entry, or ``x`` once it is retired."""
    return f"{_of_app(app_id)}:recent:{minute}"


def recalled(app_id: str) -> str:
    """Sorted set by time of sending: the messages whose content a replay of the log must not show."""
    return f"{_of_app(app_id)}:recalled"


def sent(app_id: str, client_message_id: str) -> str:
    """String: what became of the send that bore this ``clientMessageId``."""
    return f"{_of_app(app_id)}:sent:{client_message_id}"


def dead_letters(app_id: str) -> str:
    """Stream: log entries that could not be projected."""
    return f"{_of_app(app_id)}:dead-letters"


def gateways(app_id: str) -> str:
    """Sorted set: each gateway's newest connection, by fencing number."""
    return f"{_of_app(app_id)}:gateways"


def gateway_fence(app_id: str) -> str:
    """Sorted set of one member: the newest fencing number given out."""
    return f"{_of_app(app_id)}:gateway-fence"


def gateway_slots(app_id: str) -> str:
    """Sorted set: the gateways of an app whose number is limited, by when a node has to confirm them."""
    return f"{_of_app(app_id)}:gateway-slots"


def gateway_news(app_id: str, database: int) -> str:
    """Channel: `news_of` each gateway that has connected."""
    return f"{_of_app(app_id)}:gateway-news:{database}"


def news_of(gateway_id: str, number: int) -> str:
    """What is published when a gateway has connected: its escaped id, and its fencing number."""
    return f"{quote(gateway_id, safe='')} {number}"


def read_news(payload: bytes) -> tuple[str, int] | None:
    """The gatewayId and the number that `news_of` has written; None if it is nothing of the kind."""
    gateway_id, _, number = payload.decode("ascii", "replace").partition(" ")
    return (unquote(gateway_id), int(number)) if number.isdecimal() else None
