from typing import Literal

import pytest
from imc_service.settings import Settings, SettingsError, load, load_or_exit
from imc_service.urls import DatabaseUrl, HttpUrl, RedisUrl
from pydantic import Field, SecretStr, ValidationError

PASSWORD = "correct-horse"


class Example(Settings):
    port: int = Field(8001, ge=1, le=65_535, description="Port to listen on.")
    log_level: Literal["debug", "info"] = Field("info", description="Least level to log.")
    redis_url: RedisUrl = Field(description="Where Redis is.")
    database_url: DatabaseUrl = Field(description="Where the database is.")
    query_api_url: HttpUrl | None = Field(None, description="Where query-api is.")
    key: SecretStr | None = Field(None, min_length=32, description="Key of the tokens.")


GOOD = {"IMC_REDIS_URL": "redis://localhost", "IMC_DATABASE_URL": f"mysql://imc:{PASSWORD}@db/imc"}


def test_variables_are_read_and_defaults_kept() -> None:
    settings = load(Example, {**GOOD, "IMC_PORT": "9000", "PATH": "/bin", "IMC_OTHER": "x"})
    assert (settings.port, settings.log_level, settings.query_api_url) == (9000, "info", None)
    assert settings.database_url.get_secret_value() == GOOD["IMC_DATABASE_URL"]


def test_an_empty_variable_counts_as_absent() -> None:
    assert load(Example, {**GOOD, "IMC_PORT": "", "IMC_KEY": ""}).port == 8001
    with pytest.raises(SettingsError, match="IMC_REDIS_URL: is missing"):
        load(Example, {**GOOD, "IMC_REDIS_URL": ""})


def test_all_faults_are_told_at_once_and_no_value() -> None:
    bad = {
        "IMC_PORT": f"port-{PASSWORD}",
        "IMC_LOG_LEVEL": PASSWORD,
        "IMC_DATABASE_URL": f"postgresql://imc:{PASSWORD}@db/imc",
        "IMC_QUERY_API_URL": f"ftp://{PASSWORD}",
        "IMC_KEY": PASSWORD,
    }
    with pytest.raises(SettingsError) as caught:
        load(Example, bad)
    message = str(caught.value)
    head, *faults = message.splitlines()
    assert head == "the settings can't be used:"
    assert {fault.split(":")[0].strip() for fault in faults} == {*bad, "IMC_REDIS_URL"}
    assert len(faults) == 6
    assert PASSWORD not in message
    assert "  IMC_REDIS_URL: is missing (Where Redis is.)" in faults
    assert "must begin with mysql://, mariadb:// or sqlite:/// (Where the database is.)" in message
    assert caught.value.__cause__ is None


def test_settings_can_not_be_changed_and_show_no_secret() -> None:
    settings = load(Example, GOOD)
    with pytest.raises(ValidationError, match="frozen"):
        settings.port = 1
    assert PASSWORD not in repr(settings) + str(settings.model_dump())


def test_every_variable_says_what_it_means() -> None:
    assert Example.variables()["IMC_PORT"] == "Port to listen on."
    assert all(meaning for meaning in Example.variables().values())


def test_a_process_with_bad_settings_ends_with_status_2(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        load_or_exit(Example, {})
    assert caught.value.code == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 3
    assert told.endswith("IMC_DATABASE_URL: is missing (Where the database is.)\n")
    assert load_or_exit(Example, GOOD).port == 8001
