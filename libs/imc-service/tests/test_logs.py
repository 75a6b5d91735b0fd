import asyncio
import json
import sys
from typing import Any

import pytest

PROGRAM = r"""
import logging
from imc_service.logs import configure, get_logger

configure("test-service", LEVEL)
logger = get_logger("part")
for text in TEXTS:
    logger.info("event " + text, field=text, nested={"k": [text]})
logger.info("numbers", big=2**70, negative=-(2**70), none=None, data=b"\xff", kind=ValueError("v"))
logger.info("keys", mapping={1: "a", ("t",): "b", None: "c"})
logger.info("not a number", value=float("nan"))
logger.debug("not at this level")
try:
    raise ValueError("line one\nline two\u2028")
except ValueError as error:
    logger.error("failed", exc_info=error)
    logger.exception("failed again")
    logging.getLogger("library").exception("a %s\nof a library", "fault")
logging.getLogger("library").info("at info")
logging.getLogger("uvicorn.error").info("chatter")
logging.getLogger("uvicorn.error").warning("no chatter")
logger.warning("last")
"""

TEXTS = [
    "plain",
    "a\nb",
    "a\r\nb",
    "\x00\x01\x1b[31m",
    "\x0b\x0c\x1c\x85",
    "\u2028\u2029",
    '"\\',
    "é😀",
    "\ud800",
    "{}%s",
]


async def events(level: str) -> list[dict[str, Any]]:
    """What a process logs, a line an event, by the strictest meaning of a line."""
    source = PROGRAM.replace("TEXTS", ascii(TEXTS)).replace("LEVEL", repr(level))
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", source, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    output, errors = await process.communicate()
    assert (process.returncode, output) == (0, b"")
    return [json.loads(line, parse_constant=pytest.fail) for line in errors.decode().splitlines()]


async def test_one_event_is_one_line_whatever_it_holds() -> None:
    told = await events("info")
    for event in told:
        assert event["service"] == "test-service"
        assert event["level"] in ("info", "warning", "error")
        assert event["timestamp"].endswith("Z")
    texts = told[: len(TEXTS)]
    assert [event["event"] for event in texts] == [f"event {text}" for text in TEXTS]
    assert [event["field"] for event in texts] == TEXTS
    assert [event["nested"] for event in texts] == [{"k": [text]} for text in TEXTS]
    assert {event["component"] for event in texts} == {"part"}

    rest = {event["event"]: event for event in told[len(TEXTS) :]}
    assert rest["numbers"]["big"] == 2**70
    assert rest["numbers"]["data"] == r"b'\xff'"
    assert rest["numbers"]["kind"] == "ValueError('v')"
    assert rest["keys"]["mapping"]["1"] == "a"
    assert rest["not a number"]["value"] in (None, "nan")
    for event in ("failed", "failed again", "a fault"):
        error, place = rest[event]["exception"].split("\n")
        assert error == "ValueError"
        assert place.startswith("  <string>:")
    assert list(rest)[-4:] == ["a fault", "at info", "no chatter", "last"]


async def test_words_of_others_are_told_at_debug_alone() -> None:
    told = {event["event"]: event for event in await events("debug")}
    assert "line one\nline two\u2028" in told["failed"]["exception"]
    assert "Traceback" in told["failed again"]["exception"]
    assert "Traceback" in told["a fault\nof a library"]["exception"]


@pytest.mark.parametrize(
    ("level", "first", "last"),
    [
        ("debug", "event plain", "last"),
        ("warning", "failed", "last"),
        ("error", "failed", "a fault"),
    ],
)
async def test_less_than_the_level_is_not_told(level: str, first: str, last: str) -> None:
    told = [event["event"] for event in await events(level)]
    assert (told[0], told[-1]) == (first, last)
    assert ("not at this level" in told) == (level == "debug")
