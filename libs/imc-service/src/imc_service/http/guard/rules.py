"""The checks of a request's head, before it is processed."""

from typing import Any, Protocol

from imc_contracts.codes import ErrorCode
from imc_contracts.errors import Refused
from prometheus_client import CollectorRegistry, Counter

from imc_service.http import replies
from imc_service.http.guard.addresses import Headers, Presence, Proxies, Visitor
from imc_service.http.guard.origins import Origin, read_origin
from imc_service.http.guard.settings import GuardSettings, split

OPERATIONS = (b"/livez", b"/readyz", b"/metrics")
"""Answered under any load: the answers decide whether the process is restarted."""

RETRY_SECONDS = 1


class CheckedRequest(Protocol):
    """A request whose head is complete; see `imc_service.http1.exchange.Exchange`."""

    @property
    def scope(self) -> Any:
        """Its ASGI scope."""
        ...

    @property
    def host(self) -> bytes | None:
        """The host in its target, if there is one."""
        ...

    @property
    def has_origin(self) -> bool:
        """Whether it has an Origin header."""
        ...


class Guard:
    """The limits of one process, and its counters for them."""

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
        listed = split(settings.allowed_origins)
        self._listed = frozenset(origin.encode() for origin in listed)
        self._allowed = [read_origin(origin) for origin in listed]
        self._checks_origins = bool(listed) or not settings.asks_for_tokens

    def refuses(self, request: CheckedRequest, visitor: Visitor, in_flight: int) -> Refused | None:
        """Why a request is refused for its head or its sender, or None.

        ``in_flight`` is how many are worked on.
        """
        scope = request.scope
        if not visitor.request(scope["headers"]):
            return too_many_connections()
        if in_flight >= self.max_requests and not scope["raw_path"].startswith(OPERATIONS):
            return too_many_requests()
        if not request.has_origin:
            return None
        return self.refuses_origin(scope["headers"], request.host, is_proxied=visitor.is_proxy)

    def refuses_origin(self, headers: Headers, host: bytes | None, *, is_proxied: bool) -> Refused | None:
        """Why a page of this origin may not call, or None.

        ``host`` is that of a request's target, if it has one. A trusted proxy may name the host that it was
        asked for. Clients other than browsers send no Origin, or any: this protects users of browsers alone,
        where no token is needed, and where an operator lists origins.
        """
        if not self._checks_origins:
            return None
        origins = [value for name, value in headers if name == b"origin"]
        if not origins or b"*" in self._listed:
            return None
        own = (b"host", b"x-forwarded-host") if is_proxied else (b"host",)
        hosts = [value for name, value in headers if name in own]
        known = [_read(value) for value in (hosts if host is None else [host])]
        if all(self._is_known(origin, known) for origin in origins):
            return None
        return Refused(ErrorCode.FORBIDDEN, "pages of this origin may not call this service")

    def count(self, refused: Refused) -> None:
        """Count a refusal."""
        self._refusals.labels(replies.STATUS[refused.code]).inc()

    def _is_known(self, text: bytes, own: list[Origin | None]) -> bool:
        if text.strip() in self._listed:
            return True
        origin = _read(text)
        # Behind a proxy it is unknown whether the page came by TLS: the service has no scheme here.
        return origin is not None and any(
            known is not None and origin.is_at(known) for known in (*own, *self._allowed)
        )


def _read(text: bytes) -> Origin | None:
    return read_origin(text.decode("latin-1"))


def several_hosts() -> Refused:
    """The refusal of a request with several hosts (RFC 9112, section 3.2)."""
    return Refused(ErrorCode.INVALID_FIELD, "the request has more than one Host header: send one")


def too_many_requests() -> Refused:
    """The refusal of a request beyond the limit of requests in flight."""
    words = "the process has too much to do; nothing was accepted, try again"
    return Refused(ErrorCode.UNAVAILABLE, words, retry_after=RETRY_SECONDS)


def too_many_connections() -> Refused:
    """The refusal of a connection beyond the limit of its address."""
    words = "too many connections from this address; nothing was accepted"
    return Refused(ErrorCode.UNAVAILABLE, words, retry_after=RETRY_SECONDS)


def headers_too_large(limit: int) -> Refused:
    """The refusal of a request whose head is over the limit."""
    return Refused(ErrorCode.HEADERS_TOO_LARGE, f"the headers are over the limit of {limit} bytes")


def too_slow(what: str, seconds: float) -> Refused:
    """The refusal of a request that was not received in time."""
    return Refused(ErrorCode.REQUEST_TOO_SLOW, f"the {what} did not arrive within {seconds:g} seconds")


def not_http() -> Refused:
    """The refusal of bytes that are no request."""
    return Refused(ErrorCode.INVALID_FIELD, "not a valid HTTP request")


def cut_off() -> Refused:
    """The refusal of a request whose client closed its side before the end of the head."""
    return Refused(ErrorCode.INVALID_FIELD, "the request ended before its headers did")


def wrong_version(version: str) -> Refused:
    """The refusal of a request of another version of HTTP."""
    return Refused(ErrorCode.INVALID_FIELD, f"this is not HTTP/{version}: send HTTP/1.1")


def no_proxy() -> Refused:
    """The refusal of ``CONNECT``."""
    return Refused(ErrorCode.METHOD_NOT_ALLOWED, "this is no proxy: it does not answer CONNECT")


def frames_too_early() -> Refused:
    """The refusal of a WebSocket whose client did not wait for the reply to the handshake."""
    words = "not a valid WebSocket handshake: send frames once it is answered"
    return Refused(ErrorCode.INVALID_FIELD, words)
