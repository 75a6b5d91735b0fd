"""The only builder of Redis keys and channels.

Apps are spread over a fixed number of shards. All keys of an app, and those of its shard, carry the shard as
hash tag: ``imc:{17}:log:demo``. So one script may use all of them, and in a Redis Cluster they lie on one
master. An appId may hold any character, so it is escaped: each byte of its UTF-8 other than
``A-Z a-z 0-9 . _ ~ -`` is written ``%XX``. So it holds no brace or colon, and no app can reach another's
keys.

Keys belong to one database of Redis, channels to all databases. So a channel carries the number of its
database: installations on two databases of one server do not hear each other.
"""

import itertools
import zlib
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import quote, unquote

SHARDS = 256
"""How many shards there are. An installation keeps the number that it began with: see `SHARD_COUNT`."""

SHARD_COUNT = "imc:shards"
"""String: the number of shards that this installation began with."""

NEW_APPS = "imc:new-apps"
"""String: when the bucket of new apps is full again, in microseconds of Redis' clock."""

WORKERS = "imc:workers"
"""Hash of the leased worker numbers of the id generators."""

PUSH_NODES = "imc:push-nodes"
"""Sorted set by the end of their leases: the addresses of the push-nodes that gateways are pinned to."""

PROJECTORS = "imc:projectors"
"""Sorted set by the end of their leases: the projectors that shards are spread over.

The shards of one that is not in it any more are free.
"""

PROCESSES = "imc:processes"
"""Sorted set by when each was last seen, in ms of Redis' clock: what each process says of itself."""


def shard_of(app_id: str) -> int:
    """The shard of an app: 0 to `SHARDS` - 1."""
    return zlib.crc32(app_id.encode()) % SHARDS


@lru_cache(SHARDS)
def no_app(shard: int) -> str:
    """An appId that no app can have, in this shard; for proofs that Redis carries commands out."""
    return next(name for number in itertools.count() if shard_of(name := f" {number}") == shard)


@lru_cache(4096)  # each command of an app builds some keys
def _parts(app_id: str) -> tuple[str, str]:
    """What comes before and after the kind of a key of an app."""
    return f"imc:{{{shard_of(app_id)}}}:", ":" + quote(app_id, safe="")


def _of_app(app_id: str, kind: str) -> str:
    begin, end = _parts(app_id)
    return begin + kind + end


def apps(shard: int) -> str:
    """Sorted set: the apps that have a log, by when upkeep is next due, in milliseconds of Redis' clock."""
    return f"imc:{{{shard}}}:apps"


def pending(shard: int) -> str:
    """Sorted set: the apps whose log has entries that the database lacks, by the time of the oldest in ms."""
    return f"imc:{{{shard}}}:pending"


def changes(shard: int) -> str:
    """Stream: ``a`` is an app whose log has changed, ``g`` one whose gateways have. Cut to `CHANGES_KEPT`."""
    return f"imc:{{{shard}}}:changes"


CHANGES_KEPT = 1000


def owner(shard: int) -> str:
    """String: the projector that owns the shard, until another takes it over. See `PROJECTORS`."""
    return f"imc:{{{shard}}}:owner"


def recent(shard: int, minute: int) -> str:
    """Hash of what was made in that minute, of all apps of the shard.

    The id of a message or notice → its log entry and its app. The id and the app → the entry that retired it.
    """
    return f"imc:{{{shard}}}:recent:{minute}"


def roster(shard: int) -> str:
    """Sorted set, in the order of its members: the connected gateways. See `imc_contracts.roster`."""
    return f"imc:{{{shard}}}:roster"


def roster_rows(shard: int) -> str:
    """Hash: what is known of each member of `roster`."""
    return f"imc:{{{shard}}}:roster-rows"


def behind(shard: int) -> str:
    """Sorted set: the members of `roster` that are behind their log."""
    return f"imc:{{{shard}}}:behind"


def closed(shard: int, hour: int) -> str:
    """Sorted set, in the order of its members: the fields of `closes` that operators look at."""
    return f"imc:{{{shard}}}:closed:{hour}"


def closes(shard: int, hour: int) -> str:
    """Hash of the closes in that hour: an app and a gatewayId → how the newest connection of it ended."""
    return f"imc:{{{shard}}}:closes:{hour}"


