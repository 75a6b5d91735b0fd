"""Questions with bounds, as fields of dataclasses; their answers come from flags and a TOML file."""

import argparse
import tomllib
from collections.abc import Mapping
from dataclasses import Field, dataclass, field, fields
from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeVar


class BadAnswer(Exception):
    """An answer makes no sense. The text names the question, its bounds, and what to do."""


@dataclass(frozen=True)
class Bounds:
    """What an answer may be, both ends included."""

    low: float
    high: float
    unit: str
    is_whole: bool

    def __str__(self) -> str:
        kind = "a whole number" if self.is_whole else "a number"
        return f"{kind} from {self.low:,} to {self.high:,} {self.unit}".strip()

    def allow(self, answer: Any) -> bool:
        """Whether ``answer`` is a number within the bounds."""
        wanted = int if self.is_whole else int | float
        return isinstance(answer, wanted) and not isinstance(answer, bool) and self.low <= answer <= self.high


def asked(
    question: str, low: float, high: float, default: float | None, unit: str = "", *, whole: bool = False
) -> Any:
    """A field that is a question. ``default`` None means that the answer follows from others."""
    return field(default=default, metadata={"question": question, "bounds": Bounds(low, high, unit, whole)})


class Answers(Protocol):
    """A dataclass whose fields are `asked`."""

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]

    def check(self) -> None:
        """Raises `BadAnswer` if answers contradict each other."""
        ...


_A = TypeVar("_A", bound=Answers)


def answered(questions: type[_A], answers: Mapping[str, Any]) -> _A:
    """The dataclass with these answers, the others as by default. Raises `BadAnswer`."""
    known = {each.name: each for each in fields(questions)}
    if unknown := sorted(answers.keys() - known.keys()):
        raise BadAnswer(f"{', '.join(unknown)}: there is no such question. There are: {', '.join(known)}")
    for name, answer in answers.items():
        bounds: Bounds = known[name].metadata["bounds"]
        if not bounds.allow(answer):
            question = known[name].metadata["question"]
            raise BadAnswer(f"{name} is {answer!r}; it must be {bounds} ({question})")
    found = questions(**answers)
    found.check()
    return found


def read_file(path: Path) -> dict[str, Any]:
    """The answers in a TOML file, such as ``sends = 500``. Raises `BadAnswer`."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadAnswer(f"{path} can't be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadAnswer(f"{path} is not TOML: {error}") from None


def add_flags(parser: argparse.ArgumentParser, questions: type[Answers]) -> None:
    """Add a flag for each question. What it is given is checked by `answered`."""
    for each in fields(questions):
        bounds: Bounds = each.metadata["bounds"]
        default = "" if each.default is None else f"; {each.default:,} by default"
        parser.add_argument(
            "--" + each.name.replace("_", "-"),
            metavar="N",
            type=_number,
            default=None,
            help=f"{each.metadata['question']}: {bounds}{default}",
        )


def flags_of(questions: type[Answers], given: argparse.Namespace) -> dict[str, Any]:
    """The answers that were given as flags."""
    values = {each.name: getattr(given, each.name) for each in fields(questions)}
    return {name: value for name, value in values.items() if value is not None}


def _number(text: str) -> int | float | str:
    """A number, or the text itself: then `answered` says what the flag must be."""
    plain = text.replace(",", "").replace("_", "")
    for read in (int, float):
        try:
            return read(plain)
        except ValueError:
            continue
    return text
