"""The settings of access."""

import ipaddress
from typing import Literal, Self

from pydantic import Field, model_validator

from imc_service.apps_file import AppsFileSettings
from imc_service.auth.secret import Secrets, split
from imc_service.settings import ServerSettings, Settings
from imc_service.tracing.settings import TracingSettings
from imc_service.urls import HttpUrl

AUDIENCE = Field("imc", min_length=1, description="what the `aud` of tokens must hold")


class TokenSettings(Settings):
    """What `imc token` reads."""

    jwt_secret: Secrets = Field(description="the secret that tokens are signed with, at least 32 bytes")
    jwt_audience: str = AUDIENCE


class AccessSettings(TracingSettings, AppsFileSettings, ServerSettings):
    """What every process that clients or gateways call reads."""

    auth: Literal["jwt", "off"] = Field(
        description="jwt: every call needs a token; off: nobody is asked for one"
    )
    auth_off_is_fine: bool = Field(
        False, description="lets IMC_AUTH=off listen on other addresses than the loopback ones"
    )
    jwt_secret: Secrets | None = Field(
        None, description="the secret that tokens are signed with (HS256), at least 32 bytes"
    )
    jwks_url: HttpUrl | None = Field(
        None, description="where the issuer's public keys are (RS256, ES256, EdDSA), instead of a secret"
    )
    jwt_audience: str = AUDIENCE

    @property
    def asks_for_tokens(self) -> bool:
        """Whether a call needs a token."""
        return self.auth == "jwt"

    @model_validator(mode="after")
    def _says_who_may_call(self) -> Self:
        if self.auth == "jwt" and (self.jwt_secret is None) == (self.jwks_url is None):
            raise ValueError("IMC_AUTH=jwt needs one of IMC_JWT_SECRET and IMC_JWKS_URL")
        if self.auth == "off" and not self.auth_off_is_fine and not _is_loopback(self.host):
            raise ValueError(
                "IMC_AUTH=off lets everybody who reaches IMC_HOST read and write everything: "
                "set IMC_AUTH=jwt, or IMC_AUTH_OFF_IS_FINE=1 if only who may do that reaches it"
            )
        return self


class ServiceAccessSettings(AccessSettings):
    """What a process that calls other services of IMC, or is called by them, reads too."""

    service_secret: Secrets | None = Field(
        None,
        description="the secret that services sign their calls to each other with, at least 32 bytes; needed "
        "with IMC_AUTH=jwt",
    )

    @model_validator(mode="after")
    def _services_know_each_other(self) -> Self:
        if self.auth == "off":
            return self
        if self.service_secret is None:
            raise ValueError("IMC_AUTH=jwt needs IMC_SERVICE_SECRET, for the calls of services to each other")
        if self.jwt_secret is not None and set(split(self.jwt_secret)) & set(split(self.service_secret)):
            raise ValueError("IMC_SERVICE_SECRET must differ from IMC_JWT_SECRET")
        return self


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"
