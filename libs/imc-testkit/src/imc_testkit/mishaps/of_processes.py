"""Processes of the installation die, hang, or are restarted."""

from collections.abc import Callable

from imc_testkit.deployment import Deployment
from imc_testkit.mishaps.site import READY_SECONDS, Mishap, Site
from imc_testkit.processes import Process

_Kind = Callable[[Deployment], list[Process]]


def _killed(processes: _Kind) -> Mishap:
    async def mishap(site: Site) -> None:
        process = site.random.choice(processes(site.deployment))
        await process.kill()
        await site.moment()
        await process.start()

    return mishap


def _hung(processes: _Kind) -> Mishap:
    async def mishap(site: Site) -> None:
        process = site.random.choice(processes(site.deployment))
        process.pause()
        await site.moment()
        process.resume()

    return mishap


async def _rolling_restart(site: Site) -> None:
    for process in site.deployment.processes:
        await process.terminate()
        await process.start()
        await process.ready(READY_SECONDS)


MISHAPS: dict[str, Mishap] = {
    "command-api killed": _killed(lambda deployment: deployment.command_apis),
    "command-api hung": _hung(lambda deployment: deployment.command_apis),
    "projector killed": _killed(lambda deployment: deployment.projectors),
    "projector hung": _hung(lambda deployment: deployment.projectors),
    "push-node killed": _killed(lambda deployment: deployment.push_nodes),
    "push-node hung": _hung(lambda deployment: deployment.push_nodes),
    "query-api killed": _killed(lambda deployment: deployment.query_apis),
    "rolling restart": _rolling_restart,
}
"""By what happens."""
