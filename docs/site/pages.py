"""What `mkdocs` calls while it builds the site: documents of the whole repository become pages of one site.

The documents are written for a code forge, and stay as they are. Here their links to files outside of docs/
get pages to lead to, the README becomes the first page, and a page in Chinese takes the place of its English
twin in the Chinese site.
"""

import posixpath
from pathlib import Path
from typing import Any, cast

from markup import as_page, headings, links, slug, with_anchors
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files, InclusionLevel
from mkdocs.structure.nav import Navigation
from mkdocs.structure.pages import Page
from places import Places
from reference import REFERENCE
from sources import shown

ROOT = Path(__file__).parents[2]
CHINESE = ".zh-CN.md"
PLACES = Places(ROOT)


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Give headings the anchors that code forges give them."""
    cast(Any, config).mdx_configs["toc"]["slugify"] = _slug
    return config


def _slug(heading: str, separator: str) -> str:
    return slug(heading)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Choose the twins of the language, and add the pages that are not in docs/."""
    chinese = config.theme["language"] == "zh"
    for file in list(files):
        if file.src_uri.endswith(CHINESE):
            files.remove(file)
    for uri, make in REFERENCE.items():
        files.append(File.generated(config, uri, content=make(ROOT)))
    files.append(File.generated(config, "index.md", abs_src_path=str(ROOT / "README.md")))
    waiting = [file for file in files if file.is_documentation_page()]
    while waiting:
        file = waiting.pop()
        origin = PLACES.origin(file.src_uri)
        if origin is None:
            continue
        twin = origin.with_name(origin.stem + CHINESE)
        if chinese and twin.exists():
            file.abs_src_path = str(twin)
        for target in links(file.content_string):
            added = _page_for(origin, target, files, config)
            waiting += [added] if added is not None and added.is_documentation_page() else []
    return files


def _page_for(origin: Path, target: str, files: Files, config: MkDocsConfig) -> File | None:
    """The page that a link to a file of the repository needs, unless it is there."""
    path = PLACES.target(origin, target)
    if path is None or path.name.endswith(CHINESE):
        return None
    uri = PLACES.uri(path)
    if uri.startswith("../") or files.get_file_from_path(uri) is not None:
        return None
    if path.suffix in (".md", ".png", ".svg"):
        file = File.generated(config, uri, abs_src_path=str(path))
    else:
        file = File.generated(config, uri, content=shown(path, ROOT))
    file.inclusion = InclusionLevel.NOT_IN_NAV
    files.append(file)
    return file


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Write a document as Python-Markdown wants it, with links to pages."""
    origin = PLACES.origin(page.file.src_uri)
    if origin is None:
        return markdown
    text = as_page(markdown, lambda link: PLACES.rewritten(origin, page.file.src_uri, link))
    if str(page.file.abs_src_path).endswith(CHINESE):
        text = with_anchors(text, headings(origin.read_text("utf-8")))
    return text


def on_nav(nav: Navigation, config: MkDocsConfig, files: Files) -> Navigation:
    """Name sections and the first page in the language of the site."""
    names = cast(dict[str, str], config.extra["sections"])
    waiting = list(cast(Any, nav).items)
    while waiting:
        item = waiting.pop()
        if item.title in names:  # a page that has none yet gets that of its text
            item.title = names[item.title]
        waiting += item.children or []
    return nav


def on_post_page(output: str, page: Page, config: MkDocsConfig) -> str:
    """Let the choice of the language lead to the same page; the theme makes all of them lead to the first."""
    folder = posixpath.dirname(page.file.dest_uri) or "."
    for language in cast(list[dict[str, str]], config.extra["alternate"]):
        same = posixpath.relpath(language["home"] + page.file.dest_uri, folder)
        output = output.replace(f'href="{language["link"]}"', f'href="{same}"')
    return output
