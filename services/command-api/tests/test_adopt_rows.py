"""What a row of the Java version becomes, row by row: no server."""

from pathlib import Path
from typing import Any

import orjson
import pytest
from imc_command_api.migrations.adopt.command import add_arguments, order_of
from imc_command_api.migrations.adopt.failures import AdoptionError
from imc_command_api.migrations.adopt.gaps import WINDOW, gaps_after, holds, without
from imc_command_api.migrations.adopt.rejects import Reject, RejectsFile
from imc_command_api.migrations.adopt.rows import AdoptedMessage, AdoptedNotice, Unfit, message_of, notice_of
from imc_command_api.migrations.adopt.writer import sort_rows
from imc_command_api.migrations.settings import MigrateSettings
from imc_contracts.schema import MESSAGE_VIEW_COLUMNS, NOTICE_VIEW_COLUMNS
from imc_service.command_line import Program
from imc_service.settings import load

TIME = 1_790_000_000_000
MESSAGE = {"message_id": "41", "app_id": "a", "group_id": "g", "user_id": "u", "content": "c"} | {
    "create_time": TIME,
    "recall_time": 0,
    "recall_cause": None,
    "status": 1,
    "type": None,
}
NOTICE = {"information_id": "41", "app_id": "a", "group_id": "g", "user_id": "u", "title": "t"} | {
    "content": "c",
    "create_time": TIME,
    "delete_time": 0,
    "jump_url": None,
    "status": 1,
    "type": None,
}


def message(**fields: Any) -> AdoptedMessage:
    return message_of([(MESSAGE | fields)[name] for name in MESSAGE_VIEW_COLUMNS])


def notice(**fields: Any) -> AdoptedNotice:
    return notice_of([(NOTICE | fields)[name] for name in NOTICE_VIEW_COLUMNS])


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, AdoptedMessage(41, "a", "g", "u", "c", TIME, 0, None, 1, None)),
        (
            {"content": None, "recall_time": None, "status": None},
            AdoptedMessage(41, "a", "g", "u", "", TIME, 0, None, 1, None),
        ),
        (
            {"status": 0, "recall_time": 9, "recall_cause": "why", "content": "x" * 70_000},
            AdoptedMessage(41, "a", "g", "u", "", TIME, 9, "why", 0, None),
        ),
        (
            {"content": "\0\u2028'\"\\"},
            AdoptedMessage(41, "a", "g", "u", "\0\u2028'\"\\", TIME, 0, None, 1, None),
        ),
        (
            {"message_id": str(2**63 - 1)},
            AdoptedMessage(2**63 - 1, "a", "g", "u", "c", TIME, 0, None, 1, None),
        ),
        ({"type": -(2**31)}, AdoptedMessage(41, "a", "g", "u", "c", TIME, 0, None, 1, -(2**31))),
    ],
)
def test_a_message_keeps_what_it_says(fields: dict[str, Any], expected: AdoptedMessage):
    assert message(**fields) == expected


@pytest.mark.parametrize(
    ("column", "value"),
    [
        *(
            ("message_id", value)
            for value in ("", "x", "0", "-1", "041", "+41", " 41", "41 ", "4e1", str(2**63))
        ),
        *(
            (name, value)
            for name in ("app_id", "group_id", "user_id")
            for value in ("", " a", "a ", "a\nb", "\u3000a", "x" * 128)
        ),
        ("group_id", None),
        ("user_id", b"\xff"),
        ("content", "\u20ac" * 21_846),
        *((name, -1) for name in ("create_time", "recall_time")),
        ("create_time", "x"),
        ("recall_cause", "x" * 256),
        ("status", 2),
        ("type", 2**31),
    ],
)
def test_a_message_that_can_not_be_ours_is_told_with_its_column(column: str, value: Any):
    with pytest.raises(Unfit, match=f"^{column} .*must be "):
        message(**{column: value})


def test_a_notice_keeps_what_it_says():
    nulls = dict.fromkeys(("title", "content", "create_time", "delete_time", "status"))
    assert notice(**nulls) == AdoptedNotice(41, "a", "g", "u", None, "", 0, 0, None, 1, None)
    assert notice(status=0, delete_time=9) == AdoptedNotice(
        41, "a", "g", "u", "t", "c", TIME, 9, None, 0, None
    )


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("information_id", "07"),
        ("title", "x" * 256),
        ("jump_url", "x" * 2049),
        ("jump_url", " java\tscript:alert(1)"),
        ("delete_time", -1),
    ],
)
def test_a_notice_that_can_not_be_ours_is_told_with_its_column(column: str, value: Any):
    with pytest.raises(Unfit, match=f"^{column} .*must be "):
        notice(**{column: value})


