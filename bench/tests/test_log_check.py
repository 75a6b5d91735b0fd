from dataclasses import replace

import pytest
from imc_bench.http.log_check import Acknowledged, Logged, check
from imc_bench.rows import InvalidRun

LOG = [Logged(str(number), f"1-{number}", f"text {number}") for number in range(6)]
ACKNOWLEDGED = [
    [Acknowledged(each.message_id, each.entry, each.content) for each in LOG[start::2]] for start in (0, 1)
]


def test_a_complete_log_passes() -> None:
    assert "6 acknowledged messages" in check(ACKNOWLEDGED, LOG)


def test_a_lost_message_is_found() -> None:
    with pytest.raises(InvalidRun, match="message 3 was acknowledged and is not in the log"):
        check(ACKNOWLEDGED, [each for each in LOG if each.message_id != "3"])


def test_a_repeated_message_is_found() -> None:
    with pytest.raises(InvalidRun, match="twice"):
        check(ACKNOWLEDGED, [*LOG, replace(LOG[2], entry="1-6")])


def test_reordered_messages_are_found() -> None:
    with pytest.raises(InvalidRun, match="sender 1 were reordered"):
        check([ACKNOWLEDGED[0], ACKNOWLEDGED[1][::-1]], LOG)


def test_a_changed_message_is_found() -> None:
    with pytest.raises(InvalidRun, match="message 4 is not what was sent"):
        check(ACKNOWLEDGED, [replace(each, content="?") if each.message_id == "4" else each for each in LOG])


def test_a_wrong_entry_id_is_found() -> None:
    with pytest.raises(InvalidRun, match="at 1-2, not at 9-9"):
        check([[replace(ACKNOWLEDGED[0][1], entry="9-9")]], LOG)


def test_messages_that_were_not_acknowledged_are_found() -> None:
    with pytest.raises(InvalidRun, match="3 messages were acknowledged, 6 are in the log"):
        check(ACKNOWLEDGED[:1], LOG)
