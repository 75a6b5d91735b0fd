"""How scripts that use the keys of several shards come to the master that has these shards."""

import random
from collections.abc import Sequence


def by_any_of(keys: Sequence[str]) -> list[str]:
    """The one key that a script on ``keys`` is sent by; it gets the others as arguments.

    Not always the same: its shard may be on the way to another master, where the others are not.
    """
    return [random.choice(keys)]  # noqa: S311 - no secret
