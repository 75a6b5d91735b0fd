"""Sends spans to a collector, by OTLP over HTTP."""

import os
import socket

from imc_service.tracing.settings import TracingSettings
from imc_service.tracing.tracing import Tracing

PATH = "/v1/traces"
"""Where a collector takes traces, below its address (OTLP, section "OTLP/HTTP request")."""


def tracing_of(settings: TracingSettings, service: str, version: str) -> Tracing | None:
    """What makes the spans of a process; None if the settings name no collector.

    ``service`` and ``version`` are what the process is called in traces.
    """
    if settings.otlp_endpoint is None:
        return None
    # Imported here, since it takes a fifth of a second, and comes with an extra.
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from opentelemetry.sdk.trace.sampling import ALWAYS_ON

    resource = Resource.create(
        {
            "service.name": service,
            "service.version": version,
            "service.instance.id": f"{socket.gethostname()}-{os.getpid()}",
        }
    )
    # `Tracing` makes spans of what is traced only, so that nothing is left to decide.
    provider = TracerProvider(ALWAYS_ON, resource, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(settings.otlp_endpoint + PATH)))
    return Tracing(provider.get_tracer("imc"), settings.traces_ratio, provider.shutdown)
