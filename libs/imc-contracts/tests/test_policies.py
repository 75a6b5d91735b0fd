from typing import Any

import pytest
from imc_contracts.policies import Policies, PoliciesInvalid, Policy, Quota, TokenMarks, usable

EXAMPLE = """
[defaults]
recall_window_seconds = 300
quotas = { sends_per_second = 100, gateways = 5 }
revoked = [{ jti = "lost" }]

[apps.hot.quotas]
sends_per_second = 1000.5
send_burst = 3

[apps.free]
recall_window_seconds = 60
quotas = { sends_per_second = "unlimited", backlog_bytes = 7 }

[apps.shut.quotas]
sends_per_second = 0

[apps."live room"]
suspended = true
revoked = [
    { subject = "backend-7" },
    { subject = "backend-8", issued_before = 2026-11-01T00:00:00Z },
    { issued_before = 2026-01-01T00:00:00+01:00 },
]
"""
NOVEMBER, JANUARY = 1_793_491_200, 1_767_222_000


def policies_of(text: str) -> Policies:
    policies = Policies()
    policies.read(text)
    return policies


def test_nothing_is_declared_unless_somebody_does() -> None:
    assert (
        Policies().of("any") == policies_of("").of("any") == Policy(Quota(None, 1, None, None), None, False)
    )
    assert not Policies().is_revoked_everywhere(TokenMarks())
    assert Policies().longest_recall_window_ms == 0


def test_an_app_has_its_own_values_and_for_the_rest_the_defaults() -> None:
    policies = policies_of(EXAMPLE)
    assert policies.of("any") == Policy(Quota(100, 100, 5, None), 300_000, False)
    assert policies.of("hot") == Policy(Quota(1000.5, 3, 5, None), 300_000, False)
    assert policies.of("free") == Policy(Quota(None, 1, 5, 7), 60_000, False)
    assert policies.of("shut").quota == Quota(0, 1, 5, None)
    assert policies.of("live room") == Policy(Quota(100, 100, 5, None), 300_000, True)
    assert policies.longest_recall_window_ms == 300_000


def test_rows_are_kept_unless_an_age_is_declared() -> None:
    policies = policies_of(
        """
        [defaults]
        retention_days = 30
        abandoned_group_days = 7.5
        [apps.archive]
        retention_days = "unlimited"
        [apps.kept]
        retention_days = "unlimited"
        abandoned_group_days = "unlimited"
        [apps.short]
        retention_days = 1
        """
    )
    day = 86_400_000
    ages = {
        app_id: (policy.retention_ms, policy.abandoned_after_ms, policy.least_age_ms)
        for app_id, policy in {**policies.named, "any": policies.default}.items()
    }
    assert ages == {
        "any": (30 * day, 7.5 * day, 7.5 * day),
        "archive": (None, 7.5 * day, 7.5 * day),
        "kept": (None, None, None),
        "short": (day, 7.5 * day, day),
    }
    assert policies.default == policies.of("any")
    assert Policies().default.least_age_ms is None


def test_an_app_can_be_excepted_from_a_suspension_of_all() -> None:
    policies = policies_of("defaults.suspended = true\napps.a.suspended = false")
    assert (policies.of("a").is_suspended, policies.of("b").is_suspended) == (False, True)


@pytest.mark.parametrize(
    ("marks", "is_revoked"),
    [
        (TokenMarks(issued_at=JANUARY), False),
        (TokenMarks(issued_at=JANUARY - 1), True),
        (TokenMarks(), True),
        (TokenMarks("any", "backend-7", NOVEMBER), True),
        (TokenMarks("any", "backend-8", NOVEMBER), False),
        (TokenMarks("any", "backend-8", NOVEMBER - 1), True),
        (TokenMarks("any", "backend-9", NOVEMBER - 1), False),
    ],
)
def test_an_app_revokes_tokens_by_subject_and_by_age(marks: TokenMarks, is_revoked: bool) -> None:
    policies = policies_of(EXAMPLE)
    assert policies.apps_that_revoked(marks) == (frozenset({"live room"}) if is_revoked else frozenset())
    assert not policies.is_revoked_everywhere(marks)


