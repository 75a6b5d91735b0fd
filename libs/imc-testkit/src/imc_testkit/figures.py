"""Figures of a run: counts, and the longest delays."""

from dataclasses import dataclass
from itertools import pairwise

from imc_testkit.history import Answer, History


@dataclass(frozen=True)
class Figures:
    """Counts and delays of a run. Delays are in seconds."""

    sends: int
    acknowledged: int
    refused: int
    unknown: int
    recalled: int
    connections: int
    pushes: int
    longest_without_send: float
    """The longest time in which no send was acknowledged."""
    longest_to_push: float
    """The longest time from an acknowledgement to a push at a gateway that stayed connected."""

    def __str__(self) -> str:
        return (
            f"sends {self.sends} (acknowledged {self.acknowledged}, refused {self.refused}, "
            f"unknown {self.unknown}), recalled {self.recalled}, connections {self.connections}, "
            f"pushes {self.pushes}, longest without a send {self.longest_without_send:.1f} s, "
            f"longest to a push {self.longest_to_push:.1f} s"
        )


@dataclass(frozen=True)
class TimedPush:
    """A push of a message that was acknowledged while the gateway was connected."""

    acknowledged: float
    at: float


def figures_of(history: History) -> Figures:
    """Compute the figures of a run."""
    answers = [send.answer for send in history.sends]
    times = sorted(_acknowledged_at(history).values())
    return Figures(
        sends=len(answers),
        acknowledged=answers.count(Answer.ACKNOWLEDGED),
        refused=answers.count(Answer.REFUSED),
        unknown=answers.count(Answer.UNKNOWN),
        recalled=sum(recall.answer is Answer.ACKNOWLEDGED for recall in history.recalls),
        connections=len(history.connections),
        pushes=sum(len(connection.frames) for connection in history.connections),
        longest_without_send=max((after - before for before, after in pairwise(times)), default=0.0),
        longest_to_push=max((push.at - push.acknowledged for push in timed_pushes(history)), default=0.0),
    )


def timed_pushes(history: History) -> list[TimedPush]:
    """All pushes whose delay is known."""
    acknowledged_at = _acknowledged_at(history)
    return [
        TimedPush(since, frame.at)
        for connection in history.connections
        for frame in connection.frames
        if frame.code == 2001
        and (since := acknowledged_at.get(frame.message_id)) is not None
        and since > connection.frames[0].at
    ]


def _acknowledged_at(history: History) -> dict[str, float]:
    times: dict[str, float] = {}
    for send in history.sends:
        for attempt in send.attempts:
            if attempt.message_id is not None and attempt.ended is not None:
                times.setdefault(attempt.message_id, attempt.ended)
    return times
