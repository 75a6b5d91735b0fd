"""The site of the documents: each page is in it, links lead somewhere, nothing comes from another host."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
import yaml
from project_files import ROOT, project_files

CONFIGURATION = yaml.safe_load((ROOT / "mkdocs.yml").read_text("utf-8"))
IN_CHINESE = yaml.safe_load((ROOT / "mkdocs.zh-CN.yml").read_text("utf-8"))
LOADED = {"script": "src", "img": "src", "iframe": "src", "source": "srcset"}
"""Elements for which a browser loads something, with the attribute that says what; ``link`` is apart."""


def entries(nav: Any) -> Iterator[str]:
    """The pages of a navigation, in its order."""
    for item in nav:
        if isinstance(item, str):
            yield item
        else:
            for children in item.values():
                yield from [children] if isinstance(children, str) else entries(children)


def sections(nav: Any) -> Iterator[str]:
    """The names of the sections of a navigation."""
    for item in nav:
        if isinstance(item, Mapping):
            for name, children in item.items():
                yield name
                yield from sections(children)


def test_every_document_is_in_the_navigation_once():
    listed = list(entries(CONFIGURATION["nav"]))
    assert len(listed) == len(set(listed))
    documents = {
        path.relative_to(ROOT / "docs").as_posix()
        for path in project_files(".md")
        if path.is_relative_to(ROOT / "docs") and ".zh-CN" not in path.name
    }
    # The index of decisions leads to each of them.
    documents = {each for each in documents if not re.match(r"decisions/\d", each)}
    assert documents - set(listed) == set(), "put it into nav of mkdocs.yml"
    made = {each for each in listed if each.startswith(("reference/", "repository/")) or each == "index.md"}
    assert set(listed) - documents == made


def test_each_section_has_a_name_in_chinese():
    assert set(sections(CONFIGURATION["nav"])) == set(IN_CHINESE["extra"]["sections"])


@dataclass
class Seen:
    """What a page leads to, what it loads, and what can be linked to in it."""

    links: list[str] = field(default_factory=list[str])
    loads: list[str] = field(default_factory=list[str])
    anchors: set[str] = field(default_factory=set[str])


class Reader(HTMLParser):
    """Reads a page."""

    def __init__(self) -> None:
        super().__init__()
        self.seen = Seen()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        if "id" in found:
            self.seen.anchors.add(found["id"])
        if tag == "a" and "href" in found:
            self.seen.links.append(found["href"])
        elif tag == "link" and found.get("rel") not in ("canonical", "alternate", "next", "prev"):
            self.seen.loads.append(found["href"])
        elif tag in LOADED and LOADED[tag] in found:
            self.seen.loads.append(found[LOADED[tag]])


def read(page: Path) -> Seen:
    reader = Reader()
    reader.feed(page.read_text("utf-8"))
    return reader.seen


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both sites, as `make docs` builds them."""
    folder = tmp_path_factory.mktemp("site") / "site"
    for configuration, target in (("mkdocs.yml", folder), ("mkdocs.zh-CN.yml", folder / "zh")):
        command = [sys.executable, "-m", "mkdocs", "build", "--strict"]
        command += ["--config-file", configuration, "--site-dir", str(target)]
        env = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
        built = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
        assert built.returncode == 0, built.stdout + built.stderr
    return folder


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, Seen]:
    return {path: read(path) for path in sorted(site.rglob("*.html")) if path.name != "404.html"}


def dead(page: Path, link: str, pages: dict[Path, Seen]) -> bool:
    """Whether a link of a page leads nowhere within the site."""
    parts = urlsplit(link)
    if parts.scheme:
        return False
    target = (page.parent / unquote(parts.path)).resolve() if parts.path else page
    if target not in pages:
        return not target.is_file()
    anchor = unquote(parts.fragment)
    return bool(anchor) and anchor not in pages[target].anchors


def test_every_link_leads_somewhere(pages: dict[Path, Seen]):
    assert len(pages) > 200
    found = [
        (str(page), link) for page, seen in pages.items() for link in seen.links if dead(page, link, pages)
    ]
    assert found == []


def test_nothing_comes_from_another_host(site: Path, pages: dict[Path, Seen]):
    foreign = {link for seen in pages.values() for link in seen.loads if urlsplit(link).netloc}
    assert foreign == set()
    missing = {
        (str(page), link)
        for page, seen in pages.items()
        for link in seen.loads
        if not link.startswith("data:") and not (page.parent / unquote(urlsplit(link).path)).exists()
    }
    assert missing == set()
    for style in site.rglob("*.css"):
        assert re.findall(r"(?:@import|url\()\s*[\"']?(?:https?:)?//", style.read_text("utf-8")) == []


