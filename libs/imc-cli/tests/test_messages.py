"""Sends, recalls, notices and what is read back, against a standalone that asks for tokens."""

import json
from pathlib import Path
from typing import Any

import pytest
from imc_testkit.command import Imc
from imc_testkit.tokens import token
from imc_testkit.waiting import wait_until

pytestmark = pytest.mark.programs


def lines(printed: str) -> list[Any]:
    return [json.loads(line) for line in printed.splitlines()]


def sent(imc: Imc, app_id: str, content: str, *more: str) -> str:
    """Send a message; its id."""
    options = ("--app", app_id, "--group", "lobby", "--user", "ann", "--json", *more)
    [receipt] = lines(imc("send", *options, content))
    return receipt["messageId"]


async def stored(imc: Imc, app_id: str, count: int) -> list[Any]:
    """The messages of the group once there are so many."""
    found: list[Any] = []

    async def are_there() -> bool:
        found[:] = lines(imc("history", "--app", app_id, "--group", "lobby", "--limit", "500", "--json"))
        return len(found) == count

    await wait_until(are_there, what="messages to be stored")
    return found


async def test_what_is_sent_is_read_again(imc: Imc, app_id: str) -> None:
    first = sent(imc, app_id, "hello 世界")
    second = sent(imc, app_id, "", "--type", "7")
    found = await stored(imc, app_id, 2)
    assert [each["messageId"] for each in found] == [first, second]
    assert (found[0]["content"], found[0]["type"], found[1]["type"]) == ("hello 世界", None, 7)
    listed = imc("history", "--app", app_id, "--group", "lobby").splitlines()
    assert listed[0] == "TIME\tMESSAGE\tGROUP\tUSER\tCONTENT"
    assert listed[1].split("\t")[1:] == [first, "lobby", "ann", "hello 世界"]
    assert lines(imc("history", "--app", app_id, "--message", second, "--json")) == [found[1]]
    assert imc("history", "--app", app_id, "--user", "bob").splitlines() == listed[:1]
    [group] = lines(imc("groups", "--app", app_id, "--json"))
    assert (group["groupId"], group["messageTotal"], group["newMessage"]["messageId"]) == ("lobby", 2, second)
    assert imc("groups", "--app", app_id, "--user", "ann").splitlines()[1].startswith("lobby\t2\t")


async def test_a_send_with_the_same_id_stays_one_message(imc: Imc, app_id: str) -> None:
    options = ("--app", app_id, "--group", "lobby", "--user", "ann", "--client-message-id", "one")
    [first, again] = (lines(imc("send", *options, "--json", "once"))[0] for _ in range(2))
    assert first["messageId"] == again["messageId"]
    assert (first["duplicate"], again["duplicate"]) == (False, True)
    assert "it was sent before" in imc("send", *options, "once")
    assert "40904" in imc.refused("send", *options, "something else")


async def test_each_line_is_a_message_and_pages_have_all_of_them(imc: Imc, app_id: str) -> None:
    options = ("--app", app_id, "--group", "lobby", "--user", "ann")
    typed = "".join(f"line {number}\n" for number in range(1_201)).encode()
    assert imc("send", *options, typed=typed) == "1201 sent, 0 refused\n"
    counted: list[int] = []

    async def are_there() -> bool:
        [group] = lines(imc("groups", "--app", app_id, "--json")) or [{"messageTotal": 0}]
        counted[:] = [group["messageTotal"]]
        return counted == [1_201]

    await wait_until(are_there, what="messages to be stored")
    every = lines(imc("history", "--app", app_id, "--group", "lobby", "--all", "--json"))
    assert [each["content"] for each in every] == [f"line {number}" for number in reversed(range(1_201))]
    oldest = every[-1]["messageId"]
    after = imc("history", "--app", app_id, "--group", "lobby", "--all", "--after", oldest).splitlines()
    assert [each.split("\t")[4] for each in after[1:]] == [f"line {number}" for number in range(1, 1_201)]
    newest = imc("history", "--app", app_id, "--group", "lobby", "--limit", "2", "--before", oldest)
    assert len(newest.splitlines()) == 1


async def test_a_line_that_is_refused_is_told_and_the_others_are_sent(imc: Imc, app_id: str) -> None:
    done = imc.run("send", "--app", app_id, "--group", " x", "--user", "ann", typed=b"a\nb\n")
    assert (done.returncode, done.stdout) == (1, "0 sent, 2 refused\n")
    assert "line 1 was refused: 40001: messages[0].groupId is not valid" in done.stderr
    assert "line 2 was refused" in done.stderr
    options = ("--app", app_id, "--group", "lobby", "--user", "ann")
    assert "line 2 of standard input is not UTF-8" in imc.refused("send", *options, typed=b"a\n\xff\n")
    assert "line 1 of standard input is longer" in imc.refused("send", *options, typed=b"x" * 70_000)


