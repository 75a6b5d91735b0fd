"""Who may call is said, or the process does not start."""

import pytest
from imc_service.auth.settings import AccessSettings, ServiceAccessSettings
from imc_service.settings import SettingsError, load
from imc_testkit.tokens import JWT, OFF, SECRET, SERVICE_SECRET

KEY_SET = {"IMC_AUTH": "jwt", "IMC_JWKS_URL": "https://issuer/keys", "IMC_SERVICE_SECRET": SERVICE_SECRET}


@pytest.mark.parametrize(
    ("given", "fault"),
    [
        ({}, "IMC_AUTH: is missing"),
        ({"IMC_AUTH": ""}, "IMC_AUTH: is missing"),
        ({"IMC_AUTH": "on"}, "IMC_AUTH: "),
        ({"IMC_AUTH": "OFF"}, "IMC_AUTH: "),
        ({"IMC_AUTH": "jwt", "IMC_SERVICE_SECRET": SERVICE_SECRET}, "one of IMC_JWT_SECRET and IMC_JWKS_URL"),
        ({**JWT, "IMC_JWKS_URL": "https://issuer/keys"}, "one of IMC_JWT_SECRET and IMC_JWKS_URL"),
        ({**JWT, "IMC_JWT_SECRET": "x" * 31}, "IMC_JWT_SECRET: must be at least 32 bytes"),
        ({**JWT, "IMC_JWT_SECRET": f"{SECRET} short"}, "IMC_JWT_SECRET: must be at least 32 bytes"),
        ({**JWT, "IMC_JWT_SECRET": " "}, "IMC_JWT_SECRET: must be at least 32 bytes"),
        ({**JWT, "IMC_SERVICE_SECRET": "y" * 31}, "IMC_SERVICE_SECRET: must be at least 32 bytes"),
        ({**JWT, "IMC_SERVICE_SECRET": ""}, "needs IMC_SERVICE_SECRET"),
        ({**JWT, "IMC_SERVICE_SECRET": f"{'z' * 32} {SECRET}"}, "must differ from IMC_JWT_SECRET"),
        ({**KEY_SET, "IMC_JWKS_URL": "file:///keys"}, "IMC_JWKS_URL: must be http"),
        *(
            ({**OFF, "IMC_HOST": host}, "IMC_AUTH=off lets everybody")
            for host in ("0.0.0.0", "::", "10.0.0.1", "example.com", "127.0.0.1.example.com")
        ),
        ({**OFF, "IMC_HOST": "0.0.0.0", "IMC_AUTH_OFF_IS_FINE": "0"}, "IMC_AUTH=off lets everybody"),
    ],
)
def test_settings_that_leave_it_open_who_may_call_are_refused(given: dict[str, str], fault: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load(ServiceAccessSettings, given)
    assert fault in str(caught.value)
    for secret in (SECRET, SERVICE_SECRET, "x" * 31, "y" * 31):
        assert secret not in str(caught.value)


@pytest.mark.parametrize(
    "given",
    [
        *({**OFF, "IMC_HOST": host} for host in ("127.0.0.1", "127.8.0.1", "::1", "localhost")),
        {**OFF, "IMC_HOST": "0.0.0.0", "IMC_AUTH_OFF_IS_FINE": "1"},
        {**JWT, "IMC_HOST": "0.0.0.0"},
        {**JWT, "IMC_JWT_SECRET": "x" * 32},
        {**JWT, "IMC_JWT_SECRET": "é" * 16},
        {**JWT, "IMC_JWT_SECRET": f"{'new' * 11} {SECRET}"},
        KEY_SET,
    ],
)
def test_settings_that_say_it_are_taken(given: dict[str, str]) -> None:
    settings = load(ServiceAccessSettings, given)
    shown = repr(settings) + settings.model_dump_json()
    assert SECRET not in shown
    assert SERVICE_SECRET not in shown


def test_who_calls_no_other_service_needs_no_secret_for_it() -> None:
    load(AccessSettings, {"IMC_AUTH": "jwt", "IMC_JWT_SECRET": SECRET})
