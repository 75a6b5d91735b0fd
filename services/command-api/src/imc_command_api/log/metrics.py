"""What the log's writer measures."""

from prometheus_client import CollectorRegistry, Counter, Histogram


class LogMetrics:
    """``writes`` divided by ``batches`` is the average size of a batch."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.batches = Counter("imc_log_batches", "Batches appended to logs.", registry=registry)
        self.writes = Counter("imc_log_writes", "Events given to logs, repeats included.", registry=registry)
        self.append_seconds = Histogram(
            "imc_log_append_seconds",
            "Time of one append, from the call to the reply of Redis.",
            registry=registry,
            buckets=(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0),
        )