def disconnected(shard: int, command: str) -> str:
    """Sorted set: the processes that have carried a command to disconnect out, by closed connections."""
    return f"imc:{{{shard}}}:disconnected:{command}"


def activity(shard: int, minute: int) -> str:
    """Hash: what the noisiest apps of the shard did in that minute."""
    return f"imc:{{{shard}}}:activity:{minute}"


def all_activity(minute: int) -> str:
    """Hash: what all apps did in that minute, and how long sends took."""
    return f"imc:activity:{minute}"


def log(app_id: str) -> str:
    """Stream: everything that happened to the app, in one order."""
    return _of_app(app_id, "log")


def log_copy(app_id: str, erasure_id: int) -> str:
    """Stream: the beginning of the log without what is erased. It takes the place of the log."""
    return f"{_of_app(app_id, 'log-copy')}:{erasure_id}"


def dead_letters_copy(app_id: str, erasure_id: int) -> str:
    """Stream: the beginning of the dead letters, as `log_copy`."""
    return f"{_of_app(app_id, 'dead-letters-copy')}:{erasure_id}"


def log_state(app_id: str) -> str:
    """Hash beside the log.

    ``epoch``; ``born`` and ``last``, the first and the newest entry ever made; ``projected``, the newest
    entry up to which the database has all; ``waiting`` and ``waiting_bytes``, the number and the bytes of the
    entries after it; ``unborn``, the epoch of cursors taken before the first entry.
    """
    return _of_app(app_id, "log-state")


def send_quota(app_id: str) -> str:
    """String: when the app's bucket of sends is full again, in microseconds of Redis' clock."""
    return _of_app(app_id, "send-quota")


def live(app_id: str, database: int) -> str:
    """Sharded channel: each batch as it is appended."""
    return f"{_of_app(app_id, 'live')}:{database}"


def recalled(app_id: str) -> str:
    """Sorted set by time of sending: the messages whose content a replay of the log must not show."""
    return _of_app(app_id, "recalled")


def sent(app_id: str, client_message_id: str) -> str:
    """String: what became of the send that bore this ``clientMessageId``."""
    return f"{_of_app(app_id, 'sent')}:{client_message_id}"


def dead_letters(app_id: str) -> str:
    """Stream: log entries that could not be projected."""
    return _of_app(app_id, "dead-letters")


def gateways(app_id: str) -> str:
    """Sorted set: each gateway's newest connection, by fencing number."""
    return _of_app(app_id, "gateways")


def gateway_fence(app_id: str) -> str:
    """Sorted set of one member: the newest fencing number given out."""
    return _of_app(app_id, "gateway-fence")


def gateway_slots(app_id: str) -> str:
    """Sorted set: the gateways of an app whose number is limited, by when a node has to confirm them."""
    return _of_app(app_id, "gateway-slots")


def gateway_news(app_id: str, database: int) -> str:
    """Sharded channel: `news_of` each gateway that has connected; `disconnect_of` those that must go."""
    return f"{_of_app(app_id, 'gateway-news')}:{database}"


def news_of(gateway_id: str, number: int) -> str:
    """What is published when a gateway has connected: its escaped id, and its fencing number."""
    return f"{quote(gateway_id, safe='')} {number}"


def read_news(payload: bytes) -> tuple[str, int] | None:
    """The gatewayId and the number that `news_of` has written; None if it is nothing of the kind."""
    gateway_id, _, number = payload.decode("ascii", "replace").partition(" ")
    return (unquote(gateway_id), int(number)) if number.isdecimal() else None


class Disconnect(NamedTuple):
    """Asks all nodes to disconnect a gateway. ``command`` is a word by which their answers are found."""

    gateway_id: str
    command: str
    reason: str


def disconnect_of(disconnect: Disconnect) -> str:
    """What is published to disconnect a gateway. `read_news` takes it for nothing."""
    gateway_id, command, reason = disconnect
    return f"{quote(gateway_id, safe='')} disconnect {command} {quote(reason, safe='')}"


def read_disconnect(payload: bytes) -> Disconnect | None:
    """What `disconnect_of` has written; None if it is nothing of the kind."""
    match payload.decode("ascii", "replace").split(" "):
        case [gateway_id, "disconnect", command, reason]:
            return Disconnect(unquote(gateway_id), command, unquote(reason))
        case _:
            return None
