"""A network namespace, connected to this machine by a virtual link that can be cut.

While the link is down, packets are dropped. Unlike with a closed socket, the peer is not told.
"""

import contextlib
import secrets
import subprocess
from collections.abc import Generator
from dataclasses import dataclass

from imc_testkit.disks import NotPermitted

_PREFIX_BITS = 30


@dataclass(frozen=True)
class FarMachine:
    """A network namespace. ``here`` is this machine's address as seen from the namespace."""

    name: str
    here: str

    def command(self, *command: str) -> list[str]:
        """The command line that runs ``command`` in the namespace."""
        return ["ip", "netns", "exec", self.name, *command]

    def unplug(self) -> None:
        """Take the link down."""
        _ip("link", "set", f"{self.name}h", "down")


@contextlib.contextmanager
def far_machine() -> Generator[FarMachine]:
    """Create a namespace, and delete it at the end. Raises `NotPermitted`."""
    number = secrets.randbelow(250)
    name, here, there = f"imc{secrets.token_hex(3)}", f"10.213.{number}.1", f"10.213.{number}.2"
    try:
        _ip("netns", "add", name)
    except (OSError, subprocess.CalledProcessError) as error:
        raise NotPermitted("making a network namespace needs root and iproute2") from error
    try:
        _ip("link", "add", f"{name}h", "type", "veth", "peer", "name", f"{name}t", "netns", name)
        _ip("address", "add", f"{here}/{_PREFIX_BITS}", "dev", f"{name}h")
        _ip("link", "set", f"{name}h", "up")
        _ip("-netns", name, "address", "add", f"{there}/{_PREFIX_BITS}", "dev", f"{name}t")
        _ip("-netns", name, "link", "set", f"{name}t", "up")
        yield FarMachine(name, here)
    finally:
        # Deleting the namespace deletes the link.
        _ip("netns", "delete", name)


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)