def test_the_defaults_revoke_a_token_everywhere() -> None:
    policies = policies_of(EXAMPLE)
    assert policies.is_revoked_everywhere(TokenMarks("lost", issued_at=NOVEMBER))
    assert not policies.is_revoked_everywhere(TokenMarks("kept", issued_at=NOVEMBER))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{}", "not TOML"),
        ("a = " + "[" * 100_000, "not TOML"),
        ("[app]", "app"),
        ("[defaults]\nquota = {}", "defaults.quota"),
        ("[defaults.quotas]\nsends = 1", "defaults.quotas.sends"),
        ("[defaults.quotas]\nsends_per_second = -1", "defaults.quotas.sends_per_second"),
        ("[defaults.quotas]\nsends_per_second = nan", "defaults.quotas.sends_per_second"),
        ("[defaults.quotas]\nsends_per_second = 'many'", "defaults.quotas.sends_per_second"),
        ("[defaults.quotas]\nsend_burst = 0", "defaults.quotas.send_burst"),
        ("[apps.' b']", "apps. b"),
        ("[apps.a.quotas]\ngateways = 1.5", "apps.a.quotas.gateways"),
        (
            "[apps.a]\nrecall_window_seconds = 0",
            "apps.a.recall_window_seconds: .* greater than or equal to 1",
        ),
        ("[apps.a]\nsuspended = 2", "apps.a.suspended"),
        ("[apps.a]\nretention_days = 0.9", "apps.a.retention_days: .* greater than or equal to 1"),
        ("[apps.a]\nretention_days = 36501", "apps.a.retention_days: .* less than or equal to 36500"),
        ("[defaults]\nabandoned_group_days = inf", "defaults.abandoned_group_days"),
        ("[apps.a]\nretention_days = 'forever'", "apps.a.retention_days"),
        (
            "defaults.recall_window_seconds = 172800\napps.a.retention_days = 1.5",
            "apps.a: retention_days .* at least recall_window_seconds, which is 2 days",
        ),
        ("[apps.a]\nrevoked = [{}]", "apps.a.revoked.0: .* one of jti, subject and issued_before"),
        ("[apps.a]\nrevoked = [{ sub = 'x' }]", "apps.a.revoked.0.sub"),
        ("[apps.a]\nrevoked = [{ issued_before = 2026-11-01T00:00:00 }]", "issued_before: .* timezone"),
    ],
)
def test_what_can_not_be_used_is_named_and_changes_nothing(text: str, words: str) -> None:
    policies = policies_of(EXAMPLE)
    with pytest.raises(PoliciesInvalid, match=words):
        policies.read(text)
    assert policies.of("shut").quota.sends_per_second == 0
    assert policies.version == 1


def test_the_first_three_faults_are_told() -> None:
    text = "\n".join(f"[apps.app{number}]\nunknown = 1" for number in range(5))
    with pytest.raises(PoliciesInvalid) as invalid:
        Policies().read(text)
    told = str(invalid.value)
    assert [f"app{number}" in told for number in range(5)] == [True] * 3 + [False] * 2


def test_each_change_is_a_new_version() -> None:
    policies = policies_of(EXAMPLE)
    policies.read("")
    assert policies.version == 2
    assert policies.of("shut") == Policy()


def test_a_usable_text_is_kept_as_it_is() -> None:
    assert usable(EXAMPLE) == EXAMPLE
    with pytest.raises(PoliciesInvalid, match="not TOML"):
        usable("{")


def test_values_are_not_told() -> None:
    """A file of policies may name people."""

    def fault(text: str) -> Any:
        with pytest.raises(PoliciesInvalid) as invalid:
            Policies().read(text)
        return str(invalid.value)

    assert "somebody" not in fault("[defaults]\nrevoked = [{ subject = ['somebody'] }]")
