"""Namespaces for a node: a network, mounts and processes of its own, which are gone when it ends."""

import asyncio
import contextlib
import secrets
import subprocess
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path

from imc_testkit.child import Child
from imc_testkit.programs import search_path
from imc_testkit.waiting import wait_until

from cluster.cluster import SERVICES

PODS = "10.244.0.0/24"
"""The addresses of pods."""

RUN_SECONDS = 300.0
_PREFIX_BITS = 30
# What programs of a node keep is in folders of the test, and gone with these. The first process only has to
# be there: all others end with it.
_PREPARE = """
mount --make-rshared /
mount -t tmpfs tmpfs /run
mount --bind "$0/lib" /var/lib
mount --bind "$0/log" /var/log
ip link set lo up
echo 1 > /proc/sys/net/ipv4/ip_forward
echo prepared
exec sleep infinity
"""


@dataclass(frozen=True)
class Namespaces:
    """Namespaces that are connected to this machine by a virtual link."""

    pid: int
    """A process whose children live there."""
    here: str
    """The address of this machine, as seen from there."""
    there: str
    """The address of the node, as seen from here."""

    def command(self, *command: str | Path) -> list[str]:
        """The command line that runs ``command`` there."""
        # `ip netns exec` would mount /sys anew, which hides the control groups.
        paths = {"net": "net", "mount": "mnt", "pid": "pid_for_children"}
        enter = [f"--{option}=/proc/{self.pid}/ns/{name}" for option, name in paths.items()]
        return ["nsenter", *enter, "--", *map(str, command)]

    async def run(self, *command: str | Path) -> str:
        """Run a command there, which must succeed; what it printed."""
        return await asyncio.to_thread(_run, self.command(*command))


@contextlib.asynccontextmanager
async def namespaces(folder: Path) -> AsyncGenerator[Namespaces]:
    """Make namespaces whose /var/lib and /var/log are in ``folder``.

    At the end all processes there are killed.
    """
    for name in ("lib", "log"):
        (folder / name).mkdir()
    options = ["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
    first = Child(
        ["unshare", *options, "sh", "-euc", _PREPARE, str(folder)],
        {"PATH": search_path()},
    )
    number = secrets.randbelow(250)
    here, there = f"10.214.{number}.1", f"10.214.{number}.2"
    try:
        first.spawn()

        def is_prepared() -> bool:
            assert first.exit_code is None, first.log
            return "prepared" in first.log

        await wait_until(is_prepared)
        made = Namespaces(first.pid, here, there)
        await asyncio.to_thread(_link, made)
        yield made
    finally:
        # The link and the routes go with the network.
        await first.close()


def _link(made: Namespaces) -> None:
    link = f"imc{secrets.token_hex(3)}"
    for command in (
        ["ip", "link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", str(made.pid)],
        ["ip", "address", "add", f"{made.here}/{_PREFIX_BITS}", "dev", link],
        ["ip", "link", "set", link, "up"],
        made.command("ip", "address", "add", f"{made.there}/{_PREFIX_BITS}", "dev", "eth0"),
        made.command("ip", "link", "set", "eth0", "up"),
        made.command("ip", "route", "add", "default", "via", made.here),
        ["ip", "route", "add", PODS, "via", made.there],
        ["ip", "route", "add", SERVICES, "via", made.there],
    ):
        _run(command)


def _run(command: list[str]) -> str:
    done = subprocess.run(
        command, env={"PATH": search_path()}, capture_output=True, text=True, check=False, timeout=RUN_SECONDS
    )
    assert done.returncode == 0, f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}"
    return done.stdout
