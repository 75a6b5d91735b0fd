"""``/livez``, ``/readyz`` and ``/metrics``: what an orchestrator and a monitor ask of every process."""

import asyncio
from collections.abc import Awaitable, Callable

from fastapi import APIRouter, Response
from fastapi.responses import PlainTextResponse
from prometheus_client import CollectorRegistry, Gauge, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from imc_service.replies import JsonReply

Check = Callable[[], Awaitable[str | None]]
"""Says why the process can't do its job just now, or None."""

CHECK_SECONDS = 2.0
"""A check that takes longer has failed: a hung server must not hang the answer."""


class Readiness:
    """Asks each part of a process whether it can do its job now."""

    def __init__(self) -> None:
        self._checks: dict[str, Check] = {}
        self._retired: str | None = None
        self.on_retire: list[Callable[[], None]] = []
        """What to call at the moment of `retire`."""

    def retire(self, reason: str) -> None:
        """Let the process be not ready for good, while it goes on with its work: it ends soon."""
        self._retired = reason
        for tell in self.on_retire:
            tell()

    def add(self, name: str, check: Check) -> None:
        """Let ``check`` speak for the part called ``name``."""
        self._checks[name] = check

    async def reasons(self) -> list[str]:
        """Why the process is not ready; empty when it is."""
        if self._retired is not None:
            return [self._retired]
        answers = await asyncio.gather(*(_ask(name, check) for name, check in self._checks.items()))
        return [answer for answer in answers if answer]


async def _ask(name: str, check: Check) -> str | None:
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            reason = await check()
    except TimeoutError:
        reason = "no answer in time"
    except Exception as error:  # whatever a part raises, the process must be able to say that it is not ready
        reason = type(error).__name__
    return f"{name}: {reason}" if reason else None


def routes(readiness: Readiness, registry: CollectorRegistry) -> APIRouter:
    """The three paths; they carry no envelope."""
    router = APIRouter(tags=["operations"])
    ready = Gauge("imc_ready", "Whether the process can do its job now (1) or not (0).", registry=registry)

    @router.get("/livez")
    async def livez() -> Response:
        """The process runs and answers."""
        return JsonReply({"status": "alive"})

    @router.get("/readyz", responses={503: {"description": "It can't do its job now; `reasons` says why."}})
    async def readyz() -> Response:
        """The process can do its job now."""
        reasons = await readiness.reasons()
        if reasons:
            return JsonReply({"status": "not ready", "reasons": reasons}, status_code=503)
        return JsonReply({"status": "ready"})

    @router.get("/metrics", response_class=PlainTextResponse)
    async def metrics() -> Response:
        """Metrics in the text format of Prometheus."""
        ready.set(not await readiness.reasons())
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_PLAIN_0_0_4)

    return router
