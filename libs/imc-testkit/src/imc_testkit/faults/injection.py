"""Injects a fault and waits for the recovery."""

import time
from dataclasses import dataclass

from imc_testkit.faults import connections, gateways, mariadb, processes, redis
from imc_testkit.faults.testbed import READY_SECONDS, Fault, Testbed

FAULTS: dict[str, Fault] = {
    **redis.FAULTS,
    **mariadb.FAULTS,
    **connections.FAULTS,
    **processes.FAULTS,
    **gateways.FAULTS,
}
"""All faults by name."""


@dataclass(frozen=True)
class InjectedFault:
    """A fault that was injected. Times are those of the history."""

    name: str
    began: float
    ended: float
    recovered: float
    """When sends were acknowledged again and every process was ready."""


async def inject(testbed: Testbed, name: str) -> InjectedFault:
    """Inject a fault, and wait for the recovery. Raises `AssertionError` if there is none in time."""
    testbed.load.note(name)
    began = time.monotonic()
    await FAULTS[name](testbed)
    ended = time.monotonic()
    await testbed.load.more(20, READY_SECONDS)
    await testbed.ready()
    recovered = time.monotonic()
    testbed.load.note(f"recovered from {name}")
    return InjectedFault(name, began, ended, recovered)