async def test_a_recall_is_final_and_told_once(imc: Imc, app_id: str) -> None:
    message_id = sent(imc, app_id, "secret words")
    printed = imc("recall", "--app", app_id, "--cause", "wrong group", message_id)
    assert printed.startswith(f"{message_id}  recalled 20")
    assert "40901" in imc.refused("recall", "--app", app_id, message_id)
    assert "40401" in imc.refused("recall", "--app", app_id, "12345")
    [message] = await stored(imc, app_id, 1)
    assert (message["content"], message["recallCause"], message["status"]) == ("", "wrong group", 0)
    assert "(recalled)" in imc("history", "--app", app_id, "--group", "lobby")


async def test_notices_are_published_listed_and_deleted(imc: Imc, app_id: str) -> None:
    where = ("--app", app_id, "--group", "lobby")
    published = imc("notice", "publish", *where, "--user", "admin", "--title", "News", "closed", "--json")
    [receipt] = lines(published)
    notice_id = receipt["informationId"]
    assert notice_id in imc("notice", "list", *where)
    [notice] = lines(imc("notice", "list", *where, "--json"))
    assert (notice["informationId"], notice["title"], notice["content"]) == (notice_id, "News", "closed")
    assert f"{notice_id}  deleted" in imc("notice", "delete", "--app", app_id, notice_id)
    assert lines(imc("notice", "list", *where, "--json")) == []
    assert "(deleted) News" in imc("notice", "list", *where, "--deleted", "--all")


async def test_content_can_not_steer_a_terminal(imc: Imc, app_id: str) -> None:
    nasty = "red \x1b[31m\ttab \u202e turned"
    sent(imc, app_id, nasty)
    [message] = await stored(imc, app_id, 1)
    assert message["content"] == nasty
    shown = imc("history", "--app", app_id, "--group", "lobby").splitlines()[1]
    assert shown.endswith(r"red \x1b[31m\ttab \u202e turned")


def test_a_token_that_does_not_allow_it_is_told_with_a_cure(imc: Imc, app_id: str, tmp_path: Path) -> None:
    call = ("groups", "--app", app_id)
    assert "imc token mint" in imc.with_(IMC_TOKEN="").refused(*call)
    narrow = imc.with_(IMC_TOKEN=token(scope="send"))
    assert "its scope must hold read" in narrow.refused(*call)
    file = tmp_path / "token"
    assert "can't be read: No such file" in imc.refused(*call, "--token-file", str(file))
    file.write_text(token() + "\n")
    assert narrow(*call, "--token-file", str(file)).startswith("GROUP")
    assert narrow.with_(IMC_TOKEN_FILE=str(file))(*call).startswith("GROUP")
    told = imc.with_(IMC_TOKEN="not\na token").refused(*call)
    assert "IMC_TOKEN holds no token" in told
    assert "not" not in told.partition("IMC_TOKEN")[2].split("holds")[0]


def test_an_installation_that_is_away_is_told_with_a_cure(alone: Imc) -> None:
    away = alone.with_(IMC_URL="http://127.0.0.1:1")
    assert "--url or IMC_URL says where" in away.refused("groups", "--app", "a")
    said = alone.with_(IMC_URL="http://user:word@127.0.0.1:1").refused("groups", "--app", "a")
    assert "reached at http://127.0.0.1:1:" in said
    said = away.refused("send", "-a", "a", "-g", "g", "-u", "u", "hello")
    assert "To send it again, add --client-message-id imc-" in said
    assert "url must be ws://HOST" in alone.refused("groups", "--app", "a", "--url", "localhost", code=2)


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["history", "--app", "a"], "Name a --group, a --user, or both"),
        (["history", "--app", "a", "--group", "g", "--before", "1", "--all"], "--before goes neither"),
        (["history", "--app", "a", "--group", "g", "--limit", "501"], "501 is not in the range 1<=x<=500"),
        (["history", "--app", "a", "--group", "g", "--since", "yesterday"], "Write how long ago"),
        (["notice", "list", "--app", "a"], "Name a --group, a --user, or both"),
        (["send", "--app", "a", "--group", "g", "--user", "u", "--client-message-id", "x"], "one message"),
        (["send", "--group", "g", "--user", "u", "x"], "Missing option '--app'"),
        (["groups"], "Missing option '--app'"),
    ],
)
def test_what_makes_no_sense_is_an_error_of_usage(alone: Imc, arguments: list[str], part: str) -> None:
    assert part in alone.refused(*arguments, code=2)


async def test_times_bound_the_history(imc: Imc, app_id: str) -> None:
    sent(imc, app_id, "now")
    await stored(imc, app_id, 1)
    call = ("history", "--app", app_id, "--group", "lobby", "--json")
    assert len(lines(imc(*call, "--since", "1h"))) == 1
    assert lines(imc(*call, "--until", "2026-01-01")) == []
    assert lines(imc(*call, "--since", "9999-01-01T00:00Z")) == []
