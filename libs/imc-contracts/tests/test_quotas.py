import json
from typing import Any

import pytest
from imc_contracts.quotas import Quota, Quotas, QuotasInvalid, usable

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
    quotas.read('[all]\nsends_per_second = 100\n[apps."a.b"]\ngateways = "unlimited"', ".toml")
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


def test_the_first_three_faults_are_told() -> None:
    text = json.dumps({"apps": {f"app{number}": {"unknown": 1} for number in range(5)}})
    with pytest.raises(QuotasInvalid) as invalid:
        Quotas().read(text)
    told = str(invalid.value)
    assert [f"app{number}" in told for number in range(5)] == [True] * 3 + [False] * 2


def test_a_usable_text_is_kept_as_it_is() -> None:
    text = json.dumps(EXAMPLE)
    assert usable(text) == text
    with pytest.raises(QuotasInvalid, match="not TOML"):
        usable(text, ".toml")
