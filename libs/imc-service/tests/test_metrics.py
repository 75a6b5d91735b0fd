from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import httpx
import pytest
from fastapi import FastAPI
from imc_service.http import replies
from imc_service.metrics import HttpMetrics, HttpSeries
from prometheus_client import CollectorRegistry
from starlette.types import ASGIApp

Caller = Callable[[ASGIApp], AbstractAsyncContextManager[httpx.AsyncClient]]


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def app(registry: CollectorRegistry) -> FastAPI:
    app = FastAPI()
    replies.install(app)
    app.add_middleware(HttpMetrics, series=HttpSeries(registry))

    @app.get("/things/{thing}")
    async def thing(thing: int) -> object:
        return replies.success(thing)

    @app.get("/fault")
    async def fault() -> object:
        raise RuntimeError

    return app


def counted(registry: CollectorRegistry) -> dict[tuple[str, str], float]:
    return {
        (sample.labels["path"], sample.labels["status"]): sample.value
        for metric in registry.collect()
        for sample in metric.samples
        if sample.name == "imc_http_requests_total"
    }


async def test_requests_are_counted_by_template_and_status(
    app: FastAPI, calling: Caller, registry: CollectorRegistry
) -> None:
    async with calling(app) as client:
        for path in ("/things/1", "/things/2", "/things/x", "/fault"):
            await client.get(path)
        await client.post("/things/1")
    assert counted(registry) == {
        ("/things/{thing}", "200"): 2,
        ("/things/{thing}", "400"): 1,
        ("/things/{thing}", "405"): 1,
        ("/fault", "500"): 1,
    }
    assert registry.get_sample_value("imc_http_request_seconds_count", {"path": "/things/{thing}"}) == 4


async def test_paths_that_nothing_answers_make_one_series(
    app: FastAPI, calling: Caller, registry: CollectorRegistry
) -> None:
    async with calling(app) as client:
        for number in range(20):
            await client.get(f"/nowhere/{number}")
    assert counted(registry) == {("other", "404"): 20}


def test_times_are_a_histogram_that_prometheus_reads(registry: CollectorRegistry) -> None:
    series = HttpSeries(registry)
    for seconds in (0.0005, 0.001, 0.002, 60.0):
        series.note("/a", 200, seconds)

    def buckets(le: str) -> float | None:
        return registry.get_sample_value("imc_http_request_seconds_bucket", {"path": "/a", "le": le})

    assert (buckets("0.001"), buckets("0.0025"), buckets("10.0"), buckets("+Inf")) == (2, 3, 3, 4)
    assert registry.get_sample_value("imc_http_request_seconds_sum", {"path": "/a"}) == pytest.approx(60.0035)
