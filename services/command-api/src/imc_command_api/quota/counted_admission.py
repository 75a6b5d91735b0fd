"""Counts the sends that are refused before the log is asked."""

from imc_contracts.errors import Refused
from imc_service.activity import Activity

from imc_command_api.handlers.ports import Admission


class CountedAdmission:
    """Another `Admission`, whose refusals are counted."""

    def __init__(self, admission: Admission, activity: Activity) -> None:
        self._admission = admission
        self._activity = activity

    def require(self, app_id: str) -> None:
        """Raise `Refused` if the app may not send now."""
        try:
            self._admission.require(app_id)
        except Refused:
            self._activity.refused(app_id)
            raise
