"""A copy of the working tree with an environment of its own, in which modules are changed."""

import contextlib
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Generator
from pathlib import Path

from imc_testkit.mutants.change import Change


class TreeCopy:
    """Every file of a git working tree, uncommitted ones too, and a virtual environment that imports them.

    Processes that tests start come from that environment as well, so that they run what was changed.
    """

    def __init__(self, root: Path, folder: Path) -> None:
        self.folder = folder
        self.python = folder / ".venv" / "bin" / "python"
        self._copy(root)
        self._make_environment()

    @contextlib.contextmanager
    def changed(self, change: Change) -> Generator[None]:
        """The copy with a change, while the context lasts."""
        path = self.folder / change.file
        source = path.read_text("utf-8")
        path.write_text(change.apply(source), "utf-8")
        self._forget_bytecode(path)
        try:
            yield
        finally:
            path.write_text(source, "utf-8")
            self._forget_bytecode(path)

    def _copy(self, root: Path) -> None:
        listing = ["git", "-C", str(root), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        output = subprocess.run(listing, check=True, capture_output=True, text=True).stdout
        for name in filter(None, output.split("\0")):
            if (root / name).is_file():
                (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(root / name, self.folder / name)

    def _make_environment(self) -> None:
        """An environment whose packages are those of this one, but for ours, which come from the copy."""
        environment = self.folder / ".venv"
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(environment)], check=True)
        sources = sorted(str(path) for path in self.folder.glob("*/*/src"))
        packages = next(environment.glob("lib/python*/site-packages"))
        # Entries of a path file are searched in their order, and path files of the folders in it are not
        # read: those would lead to the packages of the working tree.
        lines = [*sources, str(self.folder / "bench" / "src"), sysconfig.get_path("purelib")]
        (packages / "copy.pth").write_text("\n".join(lines) + "\n")
        for script in Path(sys.executable).parent.glob("imc*"):
            _, _, code = script.read_text().partition("\n")
            copied = environment / "bin" / script.name
            copied.write_text(f"#!{self.python}\n{code}")
            copied.chmod(0o755)

    @staticmethod
    def _forget_bytecode(path: Path) -> None:
        """Compiled files bear the second of a source's change: two changes in one second look alike."""
        for compiled in path.parent.glob(f"__pycache__/{path.stem}.*.pyc"):
            compiled.unlink()
