"""The only builder of Redis keys and channels.

Everything of an app carries the hash tag ``{appId}``, so that one script may touch all of it where the
keys are spread over a Redis Cluster. An appId holds no brace, so that no app can reach another's keys.

Keys belong to a database of Redis, channels to all of them. So a channel bears the number of its database:
installations on two databases of one server hear nothing of each other.
"""

APPS = "imc:apps"
"""Set of the apps that have a log: where projectors learn what to read."""

NEW_APPS = "{imc:apps}:new"
"""String: when the bucket of new apps is full again, in microseconds of Redis' clock."""

WORKERS = "imc:workers"
"""Hash of the leased worker numbers of the id generators."""

PUSH_NODES = "imc:push-nodes"
"""Sorted set by the end of their leases: the addresses of the push-nodes that gateways are pinned to."""

NO_APP = " "
"""An appId that no app can have, for what is done only to prove that Redis does it."""

PROJECTOR_GROUP = "projector"
"""The consumer group that copies the log into the database."""


def log(app_id: str) -> str:
    """Stream: everything that happened to the app, in one order."""
    return f"imc:{{{app_id}}}:log"


def log_state(app_id: str) -> str:
    """Hash beside the log.

    ``epoch``; ``born`` and ``last``, the first and the newest entry ever made; ``appended`` and
    ``projected``, how many entries were made and how many of them the database has; ``waiting``, the bytes of
    those that it has not; ``unborn``, the epoch of cursors taken before the first entry.
    """
    return f"imc:{{{app_id}}}:log-state"


def send_quota(app_id: str) -> str:
    """String: when the app's bucket of sends is full again, in microseconds of Redis' clock."""
    return f"imc:{{{app_id}}}:send-quota"


def live(app_id: str, database: int) -> str:
    """Channel: each batch as it is appended."""
    return f"imc:{{{app_id}}}:live:{database}"


def recent(app_id: str, minute: int) -> str:
    """Hash: id of a message or notice made in that minute → its log entry, or ``x`` once it is retired."""
    return f"imc:{{{app_id}}}:recent:{minute}"


def recalled(app_id: str) -> str:
    """Sorted set by time of sending: the messages whose content a replay of the log must not show."""
    return f"imc:{{{app_id}}}:recalled"


def sent(app_id: str, client_message_id: str) -> str:
    """String: what became of the send that bore this ``clientMessageId``."""
    return f"imc:{{{app_id}}}:sent:{client_message_id}"


def dead_letters(app_id: str) -> str:
    """Stream: log entries that could not be projected."""
    return f"imc:{{{app_id}}}:dead-letters"


def gateways(app_id: str) -> str:
    """Sorted set: each gateway's newest connection, by fencing number."""
    return f"imc:{{{app_id}}}:gateways"


def gateway_fence(app_id: str) -> str:
    """Sorted set of one member: the newest fencing number given out."""
    return f"imc:{{{app_id}}}:gateway-fence"


def gateway_places(app_id: str) -> str:
    """Sorted set: the gateways of an app whose number is limited, by when a node has to confirm them."""
    return f"imc:{{{app_id}}}:gateway-places"


def gateway_news(app_id: str, database: int) -> str:
    """Channel: ``gatewayId number`` whenever a gateway has connected anew."""
    return f"imc:{{{app_id}}}:gateway-news:{database}"