def test_nothing_in_a_page_tells_where_it_was_made(pages: dict[Path, Seen]):
    assert [str(page) for page in pages if str(ROOT) in page.read_text("utf-8")] == []


def heading(page: Path) -> str:
    match = re.search(r"<h1[^>]*>(.*?)(?:<a |</h1>)", page.read_text("utf-8"), re.DOTALL)
    assert match is not None, page
    return re.sub(r"<[^>]+>", "", match[1]).strip()


def test_a_twin_takes_the_place_of_its_english_page(site: Path):
    for twin in project_files(".zh-CN.md"):
        english = twin.with_name(twin.name.replace(".zh-CN", ""))
        if not english.is_relative_to(ROOT / "docs"):
            continue
        name = english.relative_to(ROOT / "docs").with_suffix(".html")
        name = name.with_name("index.html") if english.name == "README.md" else name
        for path, folder in ((english, site), (twin, site / "zh")):
            title = path.read_text("utf-8").splitlines()[0].removeprefix("# ").replace("`", "")
            assert heading(folder / name) == title
    assert heading(site / "zh/index.html").startswith("IMC：")
    assert not list(site.rglob("*.zh-CN.html"))


def test_the_navigation_has_the_titles_of_the_language(site: Path):
    for folder, expected in (
        (site, {"Home", "Tutorial", "Called at night", "What must be there", "Redis fails over"}),
        (site / "zh", {"首页", "教程", "夜间告警", "前提条件", "Redis 故障切换"}),
    ):
        text = (folder / "operations/backup.html").read_text("utf-8")
        named = {name.strip() for name in re.findall(r'<span class="md-ellipsis">([^<]*)<', text)}
        assert expected - named == set()
        assert "None" not in named


def test_the_choice_of_the_language_leads_to_the_same_page(site: Path):
    for name in ("index.html", "tutorial.html", "operations/alerts.html", "glossary.html"):
        english, chinese = site / name, site / "zh" / name
        for page, other in ((english, chinese), (chinese, english)):
            targets = {(page.parent / unquote(link.partition("#")[0])).resolve() for link in read(page).links}
            assert other in targets, page


def test_an_anchor_of_an_english_heading_holds_in_its_chinese_twin(site: Path):
    for name in ("tutorial.html", "java.html", "operations/look.html"):
        english = {each for each in read(site / name).anchors if not each.startswith("_")}
        assert english - read(site / "zh" / name).anchors == set()


def test_the_reference_has_every_call_frame_code_and_metric(site: Path):
    openapi = json.loads((ROOT / "docs/openapi.json").read_text("utf-8"))
    text = (site / "reference/http.html").read_text("utf-8")
    for path, methods in openapi["paths"].items():
        for method in methods:
            assert f"{method.upper()} {path}" in text
    asyncapi = yaml.safe_load((ROOT / "docs/asyncapi.yaml").read_text("utf-8"))
    text = (site / "reference/websocket.html").read_text("utf-8")
    assert [
        each["title"] for each in asyncapi["components"]["messages"].values() if each["title"] not in text
    ] == []
    text = (site / "reference/codes.html").read_text("utf-8")
    assert [
        code for code in ("40001", "42901", "50301", "2003", "4002", "4410", "1013") if code not in text
    ] == []
    text = (site / "reference/metrics.html").read_text("utf-8")
    runbook = "".join(path.read_text("utf-8") for path in (ROOT / "docs/operations").glob("*.md"))
    named = set(re.findall(r"`(imc_\w+)`", runbook)) - {
        "imc_projection",
        "imc_adoption",
        "imc_group_activity",
    }
    known = {name.replace("command_api", "…") for name in named}
    assert {name for name in known if name not in text} == set()


def test_code_and_tables_in_lists_are_part_of_the_lists(site: Path):
    text = (site / "operations/backup.html").read_text("utf-8")
    items = re.findall(r"<li>.*?</li>", text, re.DOTALL)
    assert any("kubectl" in item and "<code" in item and "<pre" in item for item in items)
    left = [str(page) for page in site.rglob("*.html") if re.search(r"<p>[^<]*```", page.read_text("utf-8"))]
    assert left == []


def test_pictures_are_shown_in_the_theme_that_is_chosen(site: Path):
    sources = read(site / "console.html").loads
    shown = [link for link in sources if "pictures/" in link]
    assert {link.partition("#")[2] for link in shown} == {"only-light", "only-dark"}
