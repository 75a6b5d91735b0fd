"""Whether a stream holds what was sent: each message once, each sender's in order, nothing of others.

Every message bears a mark, ``~app/sender/number~``; each sender counts its own from 0.
"""

import re

from imc_bench.push.stream import Stream

_MARK = re.compile(rb"~([^~/]+)/(\d+)/(\d+)~")


def mark(app_id: str, sender: int, number: int) -> str:
    """The mark of a message; all marks of one app have one length."""
    return f"~{app_id}/{sender:03d}/{number:09d}~"


def places(stream: Stream) -> list[tuple[tuple[int, int], int]]:
    """Each message of a stream, by sender and number, and the place in the stream where its mark ends.

    Whoever has received that much has, but for the last few bytes of a frame, received the message.
    """
    return [((int(match[2]), int(match[3])), match.end()) for match in _MARK.finditer(stream.frames)]


def faults(stream: Stream, sent: dict[int, range]) -> list[str]:
    """What is wrong with the frames of a stream, if of each sender those numbers were sent.

    A message that is lost, repeated, swapped with another or of another app is one; so is a frame that holds
    no mark.
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
            found.append(f"{stream.app_id} was told a message of {app_id.decode()}")
        elif sender not in expected:
            found.append(f"message {number} of sender {sender}, who sent none")
        else:
            if number != expected[sender]:
                found.append(f"sender {sender}: message {number} where {expected[sender]} was due")
            expected[sender] = number + 1
    found += [
        f"sender {sender}: told up to {expected[sender]}, sent up to {numbers.stop}"
        for sender, numbers in sent.items()
        if expected[sender] != numbers.stop
    ]
    return found
