"""A ``clientMessageId`` names one message or notice of its app."""

import hashlib
from collections.abc import Sequence

from imc_contracts import envelope
from imc_contracts.codes import ErrorCode
from imc_contracts.errors import Refused


def digest_of(payload: Sequence[str | int | None]) -> str:
    """A short text that is equal for equal payloads alone."""
    return hashlib.blake2b(envelope.encode(payload), digest_size=8).hexdigest()


def other_payload() -> Refused:
    """The ``clientMessageId`` is used for something else already."""
    return Refused(
        ErrorCode.CLIENT_MESSAGE_ID_REUSED,
        "clientMessageId was used for another message or notice of this app: each needs one of its own",
    )
