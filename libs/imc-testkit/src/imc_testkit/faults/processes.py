"""Faults of the processes of the installation: killed, hung, restarted."""

from collections.abc import Callable

from imc_testkit.deployment import Deployment
from imc_testkit.faults.testbed import READY_SECONDS, Fault, Testbed
from imc_testkit.processes import Process

_Kind = Callable[[Deployment], list[Process]]


def _killed(processes: _Kind) -> Fault:
    async def fault(testbed: Testbed) -> None:
        process = testbed.random.choice(processes(testbed.deployment))
        await process.kill()
        await testbed.moment()
        await process.start()

    return fault


def _hung(processes: _Kind) -> Fault:
    async def fault(testbed: Testbed) -> None:
        process = testbed.random.choice(processes(testbed.deployment))
        process.pause()
        await testbed.moment()
        process.resume()

    return fault


async def _rolling_restart(testbed: Testbed) -> None:
    for process in testbed.deployment.processes:
        await process.terminate()
        await process.start()
        await process.ready(READY_SECONDS)


FAULTS: dict[str, Fault] = {
    "command-api killed": _killed(lambda deployment: deployment.command_apis),
    "command-api hung": _hung(lambda deployment: deployment.command_apis),
    "projector killed": _killed(lambda deployment: deployment.projectors),
    "projector hung": _hung(lambda deployment: deployment.projectors),
    "push-node killed": _killed(lambda deployment: deployment.push_nodes),
    "push-node hung": _hung(lambda deployment: deployment.push_nodes),
    "query-api killed": _killed(lambda deployment: deployment.query_apis),
    "rolling restart": _rolling_restart,
}
"""The faults of this module by name."""
