"""What is asked of a request's head, before anything is done for it."""

from collections.abc import Iterable, Sequence

from imc_contracts.codes import ErrorCode
from imc_contracts.errors import Refused
from prometheus_client import CollectorRegistry, Counter

from imc_service import replies
from imc_service.guard.addresses import Headers, Presence, Proxies
from imc_service.guard.settings import GuardSettings, split

OPERATIONS = (b"/livez", b"/readyz", b"/metrics")
"""Answered whatever the load: whoever asks these decides whether the process lives."""

RETRY_SECONDS = 1


class Guard:
    """The limits of one process, and what it counts for them."""

    def __init__(self, settings: GuardSettings, registry: CollectorRegistry) -> None:
        self.max_header_bytes = settings.max_header_bytes
        self.header_seconds = settings.header_seconds
        self.body_seconds = settings.body_seconds
        self.max_requests = settings.max_requests_in_flight
        self.proxies = Proxies(split(settings.trusted_proxies))
        self.presence = Presence(settings.max_connections_per_address)
        self._refusals = Counter(
            "imc_guard_refusals",
            "Requests and handshakes refused before the application was asked, by status.",
            ["status"],
            registry=registry,
        )
        self._origins = frozenset(origin.lower().encode() for origin in split(settings.allowed_origins))

    def refuses(self, url: bytes, headers: Sequence[tuple[bytes, bytes]], in_flight: int) -> Refused | None:
        """Why this request is not to be carried out, or None."""
        if in_flight >= self.max_requests and not url.startswith(OPERATIONS):
            words = "the process has too much to do; nothing was accepted, try again"
            return Refused(ErrorCode.UNAVAILABLE, words, retry_after=RETRY_SECONDS)
        if self._is_foreign(headers):
            return Refused(ErrorCode.FORBIDDEN, "pages of this origin may not call this service")
        return None

    def count(self, refused: Refused) -> None:
        """Note that somebody was told this."""
        self._refusals.labels(replies.STATUS[refused.code]).inc()

    def _is_foreign(self, headers: Headers) -> bool:
        """Whether a browser sends this for a page of an origin that is neither ours nor allowed.

        Who is no browser sends no Origin, or one of its choice: this protects users of browsers alone.
        """
        origins = [value for name, value in headers if name == b"origin"]
        if not origins or b"*" in self._origins:
            return False
        hosts = [value.lower() for name, value in headers if name == b"host"]
        return not all(self._is_known(origin.lower(), hosts) for origin in origins)

    def _is_known(self, origin: bytes, hosts: Iterable[bytes]) -> bool:
        # Whether the page came by TLS is not known behind a proxy: the host tells enough.
        return origin in self._origins or origin.partition(b"://")[2] in hosts


def too_many_connections() -> Refused:
    """The refusal of an address that has all the connections it may have."""
    words = "too many connections from this address; nothing was accepted"
    return Refused(ErrorCode.UNAVAILABLE, words, retry_after=RETRY_SECONDS)


def headers_too_large(limit: int) -> Refused:
    """The refusal of a request whose head is over the limit."""
    return Refused(ErrorCode.HEADERS_TOO_LARGE, f"the headers are over the limit of {limit} bytes")


def too_slow(what: str, seconds: float) -> Refused:
    """The refusal of a request that does not arrive."""
    return Refused(ErrorCode.REQUEST_TOO_SLOW, f"the {what} did not arrive within {seconds:g} seconds")


def not_http() -> Refused:
    """The refusal of what is no request."""
    return Refused(ErrorCode.INVALID_FIELD, "not a valid HTTP request")