def test_each_row_of_a_chunk_has_one_outcome():
    known = message(message_id="1", content="first")
    recalled = message(message_id="4", status=0, recall_time=9)
    rows = [
        message(message_id="1", content="first"),  # 0: the same as one that exists
        message(message_id="1", content="second"),  # 1: differs from it
        message(message_id="1", status=0, recall_time=5),  # 2: recalls it
        message(message_id="2"),  # 3: new
        message(message_id="2", app_id="b"),  # 4: new, the same id in another app
        message(message_id="2"),  # 5: the same as a new one
        message(message_id="2", user_id="v"),  # 6: differs from a new one
        message(message_id="3"),  # 7: new, then recalled
        message(message_id="3", status=0, recall_time=6),  # 8
        message(message_id="4"),  # 9: recalled already, stays so
    ]
    result = sort_rows(enumerate(rows), {known.key: known, recalled.key: recalled})
    assert result.new == {("a", 2): rows[3], ("b", 2): rows[4], ("a", 3): rows[8]}
    assert result.retiring == {("a", 1): rows[2]}
    assert result.same == 5
    assert result.differing == [1, 6]


def test_notices_are_compared_with_all_that_they_say():
    assert notice().is_same(notice(status=0, delete_time=9))
    for column in ("group_id", "user_id", "title", "content", "jump_url"):
        assert not notice().is_same(notice(**{column: "else"}))
    assert not notice().is_same(message())


def test_gaps_among_the_newest_ids_are_kept_until_rows_are_found_there():
    gaps = gaps_after([], None, [3, 4, 8])
    assert gaps == [(1, 2), (5, 7)]
    assert holds(gaps, 6)
    assert not holds(gaps, 4)
    assert without(gaps, [1, 6]) == [(2, 2), (5, 5), (7, 7)]
    assert without(gaps, [1, 2, 5, 6, 7]) == []
    assert gaps_after(gaps, 8, [9]) == gaps
    assert gaps_after(gaps, 8, [6 + WINDOW]) == [(6, 7), (9, 5 + WINDOW)]
    assert gaps_after(gaps, 8, [10**15]) == [(10**15 - WINDOW, 10**15 - 1)]
    assert gaps_after([], None, [-5, -3]) == [(-4, -4)]


def reject(id_: int = 17, value: object = "v") -> Reject:
    return Reject("imc_chat_message", id_, "why", ("message_id",), (value,))


def test_a_rejected_row_is_a_line():
    line = reject(value="\n\u2028'\0").line
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    row = {"message_id": "\n\u2028'\0"}
    assert orjson.loads(line) == {"table": "imc_chat_message", "id": 17, "reason": "why", "row": row}
    assert orjson.loads(reject(value=b"\xff").line)["row"] == {"message_id": "/w=="}


def test_what_was_not_committed_is_cut_off(tmp_path: Path):
    file = RejectsFile(tmp_path / "rejects")
    file.claim()
    file.check(0)
    first, second = reject(1).line, reject(2).line
    file.write([first], 0)
    file.write([second, second], len(first))
    file.check(len(first))
    file.write([second], len(first))
    assert file.path.read_bytes() == first + second


def test_a_file_that_is_not_as_it_was_left_is_not_touched(tmp_path: Path):
    file = RejectsFile(tmp_path / "rejects")
    with pytest.raises(AdoptionError, match="is gone"):
        file.check(5)
    file.path.write_bytes(b"somebody else's\n")
    for length in (5, 100):
        with pytest.raises(AdoptionError, match="not as it was left"):
            file.check(length)
    with pytest.raises(AdoptionError, match="exists"):
        file.claim()
    link = RejectsFile(tmp_path / "link")
    link.path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(AdoptionError, match="can't use"):
        link.write([b""], 0)
    with pytest.raises(AdoptionError, match="can't use"):
        RejectsFile(tmp_path / "none" / "rejects").write([b""], 0)


@pytest.mark.parametrize(
    ("arguments", "variable", "message"),
    [
        ([], None, "--from URL, or IMC_ADOPT_FROM"),
        (["--from", "mysql://u:secret@h/d"], None, "set IMC_ADOPT_FROM"),
        (["--from", "sqlite:///x"], None, "MySQL or MariaDB"),
        (["--from", "http://secret"], None, "must begin with mysql"),
        ([], "sqlite:///x", "MySQL or MariaDB"),
    ],
)
def test_a_source_that_can_not_be_used_is_told_without_its_password(
    arguments: list[str], variable: str | None, message: str
):
    with pytest.raises(ValueError, match=message) as error:
        order(arguments, variable)
    assert "secret" not in str(error.value)


def order(arguments: list[str], variable: str | None) -> Any:
    parser = Program("p", "imc-command-api", "", (), "").parser()
    add_arguments(parser)
    variables = {"IMC_DATABASE_URL": "sqlite:///ours"} | ({"IMC_ADOPT_FROM": variable} if variable else {})
    settings = load(MigrateSettings, variables)
    return order_of(parser.parse_args(arguments), settings)


def test_a_source_is_named_without_its_account():
    assert order([], "mysql://u:secret@h:77/d").source_name == "h:77/d"
    assert order(["--from", "mysql://u@h/d"], "mysql://u:secret@other/d").source_name == "h:3306/d"
    assert order([], "mysql://u@h/d?unix_socket=/run/s").source_name == "/run/s/d"
