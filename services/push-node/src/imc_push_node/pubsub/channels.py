"""The channels of a node, and who hears them."""

from dataclasses import dataclass
from typing import Protocol


class ChannelListener(Protocol):
    """Hears one channel. Called as messages come in: must not raise or wait."""

    def on_subscribed(self) -> None:
        """From here on nothing is missed, until the next call; before it something may have been."""
        ...

    def on_message(self, payload: bytes) -> None:
        """A message, in the order of publishing."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Channel:
    """A channel that is held. It is published on the master that has the keys of its shard."""

    shard: int
    name: bytes
    listener: ChannelListener
