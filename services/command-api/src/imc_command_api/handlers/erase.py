"""Erase what a user has written, a group, or all of an app."""

from imc_contracts import events
from imc_contracts.errors import unavailable
from imc_contracts.operator_views import ErasureAccepted

from imc_command_api.domain.ids import time_of
from imc_command_api.handlers.ports import Appended, Ids, IdsUnavailable, Log, Write


class EraseHandler:
    """An erasure is acknowledged once it is in the log.

    What was acknowledged before it is erased; what comes after it stays. The projector carries it out when it
    comes to it. To ask twice does no harm: the second one finds nothing.
    """

    def __init__(self, log: Log, ids: Ids) -> None:
        self._log = log
        self._ids = ids

    async def __call__(
        self, app_id: str, *, user_id: str | None = None, group_id: str | None = None
    ) -> ErasureAccepted:
        """Erase what ``user_id`` has written, or ``group_id``, or all of the app; raises `Refused`."""
        try:
            erasure_id = self._ids.next()
        except IdsUnavailable:
            raise unavailable("no erasure ids can be made") from None
        erase_time = time_of(erasure_id)
        event = events.erasure(
            {
                "erasureId": str(erasure_id),
                "appId": app_id,
                "userId": user_id,
                "groupId": group_id,
                "eraseTime": erase_time,
            }
        )
        outcome = await self._log.append_one(app_id, Write(event, erasure_id))
        assert isinstance(outcome, Appended)
        return {"erasureId": str(erasure_id), "eraseTime": erase_time, "cursor": outcome.cursor_text}
