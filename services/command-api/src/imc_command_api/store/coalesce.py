"""Combines the changes that a batch makes to one row; no I/O."""

from collections.abc import Iterable
from dataclasses import dataclass
from operator import itemgetter
from typing import TypeVar

from imc_contracts.views import STATUS_RETIRED

from imc_command_api.store.changes import ErasureRow, MessageRow, NoticeRow, Row

AnyRow = TypeVar("AnyRow", MessageRow, NoticeRow)

Key = tuple[str, int]
"""The key of a message, a notice or an erasure: its app and its id."""


@dataclass(slots=True)
class GroupGain:
    """What new messages add to a group: their number, and the newest as ``(create_time, message_id)``."""

    total: int
    newest: tuple[int, int]


def messages_of(rows: Iterable[Row]) -> dict[Key, MessageRow]:
    """One row for each message, ordered by key. Transactions that lock in the same order do not deadlock."""
    return _coalesced(row for row in rows if isinstance(row, MessageRow))


def notices_of(rows: Iterable[Row]) -> dict[Key, NoticeRow]:
    """One row for each notice, ordered by key."""
    return _coalesced(row for row in rows if isinstance(row, NoticeRow))


def erasures_of(rows: Iterable[Row]) -> dict[Key, ErasureRow]:
    """One row for each erasure, ordered by key."""
    found = {(row.app_id, row.erasure_id): row for row in rows if isinstance(row, ErasureRow)}
    return dict(sorted(found.items()))


def gains_of(new_messages: Iterable[MessageRow]) -> dict[tuple[str, str], GroupGain]:
    """What new rows add to each ``(app_id, group_id)``, in the order of these."""
    gains: dict[tuple[str, str], GroupGain] = {}
    for row in new_messages:
        newest = (row.create_time, row.message_id)
        gain = gains.get((row.app_id, row.group_id))
        if gain is None:
            gains[row.app_id, row.group_id] = GroupGain(1, newest)
        else:
            gain.total += 1
            gain.newest = max(gain.newest, newest)
    return dict(sorted(gains.items()))


def _coalesced(rows: Iterable[AnyRow]) -> dict[Key, AnyRow]:
    coalesced: dict[Key, AnyRow] = {}
    for row in rows:
        key = row.app_id, row[0]
        known = coalesced.get(key)
        coalesced[key] = row if known is None else _combined(known, row)
    # Two sorts by plain values take half as long as one by pairs.
    by_id = sorted(coalesced, key=itemgetter(1))
    return {key: coalesced[key] for key in sorted(by_id, key=itemgetter(0))}


def _combined(first: AnyRow, second: AnyRow) -> AnyRow:
    """The row that two entries make, in either order: once retired it stays retired."""
    row = second if second.status == STATUS_RETIRED and first.status != STATUS_RETIRED else first
    return row._replace(
        log_id=first.log_id or second.log_id, last_log_id=max(first.last_log_id, second.last_log_id)
    )
