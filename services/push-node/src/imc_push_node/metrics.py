"""The metrics of a push-node. Gateways are no labels: clients must not create time series."""

from imc_contracts.codes import CloseCode
from prometheus_client import CollectorRegistry, Counter, Gauge


class NodeMetrics:
    """The children of each metric are kept: to look a label up costs more than to count."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def counter(name: str, meaning: str) -> Counter:
            return Counter(name, meaning, registry=registry)

        self.connections = Gauge("imc_gateways", "Gateways connected.", registry=registry)
        self.lagging = Gauge("imc_gateways_lagging", "Gateways that read from the log.", registry=registry)
        self.resuming = Gauge(
            "imc_gateways_resuming", "Gateways that read from the database.", registry=registry
        )
        self.groups = Gauge(
            "imc_gateway_groups",
            "Groups that gateways have listed; one of two gateways counts twice.",
            registry=registry,
        )
        self.refused = counter("imc_gateways_refused", "Connections that were answered 4000.")
        self.gateway_quota_refusals = counter(
            "imc_gateway_quota_refusals", "Connections over the quota of their app."
        )
        self.entries = counter("imc_entries_told", "Log entries told to live gateways.")
        self.deliveries = counter("imc_deliveries", "Pushes written to gateways.")
        self.demotions = counter("imc_gateways_slowed", "Times a gateway's buffer was full.")
        self.repairs = counter("imc_follower_repairs", "Times that missed entries were read from the log.")
        self.forks = counter("imc_follower_forks", "Times that a log did not go on from where it was.")
        self.gaps = counter("imc_gaps", "Times that a gateway was told of a gap.")
        self.untold_gaps = counter(
            "imc_gaps_untold", "Times that a gateway of the Java door had a gap, which nothing tells it of."
        )
        self.archive_pages = counter("imc_archive_pages", "Pages that query-api gave of forgotten entries.")
        self.archive_failures = counter("imc_archive_failures", "Times that query-api gave no page.")
        self.skipped = counter("imc_entries_skipped", "Log entries that are no events.")
        self.subscriptions = counter("imc_pubsub_connections", "Pub/Sub connections made.")
        self.forwards = counter("imc_forward_batches", "Batches sent to command-api, repeats included.")
        self.forward_failures = counter("imc_forward_failures", "Batches that command-api did not answer.")
        self.forwarded = counter("imc_forwarded_messages", "Sends that command-api has answered.")
        self.frames_refused = counter("imc_frames_refused", "Sends that were answered 4001.")
        closes = Counter("imc_gateway_closes", "Gateways closed by the node.", ["code"], registry=registry)
        self.closes = {code: closes.labels(int(code)) for code in CloseCode}
