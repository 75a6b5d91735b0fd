"""Entries into the database, then acknowledged; what the database refuses is found and handed on."""

from collections import defaultdict
from collections.abc import Generator, Sequence
from dataclasses import dataclass

from imc_contracts.events import MalformedEvent, read_entry
from imc_service.database.database import Refusal, StatementRefused, StoreUnavailable
from imc_service.retry import Backoff
from redis.exceptions import RedisError

from imc_command_api.projector.log_group import LogGroup
from imc_command_api.projector.metrics import ProjectorMetrics
from imc_command_api.projector.reader import Delivery
from imc_command_api.store.changes import Row, row_of
from imc_command_api.store.projection import Projection

TRANSACTION_ENTRIES = 1000
TRANSACTION_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Readable:
    """An entry that was understood, and its row."""

    delivery: Delivery
    row: Row


@dataclass(frozen=True, slots=True)
class Unreadable:
    """An entry that is none of ours; ``reason`` shows nothing of what it holds."""

    delivery: Delivery
    reason: str


@dataclass(frozen=True, slots=True)
class Refused:
    """An entry that the database does not take, and what it says."""

    entry: Readable
    refusal: StatementRefused


Understood = Readable | Unreadable


def understand(delivery: Delivery) -> Understood:
    """Read an entry."""
    try:
        entry = read_entry(delivery.entry_id, delivery.fields)
        return Readable(delivery, row_of(delivery.app_id, entry))
    except MalformedEvent as error:
        return Unreadable(delivery, str(error))


def transactions_of(batch: Sequence[Understood]) -> Generator[Sequence[Understood]]:
    """Cut a batch into parts that are each written at once: long ones hold locks and the event loop."""
    begin = size = 0
    for at, entry in enumerate(batch):
        size += entry.delivery.size
        if at > begin and (at - begin >= TRANSACTION_ENTRIES or size > TRANSACTION_BYTES):
            yield batch[begin:at]
            begin, size = at, entry.delivery.size
    yield batch[begin:]


class BatchWriter:
    """Writes batches; waits for as long as the database or Redis is away."""

    def __init__(self, projection: Projection, group: LogGroup, metrics: ProjectorMetrics) -> None:
        self._projection = projection
        self._group = group
        self._metrics = metrics

    async def write(self, entries: Sequence[Readable]) -> list[Refused]:
        """Apply and acknowledge ``entries``; returns those that the database refuses.

        Those are neither applied nor acknowledged, all others are both: at once, if none is refused.
        """
        refused = await self._apply(entries) if entries else []
        unapplied = {each.entry.delivery.key for each in refused}
        # After COMMIT: acknowledged before it, an entry could be lost; applied twice, it does no harm.
        await self._acknowledge([entry for entry in entries if entry.delivery.key not in unapplied])
        return refused

    async def _apply(self, entries: Sequence[Readable]) -> list[Refused]:
        """Apply what can be applied, by halves where a whole is refused; returns what is refused alone."""
        try:
            with self._metrics.batch_seconds.time():
                await Backoff().retry(
                    lambda: self._store(entries), StoreUnavailable, on_retry=self._metrics.retries.inc
                )
        except StatementRefused as refusal:
            if len(entries) == 1:
                self._metrics.refusals.inc()
                return [Refused(entries[0], refusal)]
            middle = len(entries) // 2
            return [*await self._apply(entries[:middle]), *await self._apply(entries[middle:])]
        self._metrics.batches.inc()
        self._metrics.entries.inc(len(entries))
        self._metrics.last_commit.set_to_current_time()
        return []

    async def _store(self, entries: Sequence[Readable]) -> None:
        try:
            await self._projection.apply_rows([entry.row for entry in entries])
        except StatementRefused as refusal:
            # An error that is not classified, of an entry alone: if no other could be stored either, it is
            # the database's, and the entry waits like all others.
            if (
                len(entries) == 1
                and refusal.kind is Refusal.UNKNOWN
                and (trouble := await self._projection.trouble()) is not None
            ):
                raise StoreUnavailable(trouble) from refusal
            raise

    async def _acknowledge(self, entries: Sequence[Readable]) -> None:
        ids_by_app: defaultdict[str, list[bytes]] = defaultdict(list)
        bytes_by_app: defaultdict[str, int] = defaultdict(int)
        for entry in entries:
            ids_by_app[entry.delivery.app_id].append(entry.delivery.entry_id)
            bytes_by_app[entry.delivery.app_id] += entry.delivery.size
        if ids_by_app:
            await Backoff().retry(
                lambda: self._group.acknowledge(ids_by_app, bytes_by_app),
                (RedisError, OSError),
                on_retry=self._metrics.retries.inc,
            )
