"""Series with a label for each app: as many as are switched on, and right whenever they are read."""

from typing import Any

import pytest
from imc_service.activity import Activity, Kind
from imc_service.app_metrics import AppMetricsSettings, count_by_app
from imc_service.redis.masters import Masters
from imc_service.settings import SettingsError, load
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

SENDS_AND_REFUSED = (Kind.SENDS, Kind.REFUSED)


def shown(registry: CollectorRegistry) -> dict[tuple[str, str], float]:
    families = text_string_to_metric_families(generate_latest(registry).decode())
    samples = [sample for family in families for sample in family.samples]
    assert {""} <= {sample.labels["app"] for sample in samples}, "also where no app is beyond the bound"
    return {(sample.name, sample.labels["app"]): sample.value for sample in samples if sample.value}


async def test_counts_are_shown_before_and_after_they_go_to_redis(redis: Any, app_id: str) -> None:
    activity, registry = Activity(Masters(redis)), CollectorRegistry()
    count_by_app(activity, registry, 10, *SENDS_AND_REFUSED)
    assert generate_latest(registry).decode().count("# TYPE imc_app_") == 2
    activity.sent(app_id, 2)
    activity.refused(app_id)
    activity.pushed(app_id, 9)
    expected = {("imc_app_sends_total", app_id): 2, ("imc_app_sends_refused_total", app_id): 1}
    assert shown(registry) == expected
    await activity.flush(1)
    assert shown(registry) == expected
    activity.sent(app_id, 3)
    assert shown(registry) == {**expected, ("imc_app_sends_total", app_id): 5}
    await activity.flush(1)
    assert shown(registry) == {**expected, ("imc_app_sends_total", app_id): 5}


async def test_apps_beyond_the_bound_are_counted_together(redis: Any) -> None:
    activity, registry = Activity(Masters(redis)), CollectorRegistry()
    count_by_app(activity, registry, 2, Kind.PUSHES)
    for number in range(5):
        activity.pushed(f"app-{number}", 10)
    await activity.flush(2)
    activity.pushed("app-4", 1)
    activity.pushed("app-0", 1)
    name = "imc_app_pushes_total"
    assert shown(registry) == {(name, "app-0"): 11, (name, "app-1"): 10, (name, ""): 31}


async def test_any_app_can_be_a_label(redis: Any) -> None:
    activity, registry = Activity(Masters(redis)), CollectorRegistry()
    count_by_app(activity, registry, 10, Kind.SENDS)
    names = ['"', "\\", "中文 😀", "a\\nb", "} 1"]
    for name in names:
        activity.sent(name, 1)
    assert {app for _, app in shown(registry)} == set(names)


def test_without_it_there_are_no_series_and_nothing_is_kept() -> None:
    activity, registry = Activity(Masters(None)), CollectorRegistry()  # pyright: ignore[reportArgumentType]
    before = activity.on_flush
    count_by_app(activity, registry, 0, *Kind)
    assert generate_latest(registry) == b""
    assert activity.on_flush is before


@pytest.mark.parametrize("number", ["-1", "10001", "all"])
def test_the_bound_is_bounded(number: str) -> None:
    with pytest.raises(SettingsError, match="IMC_METRICS_BY_APP"):
        load(AppMetricsSettings, {"IMC_METRICS_BY_APP": number})
