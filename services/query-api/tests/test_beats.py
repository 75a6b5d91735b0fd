"""Tests what the beats of a primary and its replica prove."""

import random

import pytest
from imc_query_api.freshness.beats import MOST_BEATS, NEVER, Beats


def test_a_beat_that_the_primary_lacked_proves_all_before_that_look() -> None:
    beats = Beats()
    beats.note(10.0, at_primary=7, at_replica=7)
    # Beat 7 may be older than anything: it proves nothing about what came after it.
    assert beats.complete_until == NEVER
    beats.note(10.2, 7, 7)
    beats.note(10.4, 8, 7)
    assert beats.complete_until == NEVER
    beats.note(10.6, 8, 8)
    # At 10.2 the primary still lacked beat 8, at 10.4 it had it.
    assert beats.complete_until == 10.2
    beats.note(10.8, 9, 8)
    assert beats.complete_until == 10.2
    beats.note(11.0, 10, 10)
    assert beats.complete_until == 10.8


def test_nothing_new_is_known_while_nobody_beats() -> None:
    beats = Beats()
    beats.note(1, 1, 1)
    beats.note(2, 2, 2)
    for at in range(3, 10):
        beats.note(at, 2, 2)
    assert beats.complete_until == 1


@pytest.mark.parametrize(("at_primary", "at_replica"), [(3, 9), (9, 3), (9, 12)])
def test_nothing_is_known_of_a_server_that_was_replaced(at_primary: int, at_replica: int) -> None:
    beats = Beats()
    beats.note(1, 8, 8)
    beats.note(2, 9, 9)
    assert beats.complete_until == 1
    beats.note(3, at_primary, at_replica)
    assert beats.complete_until == NEVER
    beats.note(4, 10, 9)
    assert beats.complete_until == NEVER
    beats.note(5, 11, 11)
    assert beats.complete_until == 4


def test_a_replica_far_behind_takes_bounded_memory_and_catches_up() -> None:
    beats = Beats()
    last = 2 * MOST_BEATS
    for beat in range(last):
        beats.note(beat, beat, 0)
    assert beats.complete_until == NEVER
    beats.note(last, last, MOST_BEATS)
    assert beats.complete_until == NEVER
    beats.note(last + 1, last, last)
    assert beats.complete_until == last - 1


@pytest.mark.parametrize("seed", range(20))
def test_it_never_promises_more_than_the_replica_has(seed: int) -> None:
    """Commits and beats go to a binary log at random times; the replica applies it at random speeds."""
    chance, beats = random.Random(seed), Beats()
    log: list[tuple[float, int]] = []  # the time of each commit, and the beat after it
    now, beat, applied, proven = 0.0, 0, 0, 0
    for _ in range(3000):
        now += chance.random() / 10
        match chance.choice(["commit", "beat", "apply", "apply", "look"]):
            case "commit":
                log.append((now, beat))
            case "beat":
                beat += 1
                log.append((now, beat))
            case "apply":
                applied = min(len(log), applied + chance.randrange(4))
            case _:
                beats.note(now, beat, log[applied - 1][1] if applied else 0)
                missing = [at for at, _ in log[applied:]]
                assert beats.complete_until < min(missing, default=now)
                proven += beats.complete_until > now - 5
    assert proven > 50
