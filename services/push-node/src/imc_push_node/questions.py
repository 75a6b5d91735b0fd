"""What is asked about every app each second, packed once: a thousand quiet apps must cost next to nothing."""

from imc_contracts import names

from imc_push_node import log_state
from imc_push_node.redis_link import packed

FENCE = "f"
"""The one member of an app's fence; its score is the newest number given out."""

TIME = packed("TIME")

REPLIES = 2
"""To the questions about one app."""


def about(app_id: str) -> bytes:
    """Where the app's log stands, and where its fence."""
    state = packed("HMGET", names.log_state(app_id), *log_state.FIELDS)
    return state + packed("ZSCORE", names.gateway_fence(app_id), FENCE)
