"""docs/openapi.json describes the calls as the code answers them."""

import runpy

from project_files import ROOT


def test_it_is_up_to_date():
    script = runpy.run_path(str(ROOT / "docs/openapi.py"))
    assert script["FILE"].read_text() == script["described"](), "run `make openapi`"
