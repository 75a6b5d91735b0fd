"""A machine beyond a cable that can be pulled: a network namespace, joined to this one by a virtual link.

To a link that is down nothing is said and nothing answers: unlike a closed socket, no packet tells the peer.
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
    """``here``: the address of this machine, as seen from there."""

    name: str
    here: str

    def command(self, *command: str) -> list[str]:
        """What runs a command there."""
        return ["ip", "netns", "exec", self.name, *command]

    def unplug(self) -> None:
        """Pull the cable."""
        _ip("link", "set", f"{self.name}h", "down")


@contextlib.contextmanager
def far_machine() -> Generator[FarMachine]:
    """A machine of its own, until the end. Raises `NotPermitted`."""
    number = secrets.randbelow(250)
    name, here, there = f"imc{secrets.token_hex(3)}", f"10.213.{number}.1", f"10.213.{number}.2"
    try:
        _ip("netns", "add", name)
    except (OSError, subprocess.CalledProcessError) as error:
        raise NotPermitted("no network namespace can be made here: it takes root and iproute2") from error
    try:
        _ip("link", "add", f"{name}h", "type", "veth", "peer", "name", f"{name}t", "netns", name)
        _ip("address", "add", f"{here}/{_PREFIX_BITS}", "dev", f"{name}h")
        _ip("link", "set", f"{name}h", "up")
        _ip("-netns", name, "address", "add", f"{there}/{_PREFIX_BITS}", "dev", f"{name}t")
        _ip("-netns", name, "link", "set", f"{name}t", "up")
        yield FarMachine(name, here)
    finally:
        # The link goes with the namespace.
        _ip("netns", "delete", name)


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)
