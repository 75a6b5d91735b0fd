"""The test page speaks of v1 only, and says everything in both languages."""

import re
from importlib.resources import files

from imc_contracts.codes import CloseCode

PAGE = (files("imc_push_node.http") / "test_page.html").read_text()


def texts() -> dict[str, set[str]]:
    """The keys of the texts of each language."""
    blocks = re.findall(r"^  (en|zh): \{\n(.*?)^  \},", PAGE, re.MULTILINE | re.DOTALL)
    return {
        language: set(re.findall(r"(?:^ {4}|, )(\w+): (?=\")", block, re.MULTILINE))
        for language, block in blocks
    }


def test_both_languages_have_the_same_texts():
    found = texts()
    assert found.keys() == {"en", "zh"}
    assert found["en"] == found["zh"]


def test_every_text_that_the_page_shows_is_there():
    shown = re.findall(r"data-t=\"(\w+)\"", PAGE) + re.findall(r"\bt\(\"(\w+)\"\)", PAGE)
    assert set(shown) <= texts()["en"]


def test_every_close_code_is_explained():
    assert {str(int(code)) for code in CloseCode} <= texts()["en"]


def test_the_page_uses_v1_only():
    paths = re.findall(r"[\"`](/[\w/]+)", PAGE)
    assert paths
    assert [path for path in paths if not path.startswith("/v1/")] == []
