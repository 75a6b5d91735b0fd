"""Breaks each guarantee in an otherwise clean run. The checker must report it, and nothing else."""

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from imc_contracts.cursor import EntryId
from imc_testkit.checker import Report, check
from imc_testkit.history import (
    NO_CONTENT,
    Answer,
    Attempt,
    Connection,
    Erasing,
    Frame,
    Group,
    History,
    Recall,
    Row,
    Seen,
    Send,
    digest,
)


class Run:
    """Five messages of app a, the third recalled; one gateway that stays, one that resumes after the second.

    Events happen at seconds 1, 2, 3 …. The same numbers are the milliseconds of their log ids.
    """

    def __init__(self) -> None:
        self.history = History(seed=1)
        self.rows: dict[str, Row] = {}
        self.dead_letters: set[str] = set()
        self.groups: list[Group] | None = None
        """As the rows are, unless a test says what the table has."""
        for number in range(1, 6):
            self.send(number)
        self.recall("3", at=6)
        self.stays = self.connect("stays", 0)
        self.leaves = self.connect("resumes", 0)
        self.leaves.frames = self.leaves.frames[:3]
        self.leaves.is_caught_up = False
        self.resumes = self.connect("resumes", 2, offered=cursor(2))

    def send(self, number: int) -> None:
        content = digest(f"content {number}")
        attempt = Attempt("http", number, Answer.ACKNOWLEDGED, number + 0.5, str(number), cursor(number))
        self.history.sends.append(Send("a", "g", content, None, [attempt]))
        place = EntryId(number, 0).column
        self.rows[str(number)] = Row(str(number), "a", content, 1, place, place, "g")

    def recall(self, message_id: str, at: int) -> None:
        self.history.recalls.append(Recall("a", message_id, at, Answer.ACKNOWLEDGED, at + 0.5))
        self.change(message_id, digest=NO_CONTENT, status=0, last_log_id=EntryId(at, 0).column)

    def connect(self, gateway_id: str, after: int, offered: str | None = None) -> Connection:
        connection = Connection("a", gateway_id, 0, offered, began=after, is_caught_up=True)
        connection.frames = [Frame(2000, after, cursor(after), recovered=offered is not None)]
        connection.frames += [message(number) for number in range(after + 1, 6)]
        connection.frames.append(Frame(2002, 6, cursor(6), False, "", "3", "a", NO_CONTENT, 0))
        self.history.connections.append(connection)
        return connection

    def change(self, message_id: str, **fields: object) -> None:
        self.rows[message_id] = replace(self.rows[message_id], **fields)

    def check(self) -> Report:
        rows = list(self.rows.values())
        groups = groups_of(rows) if self.groups is None else self.groups
        return check(self.history, rows, self.dead_letters, groups)


def groups_of(rows: list[Row]) -> list[Group]:
    totals = Counter((row.app_id, row.group_id) for row in rows)
    newest = {(row.app_id, row.group_id): row.message_id for row in rows}
    return [Group(*key, total, newest[key]) for key, total in totals.items()]


def cursor(ms: int) -> str:
    return f"abc.{ms}-0"


def message(number: int, content: str | None = None) -> Frame:
    content = digest(f"content {number}") if content is None else content
    return Frame(2001, number, cursor(number), False, "", str(number), "a", content)


def found(report: Report) -> dict[str, int]:
    return {name: count for name, count in report.counts.items() if count}


def test_a_clean_run_has_no_violations() -> None:
    report = Run().check()
    assert (report.is_clean, found(report), report.violations) == (True, {}, [])


def an_acknowledged_send_without_a_row(run: Run) -> None:
    del run.rows["5"]
    for connection in run.history.connections:
        connection.frames = [frame for frame in connection.frames if frame.message_id != "5"]


def an_acknowledged_send_in_the_dead_letters(run: Run) -> None:
    an_acknowledged_send_without_a_row(run)
    run.dead_letters.add("5")


def different_content_in_the_row(run: Run) -> None:
    run.change("5", digest=digest("content 5 "))


def a_missing_push(run: Run) -> None:
    del run.stays.frames[4]


def the_last_push_missing(run: Run) -> None:
    run.resumes.frames.pop()


def a_missing_push_that_log_ids_do_not_show(run: Run) -> None:
    # As if a log id were assigned twice: by the id, the gateway was past the message before it was sent.
    del run.stays.frames[5]
    run.change("5", log_id=EntryId(0, 0).column)
    run.resumes.frames[3] = replace(run.resumes.frames[3], cursor="abc.0-0")
    run.history.connections.remove(run.leaves)
    run.history.connections.remove(run.resumes)


