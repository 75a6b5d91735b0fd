"""What a projector measures of itself."""

from imc_service.database.database import Refusal
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from imc_command_api.store.removal import Removed

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)

MALFORMED = "malformed"
DEAD_LETTER_KINDS = (MALFORMED, *(refusal.value for refusal in Refusal))


class SweepMetrics:
    """What sweeps have removed, and how far they are behind."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.removed = Counter(
            "imc_projector_removed",
            "Rows that were removed since the policy of their app does not keep them.",
            ["rows"],
            registry=registry,
        )
        for rows in Removed._fields:
            self.removed.labels(rows)
        self.overdue_seconds = Gauge(
            "imc_projector_overdue_seconds",
            "How long ago the oldest row should have gone that the latest sweep has found.",
            registry=registry,
        )
        self.last_sweep = Gauge(
            "imc_projector_last_sweep_timestamp_seconds",
            "When a sweep of old rows last ended.",
            registry=registry,
        )


class ProjectorMetrics:
    """Counters, and how far the database is behind the logs of the shards that this projector owns."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def counter(name: str, meaning: str) -> Counter:
            return Counter(name, meaning, registry=registry)

        def gauge(name: str, meaning: str) -> Gauge:
            return Gauge(name, meaning, registry=registry)

        self.entries = counter("imc_projector_entries", "Log entries that were written to the database.")
        self.batches = counter("imc_projector_batches", "Transactions committed.")
        self.batch_seconds = Histogram(
            "imc_projector_batch_seconds",
            "Time of one transaction, retries included.",
            registry=registry,
            buckets=_SECONDS,
        )
        self.retries = counter(
            "imc_projector_retries", "Tries that failed since Redis or the database was away."
        )
        self.shards = gauge("imc_projector_shards", "Shards that this projector owns.")
        self.refusals = counter(
            "imc_projector_refusals", "Tries of single log entries that the database refused."
        )
        self.dead_letters = Counter(
            "imc_projector_dead_letters",
            "Log entries that were dead-lettered, by the kind of the reason.",
            ["reason"],
            registry=registry,
        )
        for kind in DEAD_LETTER_KINDS:
            self.dead_letters.labels(kind)  # from the start, so that the first of a kind is an increase
        self.trimmed = counter("imc_projector_trimmed", "Log entries removed after their retention.")
        self.forgotten_apps = counter("imc_projector_forgotten_apps", "Apps that were gone, and forgotten.")
        self.sweep = SweepMetrics(registry)
        self.lag_entries = gauge(
            "imc_projector_lag_entries",
            "Log entries that the database lacks, of all apps of the shards owned.",
        )
        self.lag_entries_of_one_app = gauge(
            "imc_projector_lag_entries_of_one_app",
            "Log entries that the database lacks, of the app that it lacks most of.",
        )
        self.lag_seconds = gauge(
            "imc_projector_lag_seconds", "Age of the oldest log entry that the database lacks."
        )
        self.last_commit = gauge(
            "imc_projector_last_commit_timestamp_seconds", "When a transaction last committed."
        )
