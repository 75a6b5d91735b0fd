"""Removes rows of an app for good, in steps that may be repeated, and beside projectors."""

from collections import Counter
from collections.abc import Collection, Iterable
from typing import NamedTuple

from imc_contracts.cursor import ORIGIN
from imc_service.database.database import Database, Row, Session

from imc_command_api.store.statements import removal_statements, with_ids

NO_EPOCH = ""
"""The epoch of a projection that has no position yet. No log has it."""


class Removed(NamedTuple):
    """How many rows were removed. ``groups`` are those that had no message left."""

    messages: int = 0
    notices: int = 0
    groups: int = 0

    def plus(self, other: "Removed") -> "Removed":
        """The sum of both."""
        return Removed(*(ours + theirs for ours, theirs in zip(self, other, strict=True)))


class Removal:
    """Deletes rows by their ids. Which rows, its callers decide."""

    def __init__(self, database: Database) -> None:
        """Reads files, so make it when a process starts."""
        self._database = database
        self._statements = removal_statements(is_sqlite=database.is_sqlite)

    async def remove(
        self, app_id: str, *, message_ids: Collection[int] = (), information_ids: Collection[int] = ()
    ) -> Removed:
        """Delete these messages and notices of an app, in one transaction, and tell how many there were.

        In the same transaction

        - each group loses what it lost from its total, and has as its newest message the newest that is left.
          A group without messages goes;
        - ``removed_to`` of the app's projection grows to the newest event of a removed row. Whoever resumes
          before that from the tables is told of a gap. Rows without a log id, as adoption makes them, need
          none.

        Ids without a row change nothing. So a call may be repeated, whatever became of the first: the end of
        a call that raised `StoreUnavailable` is unknown. A projector may write the same rows meanwhile: the
        rows are locked in its order. What it projects again afterwards comes back.

        Limit a call to some hundred ids: it holds its locks until it has committed.
        Raises `StoreUnavailable` (`WriteConflict` among them), `StatementRefused`.
        """

        async def work(session: Session) -> Removed:
            return await self.remove_within(
                session, app_id, message_ids=message_ids, information_ids=information_ids
            )

        return await self._database.commit(work) if message_ids or information_ids else Removed()

    async def remove_within(
        self,
        session: Session,
        app_id: str,
        *,
        message_ids: Collection[int] = (),
        information_ids: Collection[int] = (),
        leaves_gap: bool = True,
    ) -> Removed:
        """As `remove`, within a transaction that does something beside it.

        Without ``leaves_gap`` nobody is told of a gap: gateways are told in another way what is missing.
        """
        messages, notices = sorted(set(message_ids)), sorted(set(information_ids))
        sql = self._statements
        found = await _taken(session, app_id, messages, sql.find_messages, sql.delete_messages)
        others = await _taken(session, app_id, notices, sql.find_notices, sql.delete_notices)
        groups = await self._shrink_groups(session, app_id, found)
        if leaves_gap:
            await self._mark(session, app_id, (row[-2:] for row in (*found, *others)))
        return Removed(len(found), len(others), groups)

    async def _shrink_groups(self, session: Session, app_id: str, removed: Collection[Row]) -> int:
        """Bring the groups of removed messages up to date; tells how many have gone."""
        if not removed:
            return 0
        losses = Counter(group_id for _, group_id, *_ in removed)
        ids = {row[0] for row in removed}
        shrunk: list[tuple[str, str, int, int, int]] = []
        empty: list[str] = []
        find = with_ids(self._statements.find_groups, len(losses))
        for group_id, total, newest_id, newest_time in await session.fetch_all(
            find, (app_id, *sorted(losses))
        ):
            newest = (newest_id, newest_time)
            if newest_id in ids:
                # The group is locked: whoever inserts a message now adds it to the group after this.
                rows = await session.fetch_all(self._statements.find_newest, (app_id, group_id))
                if not rows:
                    empty.append(group_id)
                    continue
                newest = rows[0]
            shrunk.append((app_id, group_id, total - losses[group_id], *newest))
        if shrunk:
            await session.execute_many(self._statements.shrink_group, shrunk)
        if empty:
            await session.execute(with_ids(self._statements.delete_groups, len(empty)), (app_id, *empty))
        return len(empty)

    async def _mark(self, session: Session, app_id: str, log_ids: Iterable[Row]) -> None:
        places = [each for pair in log_ids for each in pair if each is not None]
        if places:
            mark = (app_id, NO_EPOCH, ORIGIN.column, max(places))
            await session.execute_many(self._statements.mark, [mark])


async def _taken(session: Session, app_id: str, ids: Collection[int], find: str, delete: str) -> list[Row]:
    """The rows that there were, without which the table is now."""
    if not ids:
        return []
    rows = await session.fetch_all(with_ids(find, len(ids)), (app_id, *ids))
    if rows:
        await session.execute(with_ids(delete, len(rows)), (app_id, *(row[0] for row in rows)))
    return rows
