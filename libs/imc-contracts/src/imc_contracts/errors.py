"""The one way in which a request is refused, whatever transport it came by.

``Refused`` carries a code of the contract; each edge (HTTP, WebSocket) has one map from code to its own
sign (a status, a frame), so that no rule knows of a transport.
"""

from imc_contracts.codes import ErrorCode


class Refused(Exception):
    """A request that is not carried out. ``message`` is for people and says nothing of the inside."""

    def __init__(self, code: ErrorCode, message: str, *, retry_after: int | None = None) -> None:
        super().__init__(f"{int(code)}: {message}")
        self.code = code
        self.message = message
        self.retry_after = retry_after
        """Seconds after which a retry makes sense, where the code is one to retry."""


def unavailable(what: str, retry_after: int = 1) -> Refused:
    """The refusal for a log or store out of reach: nothing was accepted, ``what`` names the part."""
    return Refused(ErrorCode.UNAVAILABLE, f"{what}; nothing was accepted, try again", retry_after=retry_after)
