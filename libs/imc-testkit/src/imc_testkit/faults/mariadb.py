"""Faults of MariaDB: killed, hung, out of disk space, rows locked."""

from collections.abc import Awaitable, Callable

from imc_testkit import databases
from imc_testkit.faults.testbed import Fault, Testbed


def _outage(fault: Callable[[Testbed], Awaitable[None]]) -> Fault:
    """Record an outage of the database until every process is ready again."""

    async def recorded(testbed: Testbed) -> None:
        with testbed.load.database_outage():
            await fault(testbed)
            await testbed.ready()

    return recorded


async def _killed(testbed: Testbed) -> None:
    await testbed.mariadb.kill()
    await testbed.moment()
    await testbed.mariadb.start()


async def _hung(testbed: Testbed) -> None:
    testbed.mariadb.pause()
    await testbed.moment()
    testbed.mariadb.resume()


async def _disk_full(testbed: Testbed) -> None:
    """MariaDB may exit on a full disk; it is restarted once there is space."""
    with testbed.mariadb_disk.filled():
        await testbed.moment()
    if testbed.mariadb.process.exit_code is not None:
        await testbed.mariadb.start()


async def _locked(testbed: Testbed) -> None:
    """Another transaction locks the rows that the projector writes to."""
    async with databases.locked_rows(testbed.load.stores.database_url, "imc_group"):
        await testbed.moment()


FAULTS: dict[str, Fault] = {
    "mariadb killed": _outage(_killed),
    "mariadb hung": _outage(_hung),
    "mariadb out of disk": _outage(_disk_full),
    "mariadb locked": _outage(_locked),
}
"""The faults of this module by name."""
