"""Documents lead somewhere, are level in both languages, and their pictures stand by themselves."""

import ast
import re
import runpy
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from xml.etree import ElementTree

import pytest
from project_files import ROOT, project_files

IMAGES = ROOT / "docs/images"
RECORDS = sorted((ROOT / "docs/decisions").glob("[0-9]*.md"))
FROM_OUTSIDE = {"CHANGELOG.md", ".github/pull_request_template.md", "SECURITY.md"}
"""Documents that people find without a link."""


def markdown() -> list[Path]:
    """All documents of the repository."""
    return project_files(".md")


def prose(text: str) -> str:
    """A document without its code."""
    return re.sub(r"^```.*?^```|`[^`\n]*`", "", text, flags=re.MULTILINE | re.DOTALL)


def links(text: str) -> Iterator[str]:
    """Where a document leads within the repository: its links and pictures."""
    found = re.findall(r"\]\(([^)\s]+)\)|(?:src|srcset|href)=\"([^\"]+)\"", prose(text))
    for target in (first or second for first, second in found):
        if not re.match(r"[a-z]+:", target):
            yield target


@cache
def anchors(path: Path) -> set[str]:
    """What can be linked to in a document, as code forges make it of its headings."""
    headings = re.findall(r"^#+ (.*)$", prose(path.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def dead_links(path: Path, text: str) -> list[str]:
    """Links of a document at ``path`` to files or headings that are not there."""
    dead: list[str] = []
    for link in links(text):
        file, _, anchor = link.partition("#")
        target = (path.parent / file).resolve() if file else path
        if not target.exists() or (anchor and anchor not in anchors(target)):
            dead.append(link)
    return dead


@pytest.mark.parametrize("path", markdown(), ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(path: Path):
    assert dead_links(path, path.read_text()) == []


@pytest.mark.parametrize(
    ("text", "dead"),
    [
        ("[a](docs/none.md)", ["docs/none.md"]),
        ("[a](docs/glossary.md#none)", ["docs/glossary.md#none"]),
        ("[a](#none)", ["#none"]),
        ('<img src="docs/images/none.svg">', ["docs/images/none.svg"]),
        ("[a](docs/glossary.md#the-log) [b](https://example.com/none.md)", []),
        ("`[a](none.md)`\n```\n[b](none.md)\n```\n", []),
    ],
)
def test_a_dead_link_is_caught(text: str, dead: list[str]):
    assert dead_links(ROOT / "README.md", text) == dead


def test_every_document_is_found_from_the_readme():
    seen, ahead = set[Path](), [ROOT / "README.md"]
    while ahead:
        path = ahead.pop()
        if path.suffix == ".md" and path not in seen:
            seen.add(path)
            files = (link.partition("#")[0] for link in links(path.read_text()))
            ahead += [(path.parent / file).resolve() for file in files if file]
    assert {str(path.relative_to(ROOT)) for path in set(markdown()) - seen} <= FROM_OUTSIDE


def test_the_index_has_every_decision_by_its_title():
    index = (ROOT / "docs/decisions/README.md").read_text()
    listed = re.findall(r"^- \[(\d{4})\]\((.+?)\) (.+)$", index, re.MULTILINE)
    there = {
        (path.name[:4], path.name, path.read_text().splitlines()[0].partition(". ")[2]) for path in RECORDS
    }
    assert set(listed) == there
    assert len({number for number, _, _ in listed}) == len(listed)


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: path.stem)
def test_a_decision_has_its_parts(path: Path):
    lines = path.read_text().splitlines()
    assert lines[0].startswith(f"# {int(path.name[:4])}. ")
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", lines[2])
    headings = [line for line in lines if line.startswith("## ")]
    assert [each for each in headings if each in ("## Context", "## Decision", "## Consequences")] == [
        "## Context",
        "## Decision",
        "## Consequences",
    ]


def test_the_journey_names_the_few_files_that_a_send_passes():
    text = (ROOT / "docs/message-journey.md").read_text()
    files = [link for link in links(text) if link.startswith("../services/")]
    assert 0 < len(files) <= 8
    assert [file for file in files if not (ROOT / "docs" / file).is_file()] == []


@pytest.mark.parametrize("path", markdown(), ids=lambda path: str(path.relative_to(ROOT)))
def test_named_tests_exist(path: Path):
    assert set(re.findall(r"\btest_\w+\.py\b", path.read_text())) <= modules()


@cache
def modules() -> set[str]:
    """The names of all Python files."""
    return {path.name for path in project_files(".py")}


@pytest.mark.parametrize("path", project_files(".zh-CN.md"), ids=lambda path: path.name)
def test_a_chinese_document_is_level_with_its_english_one(path: Path):
    texts = [each.read_text() for each in (path.with_name(path.name.replace(".zh-CN", "")), path)]
    english, chinese = (
        [len(level) for level in re.findall(r"^(#+) ", prose(text), re.MULTILINE)] for text in texts
    )
    assert english == chinese
    english, chinese = (len(re.findall(r"^\|", text, re.MULTILINE)) for text in texts)
    assert english == chinese, "rows of tables"
    english, chinese = (len(re.findall(r"^(?:- |\d+\. )", prose(text), re.MULTILINE)) for text in texts)
    assert english == chinese, "items of lists"
    english, chinese = (re.findall(r"^```.*?^```", text, re.MULTILINE | re.DOTALL) for text in texts)
    assert [_commands(each) for each in english] == [_commands(each) for each in chinese]
    english, chinese = (
        {link.replace(".zh-CN", "").partition("#")[0] for link in links(text)} - {""} for text in texts
    )
    assert english - {path.name.replace(".zh-CN", "")} == chinese - {path.name.replace(".zh-CN", "")}


def _commands(block: str) -> list[str]:
    """The lines of a block of code without comments and texts, which are translated."""
    return [re.sub(r"\s*#.*|\"content\": \".*?\"", "", line) for line in block.splitlines()]


def test_made_pictures_are_those_of_their_sources():
    made = subprocess.run(
        [sys.executable, "docs/pictures.py", "--check"], cwd=ROOT, capture_output=True, text=True
    )
    assert made.returncode == 0, made.stderr
    assert {path.name for path in IMAGES.glob("*-dark*.svg")} <= set(
        runpy.run_path("docs/pictures.py")["pictures"]()
    )


@pytest.mark.parametrize("path", sorted(IMAGES.glob("*-light.svg")), ids=lambda path: path.name)
def test_a_picture_has_a_dark_colour_for_each_of_its_own(path: Path):
    palette = runpy.run_path(str(ROOT / "docs/pictures.py"))["DARK"]
    used = set(re.findall(r"#[0-9a-f]{6}\b", path.read_text()))
    assert used <= palette.keys()
    assert re.findall(r"(?:fill|stroke)[:=][\"\s]*(?!none|url)[a-z]+", path.read_text()) == [], (
        "a colour by name"
    )


def test_every_label_of_a_translated_picture_is_translated():
    script = runpy.run_path(str(ROOT / "docs/pictures.py"))
    for name in script["TRANSLATED"]:
        labels = set(re.findall(r">([^<>]+)</text>", (IMAGES / f"{name}-light.svg").read_text()))
        names = {"query-api", "command-api", "push-node", "projector", "Redis", "MariaDB"}
        assert labels - names == set(script["CHINESE"])


@pytest.mark.parametrize("path", sorted(IMAGES.glob("*.svg")), ids=lambda path: path.name)
def test_a_picture_stands_by_itself(path: Path):
    assert foreign_parts(path.read_text()) == []


def foreign_parts(svg: str) -> list[str]:
    """What in a picture runs, loads something, or is missing for those who can't see it."""
    root = ElementTree.fromstring(svg)
    names = {element.tag.rpartition("}")[2] for element in root.iter()}
    found = sorted(names & {"script", "foreignObject", "image", "use", "a"})
    found += [] if {"title", "desc"} <= names else ["no title and description"]
    found += [] if root.get("viewBox") else ["no viewBox"]
    for element in root.iter():
        for name, value in element.attrib.items():
            if name.startswith("on") or name.rpartition("}")[2] == "href":
                found.append(f"{name}={value}")
    loads = re.findall(r"@import|url\((?!#)[^)]*\)|(?<!xmlns=\")https?://[^\s\"']+", svg)
    return found + loads


@pytest.mark.parametrize(
    ("part", "found"),
    [
        ('<image href="https://example.com/a.png"/>', "image"),
        ("<script>1</script>", "script"),
        ("<style>@import 'a.css';</style>", "@import"),
        ("<style>text { fill: url(a.svg#b) }</style>", "url(a.svg#b)"),
        ('<rect onclick="a()"/>', "onclick=a()"),
    ],
)
def test_a_foreign_part_is_caught(part: str, found: str):
    head = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1 1"><title>a</title><desc>b</desc>'
    assert foreign_parts(f"{head}</svg>") == []
    assert found in foreign_parts(f"{head}{part}</svg>")


def test_pictures_are_shown_in_both_themes():
    for path in markdown():
        shown = re.findall(r"images/([\w.-]+\.svg)", path.read_text())
        light = {name for name in shown if "-light" in name}
        assert {name.replace("-light", "-dark") for name in light} == set(shown) - light, path


RENAMED = {
    "folding": "coalesce",
    "lineage": "epoch",
    "originals": "lookup",
    "subscribers": "delivery",
    "tail": "replay buffer",
    "tip": "head",
    "tolerance": "frame rate limit",
}
"""Words that the glossary has replaced, and what they are called now."""

COMMANDS = ("imc tail",)
"""Commands whose names people know from other programs."""


@pytest.mark.parametrize(
    "path", markdown() + project_files(".yaml"), ids=lambda path: str(path.relative_to(ROOT))
)
def test_a_document_uses_the_words_of_the_glossary(path: Path):
    text = re.sub("|".join(COMMANDS), "", path.read_text())
    words = set(re.findall(r"[a-z]+", text.lower()))
    assert {word: RENAMED[word] for word in words & RENAMED.keys()} == {}


def sources() -> list[Path]:
    return [path for path in project_files(".py") if "src" in path.relative_to(ROOT).parts]


def stem_of(path: Path) -> str:
    """The name of a module, unless it is that of its command."""
    is_command = path.parent.name == "commands" and f"imc {path.stem}" in COMMANDS
    return "" if is_command else path.stem


def identifiers(tree: ast.AST) -> set[str]:
    """The names in a module: of variables, attributes, functions, classes and arguments."""
    found = (getattr(node, field, None) for node in ast.walk(tree) for field in ("id", "attr", "name", "arg"))
    return {name for name in found if isinstance(name, str)}


def renamed_words(names: set[str]) -> set[str]:
    words = {word.lower() for name in names for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+", name)}
    return words & RENAMED.keys()


def test_code_uses_the_words_of_the_glossary():
    found = {
        str(path.relative_to(ROOT)): old
        for path in sources()
        if (old := renamed_words({stem_of(path)} | identifiers(ast.parse(path.read_text()))))
    }
    assert found == {}


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("lineage = 1", {"lineage"}),
        ("class LogTail:\n    pass", {"tail"}),
        ("def f(*, tip_of_log): ...", {"tip"}),
        ("tailored = multiple", set()),
    ],
)
def test_an_old_word_in_code_is_caught(code: str, found: set[str]):
    assert renamed_words(identifiers(ast.parse(code))) == found
