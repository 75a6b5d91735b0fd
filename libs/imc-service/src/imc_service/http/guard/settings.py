"""The limits of a process that listens."""

import ipaddress
from typing import Annotated

from pydantic import AfterValidator, Field

from imc_service.http.guard.origins import read_origin
from imc_service.settings import Settings


def _networks(text: str) -> str:
    for part in split(text):
        ipaddress.ip_network(part, strict=False)  # raises ValueError, whose words name the part
    return text


def _origins(text: str) -> str:
    for part in split(text):
        origin = read_origin(part)
        is_origin = origin is not None and origin.scheme in ("http", "https") and part.count("/") == 2
        if not is_origin and part not in ("*", "null"):
            raise ValueError(
                f"{part} is not an origin: write https://HOST or https://HOST:PORT, null for pages without "
                "one, or * for all"
            )
    return text


def split(text: str) -> list[str]:
    """The parts of a list that is separated by commas."""
    return [part.strip() for part in text.split(",") if part.strip()]


class GuardSettings(Settings):
    """The limits that connections must keep before anything is done for them."""

    allowed_origins: Annotated[str, AfterValidator(_origins)] = Field(
        "",
        description="origins whose pages may call and connect besides the service's own, with commas; `null` "
        "for pages without one, `*` for all; with IMC_AUTH=jwt none is looked at unless some are listed",
    )
    trusted_proxies: Annotated[str, AfterValidator(_networks)] = Field(
        "",
        description="addresses and networks of proxies whose X-Forwarded-For is believed; with commas",
    )
    max_connections_per_address: int | None = Field(
        None,
        ge=1,
        description="most connections from one address, for proxies: requests and WebSockets of it",
    )
    max_requests_in_flight: int = Field(
        10_000, ge=1, description="most requests that are worked on at once; more get 503"
    )
    max_header_bytes: int = Field(
        16_384, ge=1024, le=1_048_576, description="largest request line and headers together"
    )
    header_seconds: float = Field(
        10, gt=0, description="how long a client may take to connect and send its headers"
    )
    body_seconds: float = Field(
        60, gt=0, description="how long a client may take to send its body, or to take some of a reply"
    )

    @property
    def asks_for_tokens(self) -> bool:
        """Whether a call needs a token; see `imc_service.auth.settings.AccessSettings`."""
        return False
