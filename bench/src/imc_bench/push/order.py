"""Checks that a stream holds each message that was sent once, in each sender's order, and no others.

Every message contains a mark, ``~app/sender/number~``. Each sender numbers its messages from 0.
"""

import re

from imc_bench.push.stream import Stream

_MARK = re.compile(rb"~([^~/]+)/(\d+)/(\d+)~")


def mark(app_id: str, sender: int, number: int) -> str:
    """The mark of a message. All marks of one app have the same length."""
    return f"~{app_id}/{sender:03d}/{number:09d}~"


def places(stream: Stream) -> list[tuple[tuple[int, int], int]]:
    """All messages of a stream, by sender and number, with the byte offset where the mark ends.

    A listener that has received the stream up to there has the message, except for the end of its frame.
    """
    return [((int(match[2]), int(match[3])), match.end()) for match in _MARK.finditer(stream.frames)]


def faults(stream: Stream, sent: dict[int, range]) -> list[str]:
    """Find the faults of a stream. ``sent`` are the numbers that each sender has sent.

    Faults are messages that are lost, repeated, reordered or of another app, and frames without a mark.
    """
    found = list(stream.faults)
    marks: list[tuple[bytes, bytes, bytes]] = _MARK.findall(stream.frames)
    if len(marks) != stream.count:
        found.append(f"{stream.count} frames hold {len(marks)} messages")
    expected = {sender: numbers.start for sender, numbers in sent.items()}
    own = stream.app_id.encode()
    for app_id, sender_text, number_text in marks:
        sender, number = int(sender_text), int(number_text)
        if app_id != own:
            found.append(f"{stream.app_id} received a message of {app_id.decode()}")
        elif sender not in expected:
            found.append(f"message {number} of sender {sender}, which sent none")
        else:
            if number != expected[sender]:
                found.append(f"sender {sender}: message {number}, expected {expected[sender]}")
            expected[sender] = number + 1
    found += [
        f"sender {sender}: received up to {expected[sender]}, sent up to {numbers.stop}"
        for sender, numbers in sent.items()
        if expected[sender] != numbers.stop
    ]
    return found
