import pytest
from imc_query_api.settings import QueryApiSettings
from imc_service.settings import SettingsError, load
from imc_testkit.tokens import OFF


def test_one_of_the_two_databases_is_required() -> None:
    with pytest.raises(SettingsError, match="IMC_READ_DATABASE_URL or IMC_DATABASE_URL must be set"):
        load(QueryApiSettings, OFF)


def test_the_read_database_takes_precedence() -> None:
    main, replica = "mysql://main/imc", "mariadb://replica/imc"
    assert load(QueryApiSettings, {**OFF, "IMC_DATABASE_URL": main}).database_to_read == main
    both = {**OFF, "IMC_DATABASE_URL": main, "IMC_READ_DATABASE_URL": replica}
    assert load(QueryApiSettings, both).database_to_read == replica
    assert load(QueryApiSettings, {**OFF, "IMC_READ_DATABASE_URL": replica}).database_to_read == replica


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("IMC_DATABASE_URL", "postgres://user:secret@host/imc"),
        ("IMC_READ_DATABASE_URL", "user:secret@host"),
        ("IMC_PORT", "70000"),
        ("IMC_DATABASE_POOL", "0"),
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
