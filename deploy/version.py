"""Writes the version, which pyproject.toml holds, wherever else it stands; ``--check`` only compares."""

import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
_NUMBER = {"()": r"\d+\.\d+\.\d+[\w.+-]*", "(-)": r"\d+-\d+-\d+[\w-]*"}
PLACES = {
    "bench/pyproject.toml": r'^version = "()"$',
    "libs/*/pyproject.toml": r'^version = "()"$',
    "services/*/pyproject.toml": r'^version = "()"$',
    "docker-compose.yml": r"\bimage: imc-[a-z-]+:()",
    "deploy/k8s/**/kustomization.yaml": r"\bnewTag: ()",
    "deploy/k8s/base/migrate.yaml": r"\bname: migrate-(-)",
    "deploy/k8s/README.md": r"\bimc-[a-z-]+:()",
    "docs/operations/install-kubernetes.md": r"/imc-\$p:()",
    "docs/operations/*.md": r"\bmigrate-(-)",
}
"""Files, and what stands around the version in them: it is where the empty group is.

``(-)`` stands for the version as a name of Kubernetes has it, with dashes for dots.
"""


def version() -> str:
    """The one version."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]


def with_version(text: str, around: str, number: str) -> str:
    """A file's text with ``number`` for every version that stands in ``around``."""
    group = "(-)" if "(-)" in around else "()"
    before, after = around.split(group)
    written = re.sub(r"[^\w]", "-", number) if group == "(-)" else number
    return re.sub(f"({before}){_NUMBER[group]}(?={after})", rf"\g<1>{written}", text, flags=re.MULTILINE)


def main() -> None:
    """Write the version, or with ``--check`` end with status 1 if another one stands somewhere."""
    number, stale = version(), list[str]()
    for files, around in PLACES.items():
        for path in sorted(ROOT.glob(files)):
            text = path.read_text()
            made = with_version(text, around, number)
            if made != text:
                stale.append(str(path.relative_to(ROOT)))
                if "--check" not in sys.argv:
                    path.write_text(made)
    if stale and "--check" in sys.argv:
        sys.exit(f"not version {number}: {', '.join(stale)}; make version")


if __name__ == "__main__":
    main()