def skipped_pushes_at_a_resume(run: Run) -> None:
    run.resumes.frames[0].cursor = cursor(3)
    del run.resumes.frames[1]


def a_repeated_push(run: Run) -> None:
    run.stays.frames.insert(3, run.stays.frames[2])


def a_push_again_after_the_resume(run: Run) -> None:
    run.resumes.frames.insert(1, message(2))


def two_rows_of_one_send(run: Run) -> None:
    run.rows["50"] = replace(run.rows["5"], message_id="50", log_id=None)


def two_acknowledged_ids_of_one_send(run: Run) -> None:
    send = run.history.sends[4]
    send.attempts.append(replace(send.attempts[0], message_id="4"))


def two_successful_recalls_of_one_message(run: Run) -> None:
    run.history.recalls.append(replace(run.history.recalls[0]))


def two_swapped_pushes(run: Run) -> None:
    frames = run.stays.frames
    frames[1], frames[2] = frames[2], frames[1]


def two_pushes_swapped_with_their_cursors(run: Run) -> None:
    """No gateway alone can detect this, and the rows have no log ids: only comparing gateways shows it."""
    frames = run.stays.frames
    frames[1], frames[2] = (
        replace(frames[2], cursor=frames[1].cursor),
        replace(frames[1], cursor=frames[2].cursor),
    )
    for number in "12":
        run.change(number, log_id=None, last_log_id=None)


def a_recall_before_its_message(run: Run) -> None:
    frames = run.stays.frames
    frames.insert(3, frames.pop())


def a_recalled_row_with_normal_status(run: Run) -> None:
    run.change("3", status=1)


def content_in_a_recalled_row(run: Run) -> None:
    run.change("3", digest=digest("content 3"))


def content_in_a_replay_after_the_recall(run: Run) -> None:
    run.connect("late", 0).began = 7
    run.history.connections[-1].frames[0].at = 7


def content_in_a_query_after_the_recall(run: Run) -> None:
    run.history.seen.append(Seen("a", "3", digest("content 3"), asked=7))


def a_row_that_nobody_sent(run: Run) -> None:
    run.rows["9"] = Row("9", "a", digest("what is this"), 1, None, None)


def a_push_that_nobody_sent(run: Run) -> None:
    run.stays.frames.append(replace(message(9, digest("what is this")), cursor=cursor(9)))


def a_push_without_a_row(run: Run) -> None:
    run.history.sends.append(Send("a", "g", digest("content 9"), None, [Attempt("http", 9)]))
    run.stays.frames.append(message(9))


def a_refused_send_with_a_row(run: Run) -> None:
    attempt = Attempt("http", 0, Answer.REFUSED, 9)
    run.history.sends.append(Send("a", "g", digest("content 9"), None, [attempt]))
    run.rows["9"] = Row("9", "a", digest("content 9"), 1, None, None)


def a_recall_that_nobody_asked_for(run: Run) -> None:
    run.history.recalls.clear()


def a_row_of_another_app(run: Run) -> None:
    # Without connections, the row is the only evidence.
    run.history.connections.clear()
    run.change("5", app_id="b")


def a_push_to_another_app(run: Run) -> None:
    run.history.connections.append(
        Connection("b", "spy", 0, None, 0, [Frame(2000, 0, cursor(0)), replace(message(2), app_id="a")])
    )


def one_id_for_two_sends(run: Run) -> None:
    send = Send("a", "g", digest("content 9"), None, [replace(run.history.sends[0].attempts[0])])
    run.history.sends.append(send)


def a_group_with_a_wrong_total(run: Run) -> None:
    run.groups = [Group("a", "g", 6, "5")]


def a_group_that_is_left_though_its_rows_are_gone(run: Run) -> None:
    run.groups = [Group("a", "g", 5, "5"), Group("a", "empty", 0, "9")]


def a_group_that_is_missing(run: Run) -> None:
    run.groups = []


def a_group_whose_newest_message_is_gone(run: Run) -> None:
    run.groups = [Group("a", "g", 5, "9")]


