"""The command that asks where the log of an app stands."""

from imc_contracts import names
from imc_service.redis.connections import packed
from redis.exceptions import ResponseError

from imc_push_node.pubsub.subscriber import Subscriber
from imc_push_node.stream import log_state
from imc_push_node.stream.log_state import LogState

TIME = packed("TIME")


def about(app_id: str) -> bytes:
    """The command that reads the state of an app's log, packed: it is asked again and again."""
    return packed("HMGET", names.log_state(app_id), *log_state.FIELDS)


async def log_stands(subscriber: Subscriber, app_id: str) -> LogState:
    """Read the state of the app's log, once all that was published until then is here.

    Raises as `ask`, and `ResponseError` if the log can't be asked just now.
    """
    now, fields = await subscriber.ask([names.shard_of(app_id)], TIME + about(app_id), 2)
    if isinstance(fields, ResponseError):
        raise fields
    return log_state.read((int(now[0]), int(now[1])), fields)
