"""``/livez``, ``/readyz`` and ``/metrics``, for orchestrators and monitoring."""

import asyncio
from collections.abc import Awaitable, Callable, Collection
from typing import Annotated, Literal, NotRequired

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import PlainTextResponse
from prometheus_client import CollectorRegistry, Gauge, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, choose_encoder
from pydantic import Field
from typing_extensions import TypedDict

from imc_service import ticks
from imc_service.http.replies import JsonReply
from imc_service.logs import get_logger

logger = get_logger("health")

Check = Callable[[], Awaitable[str | None]]
"""Returns why the process can't do its job now, or None."""

Notice = Callable[[], str | None]
"""Returns what somebody has to look at while the process does its job, or None."""

CHECK_SECONDS = 2.0
"""A check that takes longer has failed: a hung server must not hang the answer."""

TELL_SECONDS = 2.0
REASONS_TOLD = 10
"""The most reasons logged for one part until it works again: a reason may hold a number that changes."""


class Alive(TypedDict):
    """The process runs and answers."""

    status: Annotated[Literal["alive"], Field(description="It runs.", examples=["alive"])]


class Ready(TypedDict):
    """The process can do its job now."""

    status: Annotated[Literal["ready"], Field(description="It can do its job.", examples=["ready"])]
    warnings: NotRequired[
        Annotated[
            list[str],
            Field(
                description="What somebody has to look at, for each part; left out if there is nothing.",
                examples=[["apps file: apps.toml can't be used, its older content stays: not TOML: …"]],
            ),
        ]
    ]


class NotReady(TypedDict):
    """The process can't do its job now."""

    status: Annotated[Literal["not ready"], Field(description="It can't do its job.", examples=["not ready"])]
    reasons: Annotated[
        list[str], Field(description="Why, for each part.", examples=[["database: no answer in time"]])
    ]


class Readiness:
    """The readiness of a process: the checks of all its parts."""

    def __init__(self) -> None:
        self._checks: dict[str, Check] = {}
        self._notices: dict[str, Notice] = {}
        self._retired: str | None = None
        self.on_retire: list[Callable[[], None]] = []
        """What to call at the moment of `retire`."""

    def retire(self, reason: str) -> None:
        """Make the process unready for good. It ends soon, and works until then."""
        self._retired = reason
        for tell in self.on_retire:
            tell()

    def add(self, name: str, check: Check) -> None:
        """Add the check of the part called ``name``."""
        self._checks[name] = check

    def warn(self, name: str, notice: Notice) -> None:
        """Add what to say about the part called ``name`` while the process is ready."""
        self._notices[name] = notice

    def warnings(self) -> list[str]:
        """What somebody has to look at though the process may be ready."""
        told = ((name, notice()) for name, notice in self._notices.items())
        return [f"{name}: {words}" for name, words in told if words is not None]

    async def reasons(self, exclude: Collection[str] = ()) -> list[str]:
        """Why the process is not ready, without the parts named in ``exclude``; empty if it is."""
        if self._retired is not None:
            return [self._retired]
        return [f"{name}: {reason}" for name, reason in (await self._failing(exclude)).items()]

    async def reasons_by_part(self) -> dict[str, str]:
        """The same by the name of the part; the end of the process is the part ``process``."""
        return await self._failing() if self._retired is None else {"process": self._retired}

    async def keep_telling(self) -> None:
        """Log once when a part stops working, and once when it works again; until cancelled."""
        told: dict[str, set[str]] = {}
        while True:
            await asyncio.sleep(ticks.pause(TELL_SECONDS))  # first: at the start, parts are not ready yet
            failing = await self._failing()
            for name, reason in failing.items():
                known = told.setdefault(name, set())
                if reason not in known and len(known) < REASONS_TOLD:
                    known.add(reason)
                    logger.error("not ready", part=name, reason=reason)
            for name in told.keys() - failing.keys():
                del told[name]
                logger.warning("ready again", part=name)

    async def _failing(self, exclude: Collection[str] = ()) -> dict[str, str]:
        """The parts that do not work, and why."""
        names = [name for name in self._checks if name not in exclude]
        answers = await asyncio.gather(*(_ask(self._checks[name]) for name in names))
        return {name: answer for name, answer in zip(names, answers, strict=True) if answer}


async def _ask(check: Check) -> str | None:
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            return await check()
    except TimeoutError:
        return "no answer in time"
    except Exception as error:  # a part may raise anything; /readyz must answer
        return type(error).__name__


def routes(readiness: Readiness, registry: CollectorRegistry, *, has_exemplars: bool = False) -> APIRouter:
    """The routes, whose replies have no envelope.

    ``has_exemplars``: whether metrics name traces, which only the format of OpenMetrics can.
    """
    router = APIRouter()
    ready = Gauge("imc_ready", "Whether the process can do its job now (1) or not (0).", registry=registry)

    @router.get("/livez", response_model=Alive, response_description="It runs.")
    async def livez() -> Response:
        """The process runs and answers."""
        return JsonReply({"status": "alive"})

    @router.get(
        "/readyz",
        response_model=Ready,
        response_description="It can do its job now.",
        responses={503: {"model": NotReady, "description": "It can't do its job now; `reasons` says why."}},
    )
    async def readyz(
        exclude: Annotated[
            list[str], Query(description="Parts of the process to leave out.", examples=["database"])
        ] = [],  # noqa: B006
    ) -> Response:
        """The process can do its job now."""
        reasons = await readiness.reasons(exclude)
        if reasons:
            return JsonReply({"status": "not ready", "reasons": reasons}, status_code=503)
        if warnings := readiness.warnings():
            return JsonReply({"status": "ready", "warnings": warnings})
        return JsonReply({"status": "ready"})

    @router.get("/metrics", response_class=PlainTextResponse, response_description="All metrics.")
    async def metrics(request: Request) -> Response:
        """Metrics in the text format of Prometheus."""
        ready.set(not await readiness.reasons())
        if has_exemplars:
            encode, media_type = choose_encoder(request.headers.get("accept", ""))
            return Response(encode(registry), media_type=media_type)
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_PLAIN_0_0_4)

    return router
