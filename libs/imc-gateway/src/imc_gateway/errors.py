"""Why something could not be done."""


class ImcError(Exception):
    """IMC refused something.

    ``code`` is one of the codes of failures, such as 40001. ``is_retryable`` says whether the same can
    succeed later, and ``retry_after`` in how many seconds, if that is known.
    """

    def __init__(
        self, code: int, message: str, *, is_retryable: bool, retry_after: float | None = None
    ) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.is_retryable = is_retryable
        self.retry_after = retry_after


class Ended(Exception):
    """The connection has ended, and connecting again would not help.

    ``code`` is a close code, or the HTTP status of a refused upgrade.
    """

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"{code}: {reason}")
        self.code = code
        self.reason = reason


class Replaced(Ended):
    """A newer connection has the same gatewayId.

    Two that both came back would replace each other for ever.
    """


class Disconnected(Ended):
    """An operator has disconnected the gateway."""
