import json
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest
from imc_service import quota_watch
from imc_service.quota_watch import open_quotas
from imc_service.quotas import Quota, Quotas, QuotaSettings, QuotasInvalid
from imc_service.settings import SettingsError, load
from imc_testkit.waiting import wait_until
from prometheus_client import CollectorRegistry, Gauge

EXAMPLE = {
    "all": {"sends_per_second": 100, "gateways": 5},
    "apps": {
        "hot": {"sends_per_second": 1000.5, "send_burst": 3},
        "free": {"sends_per_second": "unlimited", "backlog_bytes": 7},
        "shut": {"sends_per_second": 0},
    },
}


def quotas_of(content: Any) -> Quotas:
    quotas = Quotas()
    quotas.read(json.dumps(content))
    return quotas


def test_nothing_is_limited_unless_it_is_asked_for() -> None:
    assert Quotas().of("any") == Quota(None, 1, None, None)


def test_an_app_has_its_own_values_and_for_the_rest_those_of_all() -> None:
    quotas = quotas_of(EXAMPLE)
    assert quotas.of("any") == Quota(100, 100, 5, None)
    assert quotas.of("hot") == Quota(1000.5, 3, 5, None)
    assert quotas.of("free") == Quota(None, 1, 5, 7)
    assert quotas.of("shut") == Quota(0, 1, 5, None)


def test_toml_says_the_same() -> None:
    quotas = Quotas()
    quotas.read('[all]\nsends_per_second = 100\n[apps."a.b"]\ngateways = "unlimited"', toml=True)
    assert quotas.of("a.b") == Quota(100, 100, None, None)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("[]", "valid"),
        ('{"app": {}}', "app"),
        ('{"all": {"sends": 1}}', "all.sends"),
        ('{"all": {"sends_per_second": -1}}', "all.sends_per_second"),
        ('{"all": {"sends_per_second": NaN}}', "all.sends_per_second"),
        ('{"all": {"sends_per_second": "many"}}', "all.sends_per_second"),
        ('{"all": {"send_burst": 0}}', "all.send_burst"),
        ('{"apps": {" b": {}}}', "apps. b"),
        ('{"apps": {"a": {"gateways": 1.5}}}', "apps.a.gateways"),
    ],
)
def test_what_can_not_be_used_is_named_and_changes_nothing(text: str, words: str) -> None:
    quotas = quotas_of(EXAMPLE)
    with pytest.raises(QuotasInvalid, match=words):
        quotas.read(text)
    assert quotas.of("shut").sends_per_second == 0


def test_wrong_quotas_stop_the_start(tmp_path: Path) -> None:
    file = tmp_path / "quotas.toml"
    file.write_text("[all]\nsends = 1")
    faults = {"IMC_QUOTAS": "{", "IMC_QUOTAS_FILE": str(file)}
    with pytest.raises(SettingsError) as stopped:
        load(QuotaSettings, faults)
    assert "IMC_QUOTAS: " in str(stopped.value)
    assert "all.sends" in str(stopped.value)
    with pytest.raises(SettingsError, match="can't be read"):
        load(QuotaSettings, {"IMC_QUOTAS_FILE": str(tmp_path / "missing.json")})


class File:
    """A file of quotas that is replaced as orchestrators do: by another that comes into its place."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.write({"all": {"gateways": 1}})

    def write(self, content: Any) -> None:
        new = self.path.with_name("new")
        new.write_text(json.dumps(content))
        new.rename(self.path)

    def remove(self) -> None:
        self.path.unlink()


@pytest.fixture
def file(tmp_path: Path) -> File:
    return File(tmp_path / "quotas.json")


@pytest.fixture
def settings(file: File) -> QuotaSettings:
    given = {"IMC_QUOTAS": '{"all": {"gateways": 9}}', "IMC_QUOTAS_FILE": str(file.path)}
    return load(QuotaSettings, given)


@pytest.fixture
def stale() -> Gauge:
    return Gauge("stale", "Stale.", registry=CollectorRegistry())


@pytest.fixture
async def quotas(settings: QuotaSettings, stale: Gauge) -> AsyncGenerator[Quotas]:
    async with open_quotas(settings, stale) as quotas:
        yield quotas


def value_of(gauge: Gauge) -> float:
    return next(iter(gauge.collect())).samples[0].value


async def test_a_changed_file_is_in_force_soon(quotas: Quotas, file: File) -> None:
    assert quotas.of("a").gateways == 1
    file.write({"all": {"gateways": 2}})
    await wait_until(lambda: quotas.of("a").gateways == 2)


async def test_a_file_that_went_wrong_leaves_the_old_quotas_and_is_told(
    quotas: Quotas, file: File, stale: Gauge
) -> None:
    file.write({"all": {"gateways": -2}})
    await wait_until(lambda: value_of(stale) == 1)
    assert quotas.of("a").gateways == 1
    file.write({"all": {"gateways": 33}})
    await wait_until(lambda: value_of(stale) == 0)
    file.remove()
    await wait_until(lambda: value_of(stale) == 1)
    assert quotas.of("a").gateways == 33
    file.write({"all": {"gateways": 34}})
    await wait_until(lambda: value_of(stale) == 0)
    assert quotas.of("a").gateways == 34


async def test_a_change_while_the_file_is_read_is_noticed(
    settings: QuotaSettings, file: File, stale: Gauge, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both at the start and later: what was read may be of before it."""
    read_file, reads = Quotas.read_file, 0

    def read_and_change(self: Quotas, path: Path) -> None:
        nonlocal reads
        reads += 1
        read_file(self, path)
        if reads < 4:
            file.write({"all": {"gateways": 10**reads}})

    monkeypatch.setattr(quota_watch, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(Quotas, "read_file", read_and_change)
    async with open_quotas(settings, stale) as quotas:
        await wait_until(lambda: quotas.of("a").gateways == 1000)


async def test_a_file_that_stays_is_not_read_again(
    settings: QuotaSettings, stale: Gauge, monkeypatch: pytest.MonkeyPatch
) -> None:
    stamp, read_file = quota_watch._stamp, Quotas.read_file  # pyright: ignore[reportPrivateUsage]
    looks = reads = 0

    def counted_stamp(path: Path) -> Any:
        nonlocal looks
        looks += 1
        return stamp(path)

    def counted_read(self: Quotas, path: Path) -> None:
        nonlocal reads
        reads += 1
        read_file(self, path)

    monkeypatch.setattr(quota_watch, "LOOK_SECONDS", 0.001)
    monkeypatch.setattr(quota_watch, "_stamp", counted_stamp)
    monkeypatch.setattr(Quotas, "read_file", counted_read)
    async with open_quotas(settings, stale):
        await wait_until(lambda: looks > 5)
    assert reads == 1


def test_a_change_is_looked_for_often_enough_for_what_is_promised() -> None:
    assert quota_watch.LOOK_SECONDS <= 2, "the setting's description says two seconds"


def test_the_first_three_faults_are_told() -> None:
    text = json.dumps({"apps": {f"app{number}": {"unknown": 1} for number in range(5)}})
    with pytest.raises(QuotasInvalid) as invalid:
        Quotas().read(text)
    told = str(invalid.value)
    assert [f"app{number}" in told for number in range(5)] == [True] * 3 + [False] * 2


async def test_the_environment_counts_where_there_is_no_file(stale: Gauge) -> None:
    settings = load(QuotaSettings, {"IMC_QUOTAS": '{"all": {"gateways": 9}}'})
    async with open_quotas(settings, stale) as quotas:
        assert quotas.of("a").gateways == 9
