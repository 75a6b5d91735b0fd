"""Checks the history of a run against the guarantees, after all faults have ended and all backlogs are empty.

- An acknowledged send is exactly one row, byte for byte. Every gateway that stayed or resumed got it once,
  and all gateways got the same order.
- A refused send left nothing. A send with an unknown result happened at most once.
- A recall is final, and its content can't be read afterwards.
- No app saw data of another app.
- What a policy does not keep may be gone, and nothing else. The totals of groups are those of their rows.
- What a gateway missed was announced as a gap; otherwise it counts as lost.
- What was erased has no row. Everything else is there. Every gateway was told of the erasure, in its place.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, fields

from imc_testkit.erased import Gone, gone_from
from imc_testkit.history import NO_CONTENT, Answer, Group, History, Row, Send
from imc_testkit.pushes import Violation, check_pushes

_SHOWN = 20


@dataclass
class Report:
    """How often each guarantee was broken, and a description of each violation."""

    lost: int = 0
    repeated: int = 0
    reordered: int = 0
    un_recalled: int = 0
    content_after_recall: int = 0
    phantom: int = 0
    cross_app: int = 0
    duplicate_ids: int = 0
    miscounted: int = 0
    not_erased: int = 0
    violations: list[str] = field(default_factory=list[str])

    @property
    def counts(self) -> dict[str, int]:
        """The counts by name."""
        return {each.name: getattr(self, each.name) for each in fields(self) if each.name != "violations"}

    @property
    def is_clean(self) -> bool:
        """Whether no guarantee was broken."""
        return not self.violations

    def add(self, violation: Violation) -> None:
        """Count a violation."""
        setattr(self, violation.kind, getattr(self, violation.kind) + 1)
        self.violations.append(f"{violation.kind}: {violation.text}")

    def __str__(self) -> str:
        counts = ", ".join(f"{name} {count}" for name, count in self.counts.items())
        more = len(self.violations) - _SHOWN
        lines = [counts, *self.violations[:_SHOWN], *([f"and {more} more"] if more > 0 else [])]
        return "\n  ".join(lines)


def check(
    history: History,
    rows: Sequence[Row],
    dead_letters: Collection[str],
    groups: Collection[Group] | None = None,
) -> Report:
    """Check a run. ``dead_letters`` are the ids of messages whose events could not be projected.

    ``groups`` are all groups of the apps, if they are to be checked.
    """
    report = Report()
    gone = gone_from(history, rows)
    parts = (
        _check_sends(history, rows, dead_letters, gone),
        _check_rows(history, rows),
        _check_recalls(history, rows, gone),
        check_pushes(history, rows, gone),
        () if groups is None else _check_groups(rows, groups),
    )
    for violations in parts:
        for violation in violations:
            report.add(violation)
    return report


def _check_sends(
    history: History, rows: Sequence[Row], dead_letters: Collection[str], gone: Gone
) -> Iterator[Violation]:
    stored = {row.message_id: row for row in rows}
    owners: dict[str, Send] = {}
    for message_id in sorted(gone.certain & stored.keys()):
        yield Violation("not_erased", f"{message_id} was erased, and has a row")
    for send in history.sends:
        if len(send.acknowledged_ids) > 1:
            yield Violation("repeated", f"{_name(send)} was acknowledged as {sorted(send.acknowledged_ids)}")
        for message_id in send.acknowledged_ids:
            if owners.setdefault(message_id, send) is not send:
                yield Violation("duplicate_ids", f"two messages have the id {message_id}")
            row = stored.get(message_id)
            if row is None and (message_id in gone or message_id in history.due):
                continue
            if row is None:
                reason = "is in the dead letters" if message_id in dead_letters else "has no row"
                yield Violation("lost", f"acknowledged {message_id} {reason}")
            elif row.digest not in (send.digest, NO_CONTENT):
                yield Violation("lost", f"acknowledged {message_id} has different content in its row")
            elif row.app_id != send.app_id:
                yield Violation("cross_app", f"{message_id} of {send.app_id} is a row of {row.app_id}")


def _check_rows(history: History, rows: Sequence[Row]) -> Iterator[Violation]:
    """Check that each row with content belongs to one send that was not refused, and no send has two rows.

    A row without content is matched to its send by the acknowledged id, or by pushes before the recall.
    """
    sends = {send.digest: send for send in history.sends}
    known = {id_: send for send in history.sends for id_ in send.acknowledged_ids}
    pushed = {
        frame.message_id: sends[frame.digest]
        for connection in history.connections
        for frame in connection.frames
        if frame.digest in sends
    }
    by_send: dict[int, list[str]] = defaultdict(list)
    for row in rows:
        send = sends.get(row.digest) or known.get(row.message_id) or pushed.get(row.message_id)
        if row.digest != NO_CONTENT and row.digest not in sends:
            yield Violation("phantom", f"nobody sent the content of the row {row.message_id}")
        if send is None:
            continue
        by_send[id(send)].append(row.message_id)
        if row.app_id != send.app_id:
            yield Violation("cross_app", f"{_name(send)} of {send.app_id} is a row of {row.app_id}")
        if send.answer is Answer.REFUSED:
            yield Violation("phantom", f"{_name(send)} was refused, and is the row {row.message_id}")
    for ids in by_send.values():
        if len(ids) > 1:
            yield Violation("repeated", f"one send has several rows: {ids}")


def _check_recalls(history: History, rows: Sequence[Row], gone: Gone) -> Iterator[Violation]:
    stored = {row.message_id: row for row in rows}
    recalled_at: dict[str, float] = {}
    unstored: set[str] = set()
    for recall in history.recalls:
        if recall.answer is not Answer.ACKNOWLEDGED or recall.ended is None:
            continue
        if any(recall.began < end and begin < recall.ended for begin, end in history.database_outages):
            unstored.add(recall.message_id)
        if recall.message_id in recalled_at:
            yield Violation("repeated", f"{recall.message_id} was recalled twice")
        recalled_at[recall.message_id] = min(recall.ended, recalled_at.get(recall.message_id, recall.ended))
    asked = {recall.message_id for recall in history.recalls if recall.answer is not Answer.REFUSED}
    for row in rows:
        if row.message_id in recalled_at and row.status != 0:
            yield Violation("un_recalled", f"recalled {row.message_id} has status {row.status}")
        if row.status == 0 and row.digest != NO_CONTENT:
            yield Violation("content_after_recall", f"the row of recalled {row.message_id} holds content")
        if row.status == 0 and row.message_id not in asked:
            yield Violation("phantom", f"nobody recalled {row.message_id}")
    for message_id in recalled_at.keys() - stored.keys() - history.due:
        if message_id in gone:
            continue
        yield Violation("lost", f"recalled {message_id} has no row")
    for seen in history.seen:
        is_late = seen.asked > recalled_at.get(seen.message_id, seen.asked)
        if seen.digest != NO_CONTENT and is_late and seen.message_id not in unstored:
            yield Violation("content_after_recall", f"a query showed the content of {seen.message_id}")


def _check_groups(rows: Sequence[Row], groups: Collection[Group]) -> Iterator[Violation]:
    totals = Counter((row.app_id, row.group_id) for row in rows)
    group_of = {(row.app_id, row.message_id): row.group_id for row in rows}
    told = {(group.app_id, group.group_id): group for group in groups}
    for key in sorted(totals.keys() | told.keys()):
        group = told.get(key)
        if group is None or group.total != totals[key]:
            total = "no" if group is None else group.total
            yield Violation("miscounted", f"the group {key} has {totals[key]} rows, and {total} total")
        elif group_of.get((group.app_id, group.newest_id)) != group.group_id:
            yield Violation("miscounted", f"the newest message of the group {key} has no row")


def _name(send: Send) -> str:
    return f"the send {send.client_message_id or send.digest} of {send.app_id}"