def erase_up_to(run: Run, number: int) -> None:
    """An erasure of the group follows the message ``number``, and nothing is left of what came before it."""
    run.history.erasures.append(Erasing("a", "77", f"abc.{number}-1", group_id="g"))
    for each in range(1, number + 1):
        del run.rows[str(each)]
    for connection in run.history.connections:
        later = [frame for frame in connection.frames if EntryId.parse(frame.cursor[4:]) > (number, 1)]
        told = Frame(2006, number, f"abc.{number}-1", message_id="77", app_id="a")
        begin = len(connection.frames) - len(later)
        if connection.is_caught_up:
            connection.frames.insert(begin, told)


def an_erased_message_with_a_row(run: Run) -> None:
    row = run.rows["2"]
    erase_up_to(run, 2)
    run.rows["2"] = row


VIOLATIONS: list[tuple[Callable[[Run], None], dict[str, int]]] = [
    (an_acknowledged_send_without_a_row, {"lost": 3}),
    (an_acknowledged_send_in_the_dead_letters, {"lost": 3}),
    (different_content_in_the_row, {"lost": 1, "phantom": 1}),
    (a_missing_push, {"lost": 1}),
    (the_last_push_missing, {"lost": 1}),
    (a_missing_push_that_log_ids_do_not_show, {"lost": 1}),
    (skipped_pushes_at_a_resume, {"lost": 1}),
    (a_repeated_push, {"repeated": 1}),
    (a_push_again_after_the_resume, {"repeated": 1}),
    (two_rows_of_one_send, {"repeated": 1}),
    (two_acknowledged_ids_of_one_send, {"repeated": 1, "duplicate_ids": 1, "lost": 1}),
    (two_successful_recalls_of_one_message, {"repeated": 1}),
    (two_swapped_pushes, {"reordered": 2}),
    (two_pushes_swapped_with_their_cursors, {"reordered": 1}),
    (a_recall_before_its_message, {"reordered": 4, "content_after_recall": 1}),
    (a_recalled_row_with_normal_status, {"un_recalled": 1}),
    (content_in_a_recalled_row, {"content_after_recall": 1}),
    (content_in_a_replay_after_the_recall, {"content_after_recall": 1}),
    (content_in_a_query_after_the_recall, {"content_after_recall": 1}),
    (a_row_that_nobody_sent, {"phantom": 1}),
    (a_push_that_nobody_sent, {"phantom": 1}),
    (a_push_without_a_row, {"phantom": 1}),
    (a_refused_send_with_a_row, {"phantom": 1}),
    (a_recall_that_nobody_asked_for, {"phantom": 1}),
    (a_row_of_another_app, {"cross_app": 2}),
    (a_push_to_another_app, {"cross_app": 1}),
    (one_id_for_two_sends, {"lost": 1, "duplicate_ids": 1}),
    (a_group_with_a_wrong_total, {"miscounted": 1}),
    (a_group_that_is_left_though_its_rows_are_gone, {"miscounted": 1}),
    (a_group_that_is_missing, {"miscounted": 1}),
    (a_group_whose_newest_message_is_gone, {"miscounted": 1}),
    (an_erased_message_with_a_row, {"not_erased": 1}),
]


@pytest.mark.parametrize(
    ("break_it", "expected"), VIOLATIONS, ids=lambda value: getattr(value, "__name__", "")
)
def test_a_broken_guarantee_is_found(break_it: Callable[[Run], None], expected: dict[str, int]) -> None:
    run = Run()
    break_it(run)
    report = run.check()
    assert found(report) == expected, report
    assert len(report.violations) == sum(expected.values())
    assert all(violation.split(":")[0] in expected for violation in report.violations)


def test_every_count_is_tested() -> None:
    assert {name for _, expected in VIOLATIONS for name in expected} == set(Report().counts)


def test_what_is_erased_may_be_missing_and_nothing_else() -> None:
    run = Run()
    run.history.connections.remove(run.leaves)
    erase_up_to(run, 2)
    # One that resumes from before it does not get what is erased, but is told.
    late = run.connect("late", 0, offered=cursor(0))
    late.frames = [late.frames[0], Frame(2006, 2, "abc.2-1", message_id="77", app_id="a"), *late.frames[3:]]
    assert found(run.check()) == {}, run.check()
    untold = [frame for frame in run.stays.frames if frame.code != 2006]
    run.stays.frames = untold
    assert found(run.check()) == {"lost": 1}
    del run.rows["4"]
    assert found(run.check())["lost"] > 1


