"""Exports of an app, a group and a user, and what becomes of one that breaks off."""

import asyncio
import contextlib
import json
import os
from pathlib import Path
from typing import Any

import pytest
from imc_cli.exporting import lines_of, opened
from imc_cli.failures import Failure
from imc_testkit.command import Imc, program
from imc_testkit.waiting import wait_until

SUBJECT = {"appId": "demo", "groupId": None, "userId": None}


def documents(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def contents(text: str) -> list[str]:
    return [next(iter(each.values()))["content"] for each in documents(text)]


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


async def write(imc: Imc, app_id: str) -> None:
    """Send three messages and a notice, recall one, and wait until all of it is stored."""
    for group, user, content in (("a", "ann", "one"), ("b", "bob", "two 世界"), ("a", "bob", "three")):
        sent = imc("send", "--app", app_id, "--group", group, "--user", user, content)
    imc("notice", "publish", "--app", app_id, "--group", "a", "--user", "ann", "closed")

    async def are_stored() -> bool:
        return len(documents(imc("export", "--app", app_id))) == 4

    await wait_until(are_stored)
    imc("recall", "--app", app_id, sent.split()[0])


@pytest.mark.programs
async def test_an_app_a_group_and_a_user_are_exported(imc: Imc, app_id: str, tmp_path: Path) -> None:
    await write(imc, app_id)
    output = tmp_path / "all.ndjson"
    assert imc("export", "--app", app_id, "--output", str(output)) == (
        f"4 messages and notices are in {output}\n"
    )
    assert names_in(tmp_path) == ["all.ndjson"]
    whole = output.read_text("utf-8")
    assert imc("export", "--app", app_id) == whole
    assert [*map(list, documents(whole))] == [["message"], ["message"], ["message"], ["notice"]]
    assert contents(whole) == ["one", "two 世界", "", "closed"]
    [stored] = imc("history", "--app", app_id, "--user", "ann", "--json").splitlines()
    assert documents(whole)[0] == {"message": json.loads(stored)}
    assert contents(imc("export", "--app", app_id, "--group", "a")) == ["one", "", "closed"]
    assert contents(imc("export", "--app", app_id, "--user", "bob")) == ["two 世界", ""]
    assert contents(imc("export", "--app", app_id, "--user", "bob", "--group", "b")) == ["two 世界"]
    assert imc("export", "--app", f"{app_id}-other") == ""
    assert "is there already" in imc.refused("export", "--app", app_id, "--output", str(output))
    assert output.read_text("utf-8") == whole
    nowhere = str(tmp_path / "nowhere" / "all.ndjson")
    assert "can't be written" in imc.refused("export", "--app", app_id, "--output", nowhere)


def moved_at(position: Path) -> int:
    """When an export last noted how far it is; 0 if it has not, or has ended."""
    try:
        return position.stat().st_mtime_ns
    except FileNotFoundError:
        return 0


@pytest.mark.programs
async def test_an_export_that_is_killed_goes_on(imc: Imc, app_id: str, tmp_path: Path) -> None:
    await write(imc, app_id)
    for number in range(6):
        text = "".join(f"{number}-{line}\n" for line in range(500))
        imc("send", "--app", app_id, "--group", "a", "--user", "ann", typed=text.encode())

    async def are_stored() -> bool:
        return len(documents(imc("export", "--app", app_id))) == 3004

    await wait_until(are_stored)
    output, position = tmp_path / "all.ndjson", tmp_path / "all.ndjson.position"
    while not output.exists():
        before = moved_at(position)
        export = await asyncio.create_subprocess_exec(
            *(program(), "export", "--app", app_id, "--output", str(output)),
            env=imc.environment,
            stdout=asyncio.subprocess.DEVNULL,
        )

        def has_moved_on(before: int = before) -> bool:
            return output.exists() or moved_at(position) > before

        await wait_until(has_moved_on)
        with contextlib.suppress(ProcessLookupError):
            export.kill()
        await export.wait()
    assert output.read_text("utf-8") == imc("export", "--app", app_id)


def test_what_was_written_after_the_last_whole_page_is_written_again(tmp_path: Path) -> None:
    output = tmp_path / "all.ndjson"
    with pytest.raises(KeyboardInterrupt), opened(output, SUBJECT) as file:
        file.add(lines_of("message", [{"content": "one"}]), "7-7")
        raise KeyboardInterrupt
    part = tmp_path / "all.ndjson.part"
    with part.open("ab") as file:
        file.write(b'{"message": {"cont')
    with opened(output, SUBJECT) as again:
        assert (again.kinds_done, again.after, again.count) == (0, "7-7", 1)
        again.add(lines_of("message", [{"content": "two"}]), None)
        assert (again.kinds_done, again.after) == (1, None)
        again.add([], None)
    assert contents(output.read_text()) == ["one", "two"]
    assert names_in(tmp_path) == ["all.ndjson"]


def test_a_page_and_then_its_place_are_whole_on_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced = list[int]()
    monkeypatch.setattr(os, "fsync", lambda descriptor: synced.append(os.fstat(descriptor).st_size))  # pyright: ignore
    output = tmp_path / "all.ndjson"
    with pytest.raises(KeyboardInterrupt), opened(output, SUBJECT) as file:
        for number in range(2):
            file.add(lines_of("message", [{"content": "one"}]), f"7-{number}")
            names = ("all.ndjson.part", "all.ndjson.position")
            assert synced == [(tmp_path / name).stat().st_size for name in names]
            synced.clear()
        raise KeyboardInterrupt


def test_a_part_of_another_export_stays_as_it_is(tmp_path: Path) -> None:
    output = tmp_path / "all.ndjson"
    with pytest.raises(KeyboardInterrupt), opened(output, SUBJECT) as file:
        file.add(lines_of("message", [{"content": "one"}]), "7-7")
        raise KeyboardInterrupt
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(Failure, match="no part of this export"), opened(output, {**SUBJECT, "groupId": "a"}):
        pass
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before
    (tmp_path / "all.ndjson.part").write_bytes(b"")
    with pytest.raises(Failure, match="no part of this export"), opened(output, SUBJECT):
        pass
    (tmp_path / "all.ndjson.position").write_text("{")
    with pytest.raises(Failure, match="can't be read"), opened(output, SUBJECT):
        pass
