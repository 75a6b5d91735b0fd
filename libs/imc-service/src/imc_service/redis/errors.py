"""What the errors of Redis mean, and the words in which it says them."""

import re

from redis.exceptions import ConnectionError as ConnectionFailed
from redis.exceptions import MaxConnectionsError, RedisError, ResponseError

MOST_CHARACTERS = 200

_LEADS_ELSEWHERE = frozenset(
    {
        *("READONLY", "UNBLOCKED", "MASTERDOWN", "LOADING", "NOREPLICAS", "MISCONF"),
        *("MOVED", "ASK", "CLUSTERDOWN", "CROSSSLOT"),
        *("NOAUTH", "WRONGPASS", "NOPERM", "DENIED"),
    }
)
"""What the server that we mean does not answer. Behind the same address may by now be another one."""

_NOT_RUN = (_LEADS_ELSEWHERE - {"UNBLOCKED"}) | {"OOM", "BUSY", "TRYAGAIN", "EXECABORT"}
"""What a server answers instead of running a command."""

_CODE = re.compile(r"[A-Z]+(?= |$)")
_OF_A_PIPELINE = " of pipeline caused error: "


class NotConnected(ConnectionFailed):
    """No connection could be made: the command was not sent."""


class NotReplicated(RedisError):
    """Redis has run it, but fewer replicas than were asked for have confirmed it: a failover may lose it."""


def code_of(error: BaseException) -> str | None:
    """The word that a reply of Redis begins with, such as ``READONLY``; None if it is no error reply."""
    # redis-py takes it out of the text of those errors that it has a class for.
    code: str | None = getattr(error, "status_code", None)
    if code is not None or not isinstance(error, ResponseError):
        return code
    found = _CODE.match(_text_of(error))
    return found[0] if found else None


def leads_elsewhere(error: BaseException) -> bool:
    """Whether ``error`` says that its connection leads to a server that is not, or no more, the right one."""
    return code_of(error) in _LEADS_ELSEWHERE


def was_not_run(error: BaseException) -> bool:
    """Whether the command that raised ``error``, on a client of `redis_client`, certainly had no effect.

    False after a lost connection or a timeout: the server may have run it, or may yet.
    """
    if isinstance(error, NotConnected | MaxConnectionsError):
        return True
    # A script is looked at for its rights command by command: some of it may have been done.
    is_within_script = code_of(error) == "NOPERM" and "script" in _text_of(error)
    return code_of(error) in _NOT_RUN and not is_within_script


def words_of(error: BaseException) -> str:
    """What happened, in the server's own words if it has answered.

    For logs and ``/readyz``: one line, without what a command bore (a key, a content, a password).
    """
    text = _text_of(error)
    if isinstance(error, RedisError) and text:
        code = getattr(error, "status_code", None)
        return f"{code} {text}" if code else text
    return type(error).__name__ + (f": {text}" if text else "")


def _text_of(error: BaseException) -> str:
    # redis-py quotes the command of a pipeline, and the words of the error as Python writes a tuple of them.
    _, of_a_pipeline, text = str(error).rpartition(_OF_A_PIPELINE)
    if of_a_pipeline:
        text = text.removeprefix("(").removesuffix(",)").strip("\"'")
    # Servers quote a command that they do not know, a password in it included.
    text = text.partition(", with args beginning with")[0]
    return " ".join(text.split())[:MOST_CHARACTERS]
