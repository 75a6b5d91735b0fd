"""Logs: one event is one line of JSON on standard error, whatever the input."""

import json
import logging
import sys
from typing import cast

import structlog
from structlog.typing import FilteringBoundLogger


def configure(service: str, level: str) -> None:
    """Send everything this process logs, libraries included, to standard error as JSON lines.

    ``level`` is one of debug, info, warning, error.
    """
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    threshold = cast(int, getattr(logging, level.upper()))
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                _named(service),
                structlog.processors.JSONRenderer(serializer=_as_json),
            ],
        )
    )
    logging.basicConfig(level=threshold, handlers=[handler], force=True)
    # What these say of single connections is a fact of the network, not of this process.
    for chatty in ("uvicorn", "httpx", "httpcore", "websockets", "alembic"):
        logging.getLogger(chatty).setLevel(max(threshold, logging.WARNING))


def logger(name: str) -> FilteringBoundLogger:
    """A logger whose events carry ``name`` as their component."""
    return cast(FilteringBoundLogger, structlog.get_logger(name, component=name))


def _named(service: str) -> structlog.typing.Processor:
    def add(
        _logger: structlog.typing.WrappedLogger, _method: str, event: structlog.typing.EventDict
    ) -> structlog.typing.EventDict:
        event["service"] = service
        return event

    return add


def _as_json(event: structlog.typing.EventDict, **_options: object) -> str:
    # In ASCII: some readers also end a line at U+0085 or U+2028, and a lone surrogate has no bytes in UTF-8.
    try:
        return json.dumps(event, default=repr, skipkeys=True, allow_nan=False)
    except ValueError:  # not a number, or a value that holds itself
        return json.dumps(
            {key: value if isinstance(value, str) else repr(value) for key, value in event.items()}
        )
