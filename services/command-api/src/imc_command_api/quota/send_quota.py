"""The quotas of sends, and of bytes that wait for the database.

The bucket of an app is in Redis, and the append script takes from it. So a quota holds for all processes
together, and costs no round trip. This module remembers how long the bucket stays empty. Until then it
refuses the app's sends before ids and encoding are spent on them.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

from imc_contracts.codes import ErrorCode
from imc_contracts.errors import Refused, suspended
from imc_contracts.policies import Policies, Quota
from prometheus_client import Counter

from imc_command_api.quota.metrics import SendQuotaMetrics

MICROSECONDS = 1_000_000
LEAST_SECONDS = 0.05
"""An empty bucket is not checked more often, however fast it fills: each check costs Redis a script."""

MOST_SECONDS = 1.0
"""It is checked after this time at the latest: the quota may have been raised."""

BACKLOG_SECONDS = 0.2
BACKLOG_RETRY_SECONDS = 5
NOTHING_ALLOWED_RETRY_SECONDS = 60
_SWEEP_AT = 1024


@dataclass(frozen=True, slots=True)
class Bucket:
    """An app's quota as the append script takes it.

    ``send_us``: microseconds in which the bucket gains one send, 0 without limit; ``depth_us``: in which it
    fills. ``backlog_bytes``: -1 without limit.
    """

    send_us: float
    depth_us: float
    backlog_bytes: int


@dataclass(frozen=True, slots=True)
class _Closed:
    until: float
    what: str
    retry_after: int
    refusals: Counter

    def refused(self) -> Refused:
        """A new exception each time: one that is raised again keeps its old tracebacks alive."""
        return _refused(self.what, self.retry_after)


class SendQuota:
    """Tells which apps may send now. Implements `ports.Admission`; one for each process."""

    def __init__(
        self, policies: Policies, metrics: SendQuotaMetrics, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._policies = policies
        self._metrics = metrics
        self._clock = clock
        self._closed: dict[str, _Closed] = {}

    def require(self, app_id: str) -> None:
        """Raise `Refused`: `FORBIDDEN` if the app is suspended, `QUOTA_USED_UP` if nothing is left."""
        policy = self._policies.of(app_id)
        if policy.is_suspended:
            raise suspended()
        if (closed := self._closed.get(app_id)) is not None:
            if self._clock() < closed.until:
                closed.refusals.inc()
                raise closed.refused()
            del self._closed[app_id]
        if policy.quota.sends_per_second == 0:
            self._metrics.sends.inc()
            raise _refused("the quota of this app allows no sends", NOTHING_ALLOWED_RETRY_SECONDS)

    def bucket(self, app_id: str) -> Bucket:
        """The app's quota for the append script."""
        quota = self._policies.of(app_id).quota
        backlog_bytes = -1 if quota.backlog_bytes is None else quota.backlog_bytes
        return Bucket(*_microseconds(quota), backlog_bytes)

    def sends_used_up(self, app_id: str, wait_us: int) -> Refused:
        """The refusal of sends that found the bucket empty, ``wait_us`` before it holds one."""
        send_us, depth_us = _microseconds(self._policies.of(app_id).quota)
        # Not until the bucket overflows: an app may use its whole quota.
        pause = min(LEAST_SECONDS, (depth_us - send_us) / 2 / MICROSECONDS)
        wait = wait_us / MICROSECONDS
        what, retry_after = "the quota of sends is used up", max(1, math.ceil(wait))
        return self._close(app_id, max(pause, wait), what, retry_after, self._metrics.sends)

    def backlog_used_up(self, app_id: str) -> Refused:
        """The refusal of sends if too many bytes wait for the database."""
        what = "the quota of what may wait to be stored is used up"
        return self._close(app_id, BACKLOG_SECONDS, what, BACKLOG_RETRY_SECONDS, self._metrics.backlog)

    def _close(self, app_id: str, seconds: float, what: str, retry_after: int, refusals: Counter) -> Refused:
        now = self._clock()
        if len(self._closed) >= _SWEEP_AT:
            self._closed = {app: closed for app, closed in self._closed.items() if now < closed.until}
        closed = _Closed(now + min(seconds, MOST_SECONDS), what, retry_after, refusals)
        self._closed[app_id] = closed
        refusals.inc()
        return closed.refused()


def _refused(what: str, retry_after: int) -> Refused:
    return Refused(
        ErrorCode.QUOTA_USED_UP, f"{what}; nothing was accepted, send less", retry_after=retry_after
    )


def _microseconds(quota: Quota) -> tuple[float, float]:
    """How long a bucket takes to gain one send, and to fill; 0 and 0 without limit."""
    if not quota.sends_per_second:
        return 0, 0
    send_us = MICROSECONDS / quota.sends_per_second
    return send_us, send_us * quota.send_burst
