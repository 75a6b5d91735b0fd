"""The measured costs that everything is computed with, and where each comes from."""

import json
from dataclasses import dataclass, field, fields
from importlib.resources import files
from pathlib import Path
from typing import Any


def _cost(meaning: str) -> Any:
    """A field that says what it is the cost of."""
    return field(metadata={"meaning": meaning})


@dataclass(frozen=True)
class Constants:
    """Costs on the machine of the measurements.

    ``…_us`` are microseconds of one core, ``…_bytes`` are bytes of memory, disk or network. The bench sets
    them, and says in the file from which row each comes.
    """

    send_request_us: float = _cost("command-api: a request with sends, whatever it holds")
    send_message_us: float = _cost("command-api: each message in a request")
    append_wait_us: float = _cost(
        "The time, not CPU, from a send to its reply while there is no other. Meanwhile the next batch forms"
    )
    redis_batch_us: float = _cost("Redis: a run of the append script")
    redis_message_us: float = _cost("Redis: each message in it")
    redis_heard_batch_us: float = _cost("Redis: to write a batch to one push-node that follows the app")
    redis_heard_message_us: float = _cost("Redis: each message of such a batch")
    redis_row_us: float = _cost("Redis: to hand a message to the projector, and to note that it is projected")
    push_wake_us: float = _cost("push-node: to take what was published of an app, whatever it holds")
    push_message_us: float = _cost("push-node: to make the frame of a message, once for all gateways")
    push_write_us: float = _cost("push-node: to write to one gateway, whatever is written")
    push_byte_us: float = _cost("push-node: each byte that is written")
    push_frame_us: float = _cost("push-node: to take a send from a gateway, and pass it on to command-api")
    keep_alive_us: float = _cost("push-node: to keep one gateway alive for a second")
    projector_row_us: float = _cost(
        "projector: the time, not CPU, that a row takes while many wait: the rows of a shard take turns"
    )
    database_row_us: float = _cost("Database: to store a row")
    database_page_us: float = _cost("Database: to read a page of 20 messages")
    query_page_us: float = _cost("query-api: to answer a page of 20 messages")
    log_message_bytes: float = _cost("Redis: a message in the log, beside its content")
    log_content_bytes: float = _cost("Redis: each byte of content")
    log_client_id_bytes: float = _cost("Redis: a ``clientMessageId`` that is remembered")
    log_app_bytes: float = _cost("Redis: an app that has a log")
    row_message_bytes: float = _cost("Database: a message with its indexes, beside its content")
    row_content_bytes: float = _cost("Database: each byte of content")
    row_group_bytes: float = _cost("Database: a group")
    request_bytes: float = _cost(
        "Network: a request with one send, beside its content; without tokens and TLS"
    )
    push_bytes: float = _cost("Network: a push, beside its content; without TLS")
    command_api_bytes: float = _cost("Memory of a command-api")
    push_node_bytes: float = _cost("Memory of a push-node without gateways")
    gateway_bytes: float = _cost("Memory of an idle gateway, in its push-node")
    query_api_bytes: float = _cost("Memory of a query-api")
    projector_bytes: float = _cost("Memory of a projector")


class BadConstants(Exception):
    """The file of constants can't be used. The text says why."""


def units() -> dict[str, str]:
    """The unit of each constant, by its name."""
    return {each.name: "bytes" if each.name.endswith("_bytes") else "µs" for each in fields(Constants)}


def meanings() -> dict[str, str]:
    """What each constant is the cost of, by its name."""
    return {each.name: each.metadata["meaning"] for each in fields(Constants)}


def shipped() -> dict[str, Any]:
    """The content of the file that comes with the package: ``constants`` by name, with value and source."""
    return json.loads(files("imc_capacity").joinpath("constants.json").read_text(encoding="utf-8"))


def load(path: Path | None = None) -> Constants:
    """The constants of a file, or those that come with the package.

    Raises `BadConstants` if the file can't be read, or lacks a number of at least 0 for a constant.
    """
    try:
        content: Any = json.loads(path.read_text(encoding="utf-8")) if path else shipped()
        given: dict[str, Any] = {name: each["value"] for name, each in content["constants"].items()}
    except OSError as error:
        raise BadConstants(f"{path} can't be read: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise BadConstants(
            f'{path} is not a file of constants: {{"constants": {{"send_request_us": {{"value": 110}}, …}}}}'
        ) from None
    names = [each.name for each in fields(Constants)]
    if wrong := sorted(given.keys() ^ set(names)):
        raise BadConstants(f"{path}: {', '.join(wrong)}: missing, or not a constant. Make the file anew")
    for name in names:
        value = given[name]
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e12:
            raise BadConstants(f"{path}: {name} is {value!r}; it must be a number of at least 0")
    return Constants(**given)
