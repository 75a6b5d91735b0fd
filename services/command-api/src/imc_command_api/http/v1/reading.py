"""What the calls of operators say while Redis is out of reach."""

import contextlib
from collections.abc import Generator

from imc_contracts.errors import unavailable
from redis.exceptions import RedisError


@contextlib.contextmanager
def reading() -> Generator[None]:
    """Raise `Refused` (`UNAVAILABLE`) if what is within raises a fault of Redis."""
    try:
        yield
    except (RedisError, OSError):
        raise unavailable("the log is out of reach") from None
