from dataclasses import replace

import pytest
from imc_bench.http.log_check import Acknowledged, Logged, check
from imc_bench.rows import Faulty

LOG = [Logged(str(number), f"1-{number}", f"text {number}") for number in range(6)]
TOLD = [
    [Acknowledged(each.message_id, each.entry, each.content) for each in LOG[start::2]] for start in (0, 1)
]


def test_a_log_that_holds_all_is_right() -> None:
    assert "6 acknowledged messages" in check(TOLD, LOG)


def test_what_was_lost_is_found() -> None:
    with pytest.raises(Faulty, match="message 3 was acknowledged and is not in the log"):
        check(TOLD, [each for each in LOG if each.message_id != "3"])


def test_what_was_repeated_is_found() -> None:
    with pytest.raises(Faulty, match="twice"):
        check(TOLD, [*LOG, replace(LOG[2], entry="1-6")])


def test_what_was_swapped_is_found() -> None:
    with pytest.raises(Faulty, match="sender 1 were swapped"):
        check([TOLD[0], TOLD[1][::-1]], LOG)


def test_what_was_altered_is_found() -> None:
    with pytest.raises(Faulty, match="message 4 is not what was sent"):
        check(TOLD, [replace(each, content="?") if each.message_id == "4" else each for each in LOG])


def test_another_place_than_was_told_is_found() -> None:
    with pytest.raises(Faulty, match="at 1-2, not at 9-9"):
        check([[replace(TOLD[0][1], entry="9-9")]], LOG)


def test_what_nobody_was_told_of_is_found() -> None:
    with pytest.raises(Faulty, match="3 messages were acknowledged, 6 are in the log"):
        check(TOLD[:1], LOG)
