"""What the quota of sends measures. Apps are no labels: clients make apps."""

from prometheus_client import CollectorRegistry, Counter


class SendQuotaMetrics:
    """``sends`` and ``backlog``: sends refused because of the one or the other quota."""

    def __init__(self, registry: CollectorRegistry) -> None:
        refusals = Counter(
            "imc_send_quota_refusals", "Sends refused for a quota of their app.", ["quota"], registry=registry
        )
        self.sends = refusals.labels("sends_per_second")
        self.backlog = refusals.labels("backlog_bytes")
