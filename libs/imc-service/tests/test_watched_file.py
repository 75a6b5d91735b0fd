"""The text of a file, and what a change of the file leads to."""

from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Annotated

import pytest
from imc_service import ticks, watched_file
from imc_service.settings import Settings, SettingsError, load
from imc_service.watched_file import FileFault, in_force, usable_by
from imc_testkit.waiting import wait_until
from prometheus_client import CollectorRegistry, Gauge


class Number:
    """What is in force: a number above 0."""

    def __init__(self) -> None:
        self.value = 0
        self.suffix = ""
        self.reads = 0

    def read(self, text: str, suffix: str) -> None:
        self.reads += 1
        if int(text) <= 0:
            raise ValueError("it is not above 0")
        self.value, self.suffix = int(text), suffix


class File:
    """A file that is replaced as orchestrators do: by another that comes into its place."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.write(1)

    def write(self, value: int) -> None:
        new = self.path.with_name("new")
        new.write_text(str(value))
        new.rename(self.path)

    def remove(self) -> None:
        self.path.unlink()


class NumberSettings(Settings):
    number_file: Annotated[Path, usable_by(lambda text, suffix: Number().read(text, suffix))]


@pytest.fixture
def file(tmp_path: Path) -> File:
    return File(tmp_path / "number.toml")


@pytest.fixture
def stale() -> Gauge:
    return Gauge("stale", "Stale.", registry=CollectorRegistry())


@pytest.fixture
def fault(stale: Gauge) -> FileFault:
    return FileFault(stale)


@pytest.fixture
async def number(file: File, fault: FileFault) -> AsyncGenerator[Number]:
    number = Number()
    async with in_force(number.read, file.path, fault):
        yield number


def value_of(gauge: Gauge) -> float:
    return next(iter(gauge.collect())).samples[0].value


def test_a_file_that_can_not_be_used_stops_the_start(file: File, tmp_path: Path) -> None:
    assert load(NumberSettings, {"IMC_NUMBER_FILE": str(file.path)}).number_file == file.path
    file.write(-1)
    with pytest.raises(SettingsError, match="it is not above 0"):
        load(NumberSettings, {"IMC_NUMBER_FILE": str(file.path)})
    with pytest.raises(SettingsError, match="it can't be read"):
        load(NumberSettings, {"IMC_NUMBER_FILE": str(tmp_path / "missing")})


async def test_a_changed_file_is_in_force_soon(number: Number, file: File) -> None:
    assert (number.value, number.suffix) == (1, ".toml")
    file.write(2)
    await wait_until(lambda: number.value == 2)


async def test_a_file_that_went_wrong_leaves_the_old_content_and_is_told(
    number: Number, file: File, stale: Gauge, fault: FileFault
) -> None:
    file.write(-2)
    await wait_until(lambda: value_of(stale) == 1)
    assert number.value == 1
    assert fault.words() == "number.toml can't be used, its older content stays: it is not above 0"
    file.write(33)
    await wait_until(lambda: value_of(stale) == 0)
    assert fault.words() is None
    file.remove()
    await wait_until(lambda: value_of(stale) == 1)
    assert number.value == 33
    file.write(34)
    await wait_until(lambda: value_of(stale) == 0)
    assert number.value == 34


async def test_a_change_while_the_file_is_read_is_noticed(
    file: File, fault: FileFault, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both at the start and later: what was read may be of before it."""
    number = Number()

    def read_and_change(text: str, suffix: str) -> None:
        number.read(text, suffix)
        if number.reads < 4:
            file.write(10**number.reads)

    monkeypatch.setattr(watched_file, "LOOK_SECONDS", 0.01)
    async with in_force(read_and_change, file.path, fault):
        await wait_until(lambda: number.value == 1000)


async def test_a_file_that_stays_is_not_read_again(
    file: File, fault: FileFault, monkeypatch: pytest.MonkeyPatch
) -> None:
    stamp, pause, number = watched_file._stamp, ticks.pause, Number()  # pyright: ignore[reportPrivateUsage]
    looks = pauses = 0

    def counted_stamp(path: Path) -> object:
        nonlocal looks
        looks += 1
        return stamp(path)

    def counted_pause(seconds: float) -> float:
        nonlocal pauses
        pauses += 1
        return pause(seconds)

    monkeypatch.setattr(watched_file, "LOOK_SECONDS", 0.001)
    monkeypatch.setattr(watched_file, "_stamp", counted_stamp)
    monkeypatch.setattr(ticks, "pause", counted_pause)
    async with in_force(number.read, file.path, fault):
        await wait_until(lambda: looks > 5)
    assert number.reads == 1
    assert pauses >= looks - 1, "there is a pause before each look but the first"


def test_a_change_is_looked_for_often_enough_for_what_is_promised() -> None:
    assert watched_file.LOOK_SECONDS <= 2, "the settings' descriptions say two seconds"
