"""What ends an adoption, and what an error of a database tells the operator to do."""

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from imc_service.database.database import StatementRefused, StoreUnavailable
from imc_service.logs import get_logger
from imc_service.retry import Backoff

logger = get_logger("adoption")

T = TypeVar("T")

_ACCOUNT = "check the user and the password"
_RIGHTS = "grant the user the rights that docs/java.md names"
_CURES = {
    "1044": _RIGHTS,
    "1045": _ACCOUNT,
    "1049": "check the name of the database",
    "1142": _RIGHTS,
    "1143": _RIGHTS,
    "1698": _ACCOUNT,
}
"""What to do, by number of the error. Waiting helps with none of these."""

_NUMBER = re.compile(r"\d{4}\b")


class AdoptionError(Exception):
    """The rows could not be copied. The message says why, and what to do."""


class Interrupted(Exception):
    """The operator wants it to end; what was copied is committed."""


@dataclass(frozen=True)
class Patience:
    """Repeats what a database can't do now, until it has failed for ``seconds``."""

    which: str
    """Which database, for messages."""

    seconds: float
    cures: Mapping[str, str]
    """What to do about further errors that waiting does not cure: by number, or by words in the message."""

    stop: asyncio.Event
    """Set when the operator wants to end."""

    async def of(self, action: Callable[[], Awaitable[T]]) -> T:
        """The result of ``action``; raises `AdoptionError` and, instead of waiting, `Interrupted`."""
        backoff, failures, deadline = Backoff(), 0, 0.0
        while True:
            try:
                return await action()
            except StatementRefused as error:
                raise AdoptionError(self._hopeless(error) or f"{self.which}: {error}") from error
            except StoreUnavailable as error:
                failures += 1
                deadline = deadline or time.monotonic() + self.seconds
                if (words := self._hopeless(error)) is not None:
                    raise AdoptionError(words) from error
                if time.monotonic() > deadline:
                    raise AdoptionError(f"{self.which}: {error}; run it again to go on") from error
                logger.warning("waiting for a database", which=self.which, reason=str(error))
            if self.stop.is_set():
                raise Interrupted
            await backoff.pause(failures)

    def _hopeless(self, error: Exception) -> str | None:
        """The message for an error that waiting does not cure, or None."""
        words = str(error)
        number = _NUMBER.match(words)
        for sign, cure in {**_CURES, **self.cures}.items():
            if sign == number[0] if number else sign in words and not sign.isdigit():
                return f"{self.which}: {words}: {cure}"
        return None
