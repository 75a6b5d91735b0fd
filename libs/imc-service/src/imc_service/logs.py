"""Logs: one event is one line of JSON on standard error, whatever the input.

Unless the level is debug, no line shows a token, what users wrote, or an id of a user, a group or a message.
An exception is logged by its types and places, without its words. Of a message of a library only the first
line is logged.

A line that is written while a call is answered bears the ``requestId`` of that call, which its client may
have chosen, and its ``traceId`` if it is traced.
"""

import json
import logging
import sys
import traceback
from collections.abc import Iterator
from typing import Any, cast

import structlog
from structlog.typing import FilteringBoundLogger

from imc_service.current_call import CURRENT, id_of, trace_of

AUDIT = "audit"
"""The name of the logger that is written at every level: see `imc_service.auth.audit`."""


def configure(service: str, level: str) -> None:
    """Write everything that this process and its libraries log to standard error, as lines of JSON.

    ``level`` is one of debug, info, warning, error.
    """
    threshold = cast(int, getattr(logging, level.upper()))
    is_discreet = threshold > logging.DEBUG
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        _with_call,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _without_words if is_discreet else structlog.processors.format_exc_info,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, _first_line] if is_discreet else shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                _named(service),
                structlog.processors.JSONRenderer(serializer=_as_json),
            ],
        )
    )
    logging.basicConfig(level=threshold, handlers=[handler], force=True)
    logging.getLogger(AUDIT).setLevel(logging.INFO)
    # These report single connections, which says more about the network than about this process.
    for chatty in ("uvicorn", "httpx", "httpcore", "websockets", "alembic"):
        logging.getLogger(chatty).setLevel(max(threshold, logging.WARNING))


def get_logger(name: str) -> FilteringBoundLogger:
    """A logger whose events carry ``name`` as their component."""
    return cast(FilteringBoundLogger, structlog.get_logger(name, component=name))


def _named(service: str) -> structlog.typing.Processor:
    def add(
        _logger: structlog.typing.WrappedLogger, _method: str, event: structlog.typing.EventDict
    ) -> structlog.typing.EventDict:
        event["service"] = service
        return event

    return add


def _with_call(
    _logger: structlog.typing.WrappedLogger, _method: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    scope = CURRENT.get()
    if scope is not None:
        event.setdefault("requestId", id_of(scope))
        trace = trace_of(scope)
        if trace is not None:
            event["traceId"] = trace.split("-")[1]
    return event


def _without_words(
    _logger: structlog.typing.WrappedLogger, _method: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    """Replace an exception by its types and places: its words may quote a value, a statement or a key."""
    error = _error_in(event.pop("exc_info", None))
    if error is not None:
        event["exception"] = "\n".join(_places(error))
    return event


def _error_in(given: Any) -> BaseException | None:
    """The exception in an ``exc_info``: given itself, as a tuple, or as the current one."""
    if isinstance(given, BaseException):
        return given
    return (
        cast("BaseException | None", given[1])
        if isinstance(given, tuple)
        else sys.exc_info()[1]
        if given
        else None
    )


def _places(error: BaseException | None) -> Iterator[str]:
    while error is not None:
        yield type(error).__qualname__
        for frame in traceback.extract_tb(error.__traceback__):
            yield f"  {frame.filename}:{frame.lineno} {frame.name}"
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def _first_line(
    _logger: structlog.typing.WrappedLogger, _method: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    lines = str(event["event"]).strip().split("\n")
    # uvicorn logs a traceback when an application does not start. No user has sent anything by then.
    event["event"] = lines[-1] if lines[0].startswith("Traceback") else lines[0]
    return event


def _as_json(event: structlog.typing.EventDict, **_options: object) -> str:
    # In ASCII: some readers also end a line at U+0085 or U+2028, and a lone surrogate has no bytes in UTF-8.
    try:
        return json.dumps(event, default=repr, skipkeys=True, allow_nan=False)
    except ValueError:  # not a number, or a value that holds itself
        return json.dumps(
            {key: value if isinstance(value, str) else repr(value) for key, value in event.items()}
        )
