"""The texts in which the append script takes a send, and returns the outcome of a write."""

from imc_contracts.cursor import cursor_text

from imc_command_api.handlers.ports import AlreadyRetired, Appended, Outcome, Repeated, Sending, Write


def read_outcome(epoch: str, result: str, write: Write) -> Outcome:
    """Read the result of one event."""
    if result == "x":
        return AlreadyRetired()
    if not result.startswith("="):
        return Appended(cursor_text(epoch, result))
    assert write.sending is not None
    id_, create_time, digest, entry = result[1:].split(" ")
    original = Sending(write.sending.client_message_id, int(id_), int(create_time), digest)
    return Repeated(original, cursor_text(epoch, entry))


def receipt_of(sending: Sending) -> str:
    """A send as the script remembers it; `read_outcome` is the inverse."""
    return f"{sending.id} {sending.create_time} {sending.digest}"
