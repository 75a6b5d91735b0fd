"""The exception for refused requests, independent of the transport.

``Refused`` has a code of the contract. Each transport maps the codes to its own replies: HTTP to a status,
WebSocket to a frame.
"""

from imc_contracts.codes import ErrorCode


class Refused(Exception):
    """The request is refused. ``message`` is for people, and reveals no internals."""

    def __init__(self, code: ErrorCode, message: str, *, retry_after: int | None = None) -> None:
        super().__init__(f"{int(code)}: {message}")
        self.code = code
        self.message = message
        self.retry_after = retry_after
        """Seconds after which to retry, if the code is retryable."""


SUSPENDED = "this app is suspended"


def suspended() -> Refused:
    """The refusal of sends and gateways of a suspended app."""
    return Refused(ErrorCode.FORBIDDEN, f"{SUSPENDED}; ask who runs this installation")


def unavailable(what: str, retry_after: int = 1) -> Refused:
    """The refusal when a log or store is unavailable. ``what`` describes it; nothing was accepted."""
    return Refused(ErrorCode.UNAVAILABLE, f"{what}; nothing was accepted, try again", retry_after=retry_after)
