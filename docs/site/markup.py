"""From the Markdown of code forges to that of Python-Markdown, where they differ."""

import re
from collections.abc import Callable, Iterator

FENCED = re.compile(r"(^ *```.*?^ *```[ \t]*$)", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"(^ *```.*?^ *```[ \t]*$|`[^`\n]*`)", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"(?<=\]\()([^)\s]+)(?=\))")
_SOURCE = re.compile(r"(?:src|srcset|href)=\"([^\"]+)\"")
_HEADING = re.compile(r"^(#+) (.*)$", re.MULTILINE)
_OTHER_LANGUAGE = re.compile(r"^\[(?:中文|English)\]\([^)]*\)\n+", re.MULTILINE)
_COMMENT = re.compile(r"^<!--.*?-->\n", re.MULTILINE | re.DOTALL)
_PICTURE = re.compile(
    r"<picture>\s*<source [^>]*srcset=\"(?P<dark>[^\"]+)\">\s*"
    r"<img alt=\"(?P<alt>[^\"]*)\" src=\"(?P<light>[^\"]+)\"(?: width=\"(?P<width>[^\"]+)\")?>\s*</picture>"
)


def links(text: str) -> Iterator[str]:
    """Where the links and pictures of a document lead."""
    prose = _CODE.sub("", text)
    yield from _LINK.findall(prose)
    yield from _SOURCE.findall(prose)


def slug(heading: str) -> str:
    """The anchor of a heading, as code forges make it."""
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


def headings(text: str) -> list[str]:
    """The anchors of a document, in its order."""
    return [slug(heading) for _, heading in _HEADING.findall(FENCED.sub("", text))]


def as_page(text: str, rewritten: Callable[[str], str]) -> str:
    """A document as Python-Markdown reads it, with each link ``rewritten``."""
    text = _PICTURE.sub(_both_themes, _OTHER_LANGUAGE.sub("", text, count=1))
    text = _COMMENT.sub("\n", text)
    parts = _CODE.split(text)
    parts[::2] = [_LINK.sub(lambda match: rewritten(match[1]), part) for part in parts[::2]]
    return _indented("".join(parts))


def _both_themes(picture: re.Match[str]) -> str:
    """A picture for each theme: the theme of the site shows one of them."""
    width = f'{{ width="{picture["width"]}" }}' if picture["width"] else ""
    return "\n".join(
        f"![{picture['alt']}]({picture[theme]}#only-{theme}){width}" for theme in ("light", "dark")
    )


def _indented(text: str) -> str:
    """Text with what belongs to an item of a list indented by four spaces, which Python-Markdown asks for."""
    lines: list[str] = []
    fence = False
    added = 0
    for line in text.split("\n"):
        indent = len(line) - len(line.lstrip(" "))
        if not fence:
            added = 4 - indent if indent in (2, 3) else 0
        if line.lstrip(" ").startswith("```"):
            fence = not fence
            if fence and lines and lines[-1].strip():
                lines.append("")
        lines.append(" " * added + line if line else line)
    return "\n".join(lines)


def with_anchors(text: str, anchors: list[str]) -> str:
    """A translated page on which the anchors of its English twin lead to the same headings."""
    parts = FENCED.split(text)
    waiting = iter(anchors)

    def anchored(heading: re.Match[str]) -> str:
        anchor = f'<a id="{next(waiting)}"></a>'
        # The title of a page has to come first.
        return f"{heading[0]}\n\n{anchor}" if heading[1] == "#" else f"{anchor}\n\n{heading[0]}"

    parts[::2] = [_HEADING.sub(anchored, part) for part in parts[::2]]
    return "".join(parts)
