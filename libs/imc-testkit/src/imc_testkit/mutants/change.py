"""One change of a source file."""

import difflib
from dataclasses import dataclass

LARGE = 100
"""A number from here on is changed to one of another size: one more or less breaks nothing."""


@dataclass(frozen=True, slots=True)
class Change:
    """``new`` in the place of the characters from ``start`` to ``end`` of a file.

    ``file`` is a path from the root of the workspace; ``kind`` is the sort of change, in one word.
    """

    file: str
    start: int
    end: int
    new: str
    kind: str

    def apply(self, source: str) -> str:
        """The source with the change."""
        return source[: self.start] + self.new + source[self.end :]

    def line(self, source: str) -> int:
        """The number of the first changed line."""
        return source.count("\n", 0, self.start) + 1

    def lines(self, source: str) -> tuple[str, str]:
        """The changed lines before and after, each line without its indentation and joined by spaces."""
        begin = source.rfind("\n", 0, self.start) + 1
        stop = source.find("\n", self.end)
        rest = source[self.end :] if stop < 0 else source[self.end : stop]
        before = source[begin : self.start] + source[self.start : self.end] + rest
        after = source[begin : self.start] + self.new + rest
        return " ".join(before.split()), " ".join(after.split())

    def diff(self, source: str) -> str:
        """A unified diff."""
        before, after = source.splitlines(), self.apply(source).splitlines()
        return "\n".join(difflib.unified_diff(before, after, self.file, self.file, n=2, lineterm=""))
