"""Whether a server can serve: what it is asked, and what follows from its answer. No I/O.

Every server of MySQL's protocol answers for every account, and so does a node of Galera that is cut off.
"""

from collections.abc import Iterable
from dataclasses import dataclass

QUESTIONS = (
    "SHOW GLOBAL VARIABLES WHERE Variable_name IN ('read_only', 'wsrep_on', 'wsrep_provider')",
    "SHOW GLOBAL STATUS WHERE Variable_name IN ('wsrep_ready', 'wsrep_local_state_comment')",
)
"""The rows of all these together are the answer."""


@dataclass(frozen=True)
class Standing:
    """What can be expected of a server now."""

    objection: str | None
    """Why it can't serve, or None."""

    is_in_step: bool
    """Whether it has all that was committed. A Galera node that gives its data to another one may lag."""


def standing(answer: Iterable[tuple[str, str]], *, may_be_read_only: bool) -> Standing:
    """What follows from the names and values in ``answer``."""
    values = dict(answer)
    is_node = values.get("wsrep_on") == "ON" and values.get("wsrep_provider", "none") != "none"
    state = values.get("wsrep_local_state_comment", "unknown")
    return Standing(
        objection=_objection(values, is_node=is_node, state=state, may_be_read_only=may_be_read_only),
        is_in_step=not is_node or state == "Synced",
    )


def _objection(values: dict[str, str], *, is_node: bool, state: str, may_be_read_only: bool) -> str | None:
    if is_node and values.get("wsrep_ready") != "ON":
        return (
            f"this Galera node takes no statements (wsrep_ready is OFF, wsrep_local_state_comment is {state})"
        )
    # MariaDB 12 has more values than ON and OFF.
    if not may_be_read_only and values.get("read_only", "OFF") != "OFF":
        return "the server is read-only"
    return None
