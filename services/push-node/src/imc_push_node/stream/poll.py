"""The commands that poll an app each second, packed once: a thousand quiet apps must cost next to nothing."""

from imc_contracts import names
from imc_service.redis.connections import packed

from imc_push_node.pubsub.subscriber import Subscriber
from imc_push_node.stream import log_state
from imc_push_node.stream.log_state import LogState

FENCE = "f"
"""The one member of an app's fence; its score is the newest number given out."""

TIME = packed("TIME")

REPLIES = 2
"""The number of replies for one app."""


def about(app_id: str) -> bytes:
    """The commands that read the state of an app's log, and its fence."""
    return _about_log(app_id) + packed("ZSCORE", names.gateway_fence(app_id), FENCE)


async def log_stands(subscriber: Subscriber, app_id: str) -> LogState:
    """Read the state of the app's log, once all that was published until then is here. Raises as `ask`."""
    now, fields = await subscriber.ask(TIME + _about_log(app_id), 2)
    return log_state.read((int(now[0]), int(now[1])), fields)


def _about_log(app_id: str) -> bytes:
    return packed("HMGET", names.log_state(app_id), *log_state.FIELDS)
