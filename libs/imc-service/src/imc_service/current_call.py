"""The call that is being answered: its id, and its trace.

The id of a call is in its log lines, in the header ``X-Request-Id`` of its reply, and in the calls to other
services that it leads to. A client may choose it. Otherwise it is made when something first asks for it, so
that a call of which nobody says anything costs nothing.
"""

import re
import secrets
from collections.abc import Generator, Mapping, MutableMapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

Scope = MutableMapping[str, Any]
"""The ASGI scope of a call."""

NAME = "x-request-id"
HEADER = NAME.encode("ascii")
MOST_CHARACTERS = 64

ID, _TRACE = "request_id", "trace"
"""Keys of ``scope["state"]``, which all copies of a scope share."""

_USABLE = re.compile(rb"[\x21-\x7e]{1,%d}" % MOST_CHARACTERS)

CURRENT: ContextVar[Scope | None] = ContextVar("current call", default=None)
"""The scope of the call that this task answers."""


@contextmanager
def answering(scope: Scope) -> Generator[None]:
    """Make a call the current one while the context lasts."""
    token = CURRENT.set(scope)
    try:
        yield
    finally:
        CURRENT.reset(token)


def new_id() -> str:
    """An id that no other call has."""
    return secrets.token_hex(8)


def choose_id(scope: Scope, value: bytes) -> None:
    """Take the id that the client of a call has chosen, if it is 1 to 64 visible characters of ASCII."""
    if _USABLE.fullmatch(value):
        _state(scope)[ID] = value.decode("ascii")


def id_of(scope: Scope) -> str:
    """The id of a call, made now if it has none."""
    state = _state(scope)
    if ID not in state:
        for name, value in scope.get("headers") or ():
            if name == HEADER:
                choose_id(scope, value)
    if ID not in state:
        state[ID] = new_id()
    return state[ID]


def known_id(scope: Scope) -> str | None:
    """The id of a call if its client chose one, or something has asked for it."""
    state: dict[str, Any] | None = scope.get("state")
    return None if state is None else state.get(ID)


def headers() -> dict[str, str]:
    """The header for a call to another service: the id of the current call, or a new one."""
    scope = CURRENT.get()
    return {NAME: new_id() if scope is None else id_of(scope)}


def follow(scope: Scope, trace: str) -> None:
    """Note the context of a call's trace, as in a ``traceparent`` header."""
    _state(scope)[_TRACE] = trace


def trace_of(scope: Mapping[str, Any] | None) -> str | None:
    """The context of a call's trace; None if it is not traced."""
    state: dict[str, Any] | None = None if scope is None else scope.get("state")
    return None if state is None else state.get(_TRACE)


def _state(scope: Scope) -> dict[str, Any]:
    if scope.get("state") is None:
        scope["state"] = dict[str, Any]()
    return scope["state"]
