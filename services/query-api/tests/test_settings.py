import pytest
from imc_query_api.freshness.replica import LagBounds
from imc_query_api.settings import QueryApiSettings
from imc_service.settings import SettingsError, load
from imc_testkit.tokens import OFF


def test_the_database_is_required() -> None:
    with pytest.raises(SettingsError, match="IMC_DATABASE_URL: is missing"):
        load(QueryApiSettings, {**OFF, "IMC_READ_DATABASE_URL": "mysql://replica/imc"})


def test_the_bound_without_the_primary_is_the_usual_one_or_more() -> None:
    given = {**OFF, "IMC_DATABASE_URL": "mysql://main/imc", "IMC_READ_LAG_SECONDS": "3"}
    assert load(QueryApiSettings, given).lag_bounds == LagBounds(3, 3)
    without = "IMC_READ_LAG_WITHOUT_PRIMARY_SECONDS"
    assert load(QueryApiSettings, {**given, without: "60"}).lag_bounds == LagBounds(3, 60)
    with pytest.raises(SettingsError, match=f"{without} must not be less than IMC_READ_LAG_SECONDS"):
        load(QueryApiSettings, {**given, without: "2"})


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("IMC_DATABASE_URL", "postgres://user:secret@host/imc"),
        ("IMC_READ_DATABASE_URL", "user:secret@host"),
        ("IMC_PORT", "70000"),
        ("IMC_DATABASE_POOL", "0"),
        ("IMC_READ_LAG_SECONDS", "0.5"),
        ("IMC_LOG_LEVEL", "secret"),
    ],
)
def test_an_invalid_value_is_named_and_not_shown(variable: str, value: str) -> None:
    with pytest.raises(SettingsError, match=variable) as caught:
        load(QueryApiSettings, {**OFF, "IMC_DATABASE_URL": "sqlite:///imc.db", variable: value})
    assert "secret" not in str(caught.value)


def test_settings_have_defaults_and_descriptions() -> None:
    settings = load(QueryApiSettings, {**OFF, "IMC_DATABASE_URL": "sqlite:///imc.db"})
    assert (settings.host, settings.port, settings.log_level) == ("127.0.0.1", 8002, "info")
    assert all(QueryApiSettings.variables().values())
