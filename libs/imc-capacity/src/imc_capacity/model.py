"""The model: each formula is one function of measured `Constants`. Docs: docs/capacity.md.

Rates are per second. Loads are cores: 0.5 is half a core. A share of a core that may be busy, ``busy``, is
from 0 to 1.
"""

import math
from dataclasses import dataclass

from imc_capacity.constants import Constants

_MICROSECONDS = 1e6

LARGEST_BATCH = 100
"""The batch that the bound of one app is stated for. Larger ones cost Redis no less a message."""


@dataclass(frozen=True)
class App:
    """The traffic of one app: sends a second, its gateways, and messages in a request."""

    sends: float
    gateways: float
    batch: int = 1


def command_api_load(constants: Constants, sends: float, batch: int) -> float:
    """Cores of command-api: each request costs something, and each message in it."""
    each = constants.send_request_us / batch + constants.send_message_us
    return sends * each / _MICROSECONDS


def redis_us(constants: Constants, batch: float, followers: float) -> float:
    """Microseconds of Redis a message: its part of the script, of each push-node that hears it, its row.

    ``followers`` are the push-nodes that follow the app.
    """
    once = constants.redis_batch_us + followers * constants.redis_heard_batch_us
    each = constants.redis_message_us + followers * constants.redis_heard_message_us
    return once / batch + each + constants.redis_row_us


def batch_size(constants: Constants, app: App, command_apis: int, followers: float, busy: float) -> float:
    """Messages in a batch of an app: those of a request, or more if more arrive meanwhile.

    While a batch of an app is on its way from one command-api, the next one forms there. If the app would
    keep Redis busier than ``busy``, batches wait for Redis, and so grow until it is that busy, to
    `LARGEST_BATCH` at most.
    """
    meanwhile = app.sends / command_apis * constants.append_wait_us / _MICROSECONDS
    natural = max(float(app.batch), min(meanwhile, LARGEST_BATCH))
    once = constants.redis_batch_us + followers * constants.redis_heard_batch_us
    each = redis_us(constants, math.inf, followers)
    left = busy * _MICROSECONDS / app.sends - each if app.sends else math.inf
    needed = once / left if left > 0 else math.inf
    return max(natural, min(needed, LARGEST_BATCH))


def redis_load(constants: Constants, app: App, batch: float, followers: float) -> float:
    """Cores of Redis that one app takes. All of it is on one master: an app has one order."""
    return app.sends * redis_us(constants, batch, followers) / _MICROSECONDS


def most_sends_of_an_app(constants: Constants, followers: float, busy: float) -> float:
    """Sends of one app that a Redis core takes a second: the bound of one app, which nothing raises."""
    return busy * _MICROSECONDS / redis_us(constants, LARGEST_BATCH, followers)


def most_rows_of_a_shard(constants: Constants, busy: float) -> float:
    """Rows of one shard that its projector stores a second. Beyond, the history of its apps falls behind."""
    return busy * _MICROSECONDS / constants.projector_row_us


def projector_load(constants: Constants, sends: float) -> float:
    """Projectors that are busy with the rows of some apps."""
    return sends * constants.projector_row_us / _MICROSECONDS


def database_load(constants: Constants, sends: float, pages: float) -> float:
    """Cores of the database for rows that are stored and pages that are read."""
    return (sends * constants.database_row_us + pages * constants.database_page_us) / _MICROSECONDS


def query_api_load(constants: Constants, pages: float) -> float:
    """Cores of query-api."""
    return pages * constants.query_page_us / _MICROSECONDS


def followers_of(gateways: float, push_nodes: int) -> float:
    """How many push-nodes have a gateway of an app, on average, if each gateway lands on any of them."""
    return push_nodes * (1 - (1 - 1 / push_nodes) ** gateways)


def push_load(
    constants: Constants, app: App, batch: float, followers: float, content: float, push_wait_ms: float
) -> float:
    """Cores of all push-nodes for one app: wake-ups, writes, frames and bytes.

    Each batch wakes the push-nodes that follow the app, and each of them writes once to each of its gateways.
    A busy node takes together what was published meanwhile: it wakes at most once in ``push_wait_ms``.
    """
    batches = app.sends / batch
    wakes = min(batches, 1000 / push_wait_ms) if push_wait_ms else batches
    waking = wakes * followers * constants.push_wake_us
    making = app.sends * followers * constants.push_message_us
    writing = wakes * app.gateways * constants.push_write_us
    copying = app.sends * app.gateways * (content + constants.push_bytes) * constants.push_byte_us
    return (waking + making + writing + copying) / _MICROSECONDS


def frames_load(constants: Constants, sends: float) -> float:
    """Cores of push-nodes that take sends from gateways."""
    return sends * constants.push_frame_us / _MICROSECONDS


def keep_alive_load(constants: Constants, gateways: float) -> float:
    """Cores of push-nodes that keep idle gateways alive."""
    return gateways * constants.keep_alive_us / _MICROSECONDS


def log_bytes(constants: Constants, entries: float, content: float, client_ids: float) -> float:
    """Bytes of Redis for the log of one app with ``entries``, and the ``client_ids`` that are remembered."""
    entry = constants.log_message_bytes + content * constants.log_content_bytes
    return constants.log_app_bytes + entries * entry + client_ids * constants.log_client_id_bytes


def row_bytes(constants: Constants, messages: float, content: float, groups: int) -> float:
    """Bytes of the database for messages and groups, with indexes; without copies and binary logs."""
    message = constants.row_message_bytes + content * constants.row_content_bytes
    return messages * message + groups * constants.row_group_bytes


def network_in(constants: Constants, sends: float, content: float, batch: int) -> float:
    """Bytes a second from clients: requests with sends."""
    return sends * (content + constants.request_bytes / batch)


def network_out(constants: Constants, deliveries: float, content: float, pages: float) -> float:
    """Bytes a second to gateways and readers. A page has 20 messages, each as long as a push."""
    return (deliveries + 20 * pages) * (content + constants.push_bytes)
