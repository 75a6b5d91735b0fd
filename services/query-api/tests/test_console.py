"""The files of the console: served as they are, whole in both languages, and nothing from elsewhere."""

import re
from collections.abc import AsyncGenerator
from importlib.resources import files
from pathlib import Path
from typing import Any

import httpx
import pytest
from imc_contracts.codes import CloseCode, ErrorCode
from imc_testkit.tokens import JWT

FOLDER = Path(str(files("imc_query_api"))) / "console"
SOURCES = {str(path.relative_to(FOLDER)): path.read_text() for path in FOLDER.rglob("*") if path.is_file()}
SCRIPTS = {name: text for name, text in SOURCES.items() if name.endswith(".js")}
CODE = "\n".join(text for name, text in SCRIPTS.items() if not name.startswith("texts/"))
TYPES = {"html": "text/html", "css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
MOST_BYTES = 160_000

NOT_SHOWN = {
    ErrorCode.METHOD_NOT_ALLOWED,
    ErrorCode.REQUEST_TOO_SLOW,
    ErrorCode.CLIENT_MESSAGE_ID_REUSED,
    ErrorCode.REPLACED,
    ErrorCode.BODY_TOO_LARGE,
    ErrorCode.UNSUPPORTED_MEDIA_TYPE,
    ErrorCode.HEADERS_TOO_LARGE,
}
"""Failures that no call of the console can meet; should one do so, it is shown by its code."""


@pytest.fixture
async def stranger(serving: Any, shared_sqlite_url: str) -> AsyncGenerator[httpx.AsyncClient]:
    """A client without a token of a query-api that asks for tokens."""
    async with serving(shared_sqlite_url, JWT) as client:
        yield client


def texts(language: str) -> dict[str, str]:
    """The texts of a language, by their keys."""
    found = re.findall(r'^  "?([\w-]+)"?:\s+(".*"),$', SOURCES[f"texts/{language}.js"], re.MULTILINE)
    return dict(found)


async def test_each_file_is_served_to_anyone(stranger: httpx.AsyncClient) -> None:
    for name, text in SOURCES.items():
        reply = await stranger.get(f"/console/{name}")
        assert (reply.status_code, reply.text) == (200, text), name
        assert reply.headers["content-type"].startswith(TYPES[name.rpartition(".")[2]]), name
    first = await stranger.get("/console/")
    assert first.text == SOURCES["index.html"]


async def test_nothing_beside_the_files_is_served(stranger: httpx.AsyncClient) -> None:
    for path in (
        "none.js",
        "views",
        "views/",
        "..%2fhttp%2fconsole.py",
        "%2fetc%2fpasswd",
        "main.js%00",
        "MAIN.JS",
    ):
        reply = await stranger.get(f"/console/{path}")
        assert (reply.status_code, reply.json()["code"]) == (404, 40400), path
    assert (await stranger.post("/console/")).status_code == 405
    assert (await stranger.get("/consoles/")).status_code == 401


async def test_older_addresses_lead_to_it(stranger: httpx.AsyncClient) -> None:
    for path in ("/", "/console", "/test.html"):
        reply = await stranger.get(path)
        assert (reply.status_code, reply.headers["location"]) == (307, "console/"), path


async def test_browsers_are_told_to_load_and_run_nothing_else(stranger: httpx.AsyncClient) -> None:
    policy = (await stranger.get("/console/")).headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    assert not re.search(r"https?:|wss?:|data:|blob:|\*", policy)
    assert "trusted-types 'none'" in policy


@pytest.mark.parametrize("name", SOURCES)
def test_a_file_names_no_other_host(name: str) -> None:
    assert set(re.findall(r"\b(?:https?|wss?)://[\w.]+", SOURCES[name])) <= {"http://www.w3.org"}


def test_modules_import_each_other_alone() -> None:
    imported = {
        str(Path(name).parent / target)
        for name, text in SCRIPTS.items()
        for target in re.findall(r'^import .* from "(\./.+|\.\./.+)";$', text, re.MULTILINE)
    }
    resolved = {str((FOLDER / each).resolve().relative_to(FOLDER)) for each in imported}
    assert resolved == SCRIPTS.keys() - {"main.js"}
    assert len(re.findall(r"^import ", "\n".join(SCRIPTS.values()), re.MULTILINE)) == len(
        re.findall(r'^import .* from "\.', "\n".join(SCRIPTS.values()), re.MULTILINE)
    )


def test_it_is_small() -> None:
    assert sum(len(text.encode()) for text in SOURCES.values()) < MOST_BYTES
    assert {name: text.count("\n") for name, text in SCRIPTS.items() if text.count("\n") > 400} == {}


def test_text_never_becomes_markup_or_code() -> None:
    ways = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function"
    assert re.findall(ways, CODE) == []


def test_tokens_are_kept_for_the_tab_alone() -> None:
    assert re.findall(r"localStorage\.\w+\((\w+)", CODE) == ["KEY", "KEY"]
    assert SCRIPTS["language.js"].count("localStorage") == CODE.count("localStorage")
    assert "document.cookie" not in CODE


def test_both_languages_have_the_same_texts_with_the_same_values() -> None:
    english, chinese = texts("en"), texts("zh")
    assert english.keys() == chinese.keys()
    assert len(english) > 200
    for key, text in english.items():
        assert set(re.findall(r"\{\w+\}", text)) == set(re.findall(r"\{\w+\}", chinese[key])), key


def test_chinese_is_chinese_and_english_is_english() -> None:
    same_in_both = {"v1", "SQLite", "WebSocket", "{used} / {most}"}
    for key, text in texts("zh").items():
        assert re.search(r"[\u4e00-\u9fff]", text) or text.strip('"') in same_in_both, key
    assert re.findall(r"[\u4e00-\u9fff]", "".join(texts("en").values())) == []


def test_every_text_that_is_shown_is_there_and_every_text_is_shown() -> None:
    keys = texts("en").keys()
    assert set(re.findall(r'\bt\("([\w-]+)"', CODE)) <= keys
    assert set(re.findall(r'\b(?:label|title): "(\w+)"', CODE)) <= keys
    # Keys of which the code writes only how they begin or end.
    made = (
        "fault|cure|close|kind_|state_|quota_|database_|event_|tail_|door_|transport_|"
        "(?:replay|drop)(?:Title|Text|Done)"
    )
    assert {key for key in keys if f'"{key}"' not in CODE and not re.match(made, key)} == set()


def test_every_failure_is_told_with_its_cure() -> None:
    for code in set(ErrorCode) - NOT_SHOWN:
        assert {f"fault{int(code)}", f"cure{int(code)}"} <= texts("en").keys(), code


def test_every_close_code_is_explained() -> None:
    assert {f"close{int(code)}" for code in CloseCode} <= texts("en").keys()


def test_it_calls_v1_alone() -> None:
    paths = re.findall(r"[\"`](/[\w/$]+)", CODE)
    assert len(paths) > 10
    assert [path for path in paths if not path.startswith("/v1/")] == []
