"""Writes the description of all calls, as standalone gives it, to docs/openapi.json.

Clients are generated from it, and the edge serves it. With ``--check`` it only compares.
"""

import json
import sys
from pathlib import Path

from imc_service.settings import load
from imc_standalone.app import create_app
from imc_standalone.settings import StandaloneSettings, load_parts

FILE = Path(__file__).parent / "openapi.json"
ENVIRONMENT = {"IMC_AUTH": "off", "IMC_DATA_DIR": "none"}
"""What standalone asks for; nothing is opened."""


def described() -> str:
    """The description, as the file has it."""
    app = create_app(load(StandaloneSettings, ENVIRONMENT), load_parts(ENVIRONMENT))
    document = app.openapi()
    document["info"] |= {"title": "IMC", "description": "The message center behind group chat."}
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def main() -> None:
    """Write the file, or end with status 1 if it is stale and only to be checked."""
    text = described()
    if "--check" not in sys.argv:
        FILE.write_text(text, "utf-8")
    elif not FILE.exists() or FILE.read_text("utf-8") != text:
        sys.exit("docs/openapi.json is stale: make openapi")


if __name__ == "__main__":
    main()
