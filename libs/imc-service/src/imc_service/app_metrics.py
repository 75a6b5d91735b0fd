"""Metrics with a label for each app: only where that is switched on, and for as many apps as it says.

Clients choose the ids of apps, so that a label for each would let them create series without end.
"""

from collections import Counter
from collections.abc import Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector
from pydantic import Field

from imc_service.activity import Activity, Counts, Kind
from imc_service.settings import Settings


class AppMetricsSettings(Settings):
    """What a process that counts by app reads."""

    metrics_by_app: int = Field(
        0,
        ge=0,
        le=10_000,
        description="for how many apps metrics have a label; those beyond are counted together, without one; "
        "0 for none",
    )


class AppMetrics(Collector):
    """Series of what apps do. The first that do something keep a label for as long as the process lives."""

    def __init__(self, activity: Activity, most_apps: int, *kinds: Kind) -> None:
        """``kinds`` are what this process counts; ``most_apps`` have a label."""
        self._activity = activity
        self._most_apps = most_apps
        self._kinds = kinds
        self._labelled: set[str] = set()
        self._totals: Counter[tuple[Kind, str]] = Counter()
        activity.on_flush = self._add

    def collect(self) -> Iterator[CounterMetricFamily]:
        """The series as they are now, for the registry."""
        now = self._totals + self._by_label(self._activity.counts)
        families = {
            Kind.SENDS: CounterMetricFamily("imc_app_sends", "Sends accepted, by app.", labels=["app"]),
            Kind.REFUSED: CounterMetricFamily(
                "imc_app_sends_refused", "Sends refused, by app.", labels=["app"]
            ),
            Kind.PUSHES: CounterMetricFamily(
                "imc_app_pushes", "Pushes written to gateways, by app.", labels=["app"]
            ),
        }
        for kind in self._kinds:
            family = families[kind]
            counts = {"": 0} | {label: count for (counted, label), count in now.items() if counted is kind}
            for label, count in counts.items():
                family.add_metric([label], count)
            yield family

    def _add(self, counts: Counts) -> None:
        self._totals.update(self._by_label(counts))

    def _by_label(self, counts: Counts) -> Counter[tuple[Kind, str]]:
        by_label: Counter[tuple[Kind, str]] = Counter()
        for kind in self._kinds:
            for app_id, count in counts[kind].items():
                by_label[kind, self._label(app_id)] += count
        return by_label

    def _label(self, app_id: str) -> str:
        """The label of an app; "" if others have all labels, which to Prometheus is the same as none."""
        if app_id in self._labelled:
            return app_id
        if len(self._labelled) < self._most_apps:
            self._labelled.add(app_id)
            return app_id
        return ""


def count_by_app(activity: Activity, registry: CollectorRegistry, most_apps: int, *kinds: Kind) -> None:
    """Show what a process counts of apps as series, for at most ``most_apps`` of them; none if that is 0."""
    if most_apps:
        registry.register(AppMetrics(activity, most_apps, *kinds))
