"""How long messages may be recalled, and the log remembers them for that."""

from imc_contracts.policies import Policies

RECENT_MARGIN_MS = 120_000
"""Recent entries are kept for this beyond the recall window, so that the last recall finds its message."""


class RecallWindows:
    """The recall windows of apps: those that policies declare, and for the others that of the settings."""

    def __init__(self, policies: Policies, usual_ms: int) -> None:
        self._policies = policies
        self._usual_ms = usual_ms

    def of(self, app_id: str) -> int:
        """How long after its sending a message of this app may be recalled, in milliseconds."""
        declared = self._policies.of(app_id).recall_window_ms
        return self._usual_ms if declared is None else declared

    def keep_recent_ms(self) -> int:
        """How long to keep recent entries, in milliseconds. The apps of a shard share their keys."""
        return max(self._usual_ms, self._policies.longest_recall_window_ms) + RECENT_MARGIN_MS
