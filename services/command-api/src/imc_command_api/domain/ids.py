"""The layout of ids: Snowflakes of 41 bits of milliseconds, 10 of the worker, 12 of a sequence.

They sort by time. The epoch and the layout are those of the Java version, so that ids of both sort together.
"""

EPOCH_MS = 1_557_825_652_094
WORKER_BITS = 10
SEQUENCE_BITS = 12
WORKERS = 1 << WORKER_BITS
SEQUENCES = 1 << SEQUENCE_BITS


def id_of(ms: int, worker: int, sequence: int) -> int:
    """The id of this time in Unix milliseconds, worker, and number within the millisecond."""
    return (ms - EPOCH_MS) << (WORKER_BITS + SEQUENCE_BITS) | worker << SEQUENCE_BITS | sequence


def time_of(id_: int) -> int:
    """When an id was made, in Unix milliseconds."""
    return (id_ >> (WORKER_BITS + SEQUENCE_BITS)) + EPOCH_MS
