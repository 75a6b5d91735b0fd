"""Logs the gateways that the node closes because they make no progress.

One line names one gateway. If thousands are cut off at once, the first of them are named, and the others are
counted.
"""

import asyncio

from imc_service.logs import get_logger

from imc_push_node.gateway.gateway import Amount, Gateway

logger = get_logger("gateways")

PERIOD_SECONDS = 10.0
MOST_A_PERIOD = 20


class StuckGateways:
    """Logs at most `MOST_A_PERIOD` of them in `PERIOD_SECONDS`, and then the number of the others."""

    def __init__(self) -> None:
        self._count = 0
        """Those that were closed in this period."""
        self._timer: asyncio.TimerHandle | None = None

    def closed(self, gateway: Gateway, told: Amount) -> None:
        """Log that a gateway was closed. ``told`` is what its app has told."""
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(PERIOD_SECONDS, self._end_period)
        self._count += 1
        if self._count > MOST_A_PERIOD:
            return
        lag = gateway.lag(told)
        logger.warning(
            "a gateway is closed",
            appId=gateway.app_id,
            gatewayId=gateway.gateway_id,
            reason=gateway.socket.ending[1],
            lagEntries=lag and lag.entries,
            lagBytes=lag and lag.size,
        )

    def close(self) -> None:
        """Log what is left, and end."""
        if self._timer is not None:
            self._timer.cancel()
            self._end_period()

    def _end_period(self) -> None:
        untold = max(0, self._count - MOST_A_PERIOD)
        self._timer, self._count = None, 0
        if untold:
            logger.warning("more gateways are closed, for no progress", count=untold)
