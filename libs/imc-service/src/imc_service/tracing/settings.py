"""The settings of traces."""

from importlib.util import find_spec
from typing import Annotated

from pydantic import AfterValidator, Field

from imc_service.settings import Settings
from imc_service.urls import HttpUrl


def _with_packages(url: str) -> str:
    try:
        is_installed = find_spec("opentelemetry.exporter.otlp.proto.http") and find_spec("opentelemetry.sdk")
    except ModuleNotFoundError:
        is_installed = None
    if not is_installed:
        raise ValueError("needs packages that are not installed: install imc-service[tracing], or unset it")
    return url


class TracingSettings(Settings):
    """What every process that a message passes reads.

    The first is a standard variable of OpenTelemetry. Its SDK reads the other ones itself.
    """

    otlp_endpoint: Annotated[HttpUrl, AfterValidator(_with_packages)] | None = Field(
        None,
        alias="OTEL_EXPORTER_OTLP_ENDPOINT",
        description="where a collector takes traces by OTLP over HTTP, such as http://collector:4318; "
        "without it nothing is traced",
    )
    traces_ratio: float = Field(
        0.01,
        ge=0,
        le=1,
        description="the share of messages that are traced, of those whose sender has not decided it by "
        "`traceparent`",
    )