def listed(run: Run, *frames: Frame, is_caught_up: bool = True) -> Report:
    """Check a run with one more gateway, which lists its groups; all messages but 2 are of the group g."""
    for number in range(1, 6):
        run.change(str(number), group_id="other" if number == 2 else "g")
    run.history.sends[1].group_id = "other"
    run.history.connections.append(Connection("a", "x", 0, None, 0, [*frames], None, is_caught_up, True))
    return run.check()


RECALLED = Frame(2002, 6, cursor(6), False, "", "3", "a", NO_CONTENT, 0)


def greeting(*groups: str) -> list[Frame]:
    return [Frame(2000, 0, cursor(0)), Frame(2007, 0, cursor(0), groups=groups)]


def test_a_gateway_with_a_list_gets_the_events_of_its_groups() -> None:
    pushes = [message(number) for number in (1, 3, 4, 5)]
    assert found(listed(Run(), *greeting("g"), *pushes, RECALLED)) == {}
    assert found(listed(Run(), *greeting("g"), *pushes)) == {"lost": 1}
    pushes.insert(1, message(2))
    assert found(listed(Run(), *greeting("g"), *pushes, RECALLED)) == {"phantom": 1}


def test_groups_count_from_the_answer_on() -> None:
    taken = Frame(2007, 3, cursor(3), groups=("g",))
    left = Frame(2007, 4, cursor(4), groups=())
    assert found(listed(Run(), *greeting(), taken, message(4), left)) == {}
    assert found(listed(Run(), *greeting(), taken, message(4), left, message(5))) == {"phantom": 1}


def test_after_a_gap_that_goes_back_the_groups_count_that_are_held_now() -> None:
    taken = Frame(2007, 4, cursor(4), groups=("g", "other"))
    back = Frame(4002, 5, cursor(1), gap_from=cursor(4))
    before = [*greeting("g"), *map(message, (1, 3, 4)), taken, back]
    assert found(listed(Run(), *before, *map(message, (2, 3, 4, 5)), RECALLED)) == {}
    assert found(listed(Run(), *before, *map(message, (3, 4, 5)), RECALLED)) == {"lost": 1}
    left = Frame(2007, 4, cursor(4), groups=("g",))
    before = [*greeting("g", "other"), *map(message, (1, 2, 3, 4)), left, back]
    assert found(listed(Run(), *before, *map(message, (3, 4, 5)), RECALLED)) == {}
    assert found(listed(Run(), *before, *map(message, (2, 3, 4, 5)), RECALLED)) == {"phantom": 1}


def test_a_position_says_that_all_is_there() -> None:
    some, told = [*greeting("g"), *map(message, (1, 3, 4))], Frame(2008, 5, cursor(5))
    assert found(listed(Run(), *some, is_caught_up=False)) == {}
    assert found(listed(Run(), *some, told, is_caught_up=False)) == {"lost": 1}
    assert found(listed(Run(), *some, told, message(5), is_caught_up=False)) == {"reordered": 1}


def test_a_position_in_a_log_without_entries_has_no_order() -> None:
    connected, held = (Frame(code, 0, "u1.9-0") for code in (2000, 2007))
    some = [connected, replace(held, groups=("g",)), Frame(2008, 1, "u1.8-0")]
    assert found(listed(Run(), *some, is_caught_up=False)) == {}
    some[-1] = Frame(2008, 1, cursor(8))
    assert found(listed(Run(), *some, is_caught_up=False)) == {"reordered": 1}


def test_messages_missing_in_an_announced_gap_are_not_lost() -> None:
    run = Run()
    run.resumes.frames[0] = Frame(2000, 4, cursor(4), recovered=False)
    run.resumes.frames[1:3] = [Frame(4002, 4, cursor(4), gap_from=cursor(2))]
    assert found(run.check()) == {}
    # Outside the gap, a missing message is lost.
    del run.resumes.frames[2]
    assert found(run.check()) == {"lost": 1}


def test_what_a_policy_does_not_keep_may_be_gone_and_nothing_else() -> None:
    run = Run()
    run.history.due |= {"1", "3", "4"}
    for number in run.history.due:
        del run.rows[number]
    assert found(run.check()) == {}
    del run.rows["2"]
    assert found(run.check())["lost"] == 1


