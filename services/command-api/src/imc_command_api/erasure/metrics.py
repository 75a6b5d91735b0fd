"""What a projector measures of erasures."""

from prometheus_client import CollectorRegistry, Counter


class ErasureMetrics:
    """Counters."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def counter(name: str, meaning: str) -> Counter:
            return Counter(name, meaning, registry=registry)

        self.done = counter("imc_erasures", "Erasures that were carried out.")
        self.rows = counter("imc_erased_rows", "Messages and notices that were erased from the database.")
        self.entries = counter("imc_erased_entries", "Log entries that were erased.")
        self.letters = counter("imc_erased_dead_letters", "Dead letters that were erased.")