def test_of_what_is_gone_a_gateway_is_pushed_all_or_told() -> None:
    run = Run()
    run.history.due.add("4")
    del run.rows["4"]
    pushes = run.resumes.frames
    run.resumes.frames = [frame for frame in pushes if frame.message_id != "4"]
    assert found(run.check()) == {"lost": 1}
    run.resumes.frames = [
        Frame(2000, 4, cursor(4), recovered=False),
        Frame(4002, 4, cursor(4), gap_from=cursor(2)),
        *(frame for frame in pushes[1:] if frame.message_id not in ("3", "4") or frame.code == 2002),
    ]
    assert found(run.check()) == {}


def test_a_push_that_a_gap_takes_back_needs_no_row_where_masters_are_replaced() -> None:
    """A server took it along, and its send got no answer. The log goes on before it."""
    run = Run()
    attempt = Attempt("http", 8, Answer.UNKNOWN, 9)
    run.history.sends.append(Send("a", "g", digest("content 9"), None, [attempt]))
    run.stays.frames.append(message(9))
    told = Frame(4002, 9, cursor(6), gap_from=cursor(9))
    run.stays.frames.append(told)
    assert found(run.check()) == {"phantom": 1}
    run.history.masters_are_replaced = True
    assert found(run.check()) == {}
    run.send(7)
    for connection in (run.stays, run.resumes):
        connection.frames.append(message(7))
    assert found(run.check()) == {}
    # What is pushed after it is not what it is about.
    run.stays.frames.remove(told)
    run.stays.frames.insert(-2, replace(told, gap_from=cursor(6)))
    assert found(run.check()) == {"phantom": 1, "reordered": 1}


def test_what_a_gap_takes_back_may_come_once_more() -> None:
    run = Run()
    again = run.stays.frames[-2:]
    run.stays.frames.append(Frame(4002, 9, cursor(4), gap_from=cursor(6)))
    assert found(run.check()) == {}
    run.stays.frames += again
    assert found(run.check()) == {}
    run.stays.frames += again
    assert found(run.check()) == {"repeated": 2}


def test_what_a_gap_takes_back_and_comes_again_is_in_the_order_of_the_log() -> None:
    """The recall was pushed before the fifth message, lost with a server, repeated, and pushed after it."""
    run = Run()
    fifth, recall = run.stays.frames[-2:]
    run.stays.frames[-2:] = [replace(recall, cursor=cursor(5)), Frame(4002, 5, cursor(4), gap_from=cursor(5))]
    run.stays.frames += [fifth, recall]
    assert found(run.check()) == {}
    # Without being taken back it would be pushed twice.
    del run.stays.frames[-3]
    assert found(run.check())["repeated"] == 1


def test_masked_content_in_a_replay_is_correct() -> None:
    run = Run()
    run.resumes.frames[1] = message(3, NO_CONTENT)
    run.history.seen.append(Seen("a", "3", NO_CONTENT, asked=7))
    run.history.seen.append(Seen("a", "3", digest("content 3"), asked=5))
    assert found(run.check()) == {}


def test_a_recall_during_a_database_outage_may_show_in_queries_later() -> None:
    run = Run()
    content_in_a_query_after_the_recall(run)
    run.history.database_outages.append((6.1, 6.4))
    assert found(run.check()) == {}
    run.history.database_outages[0] = (6.6, 9)
    assert found(run.check()) == {"content_after_recall": 1}


def test_a_send_with_unknown_result_may_or_may_not_have_happened() -> None:
    run = Run()
    run.history.sends[4].attempts[0] = Attempt("http", 5)
    assert found(run.check()) == {}
    an_acknowledged_send_without_a_row(run)
    assert found(run.check()) == {}


def test_a_refused_gateway_may_retry_with_its_cursor() -> None:
    run = Run()
    run.history.connections.insert(2, Connection("a", "resumes", 1, cursor(2), 2, close_code=1013))
    assert found(run.check()) == {}


def test_a_gateway_that_left_may_miss_the_newest_pushes() -> None:
    run = Run()
    run.stays.frames.pop()
    run.stays.is_caught_up = False
    assert found(run.check()) == {}


def test_a_history_is_saved_as_json_lines(tmp_path: Path) -> None:
    run = Run()
    run.history.notes.append("killed one")
    path = tmp_path / "history.jsonl"
    run.history.save(path, list(run.rows.values()))
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert lines[0] == {"record": "seed", "seed": 1}
    assert lines[1] == {"record": "note", "text": "killed one"}
    kinds = [line["record"] for line in lines]
    assert [kinds.count(kind) for kind in ("send", "recall", "connection", "row")] == [5, 1, 3, 5]
    assert lines[2]["attempts"][0]["answer"] == "acknowledged"
