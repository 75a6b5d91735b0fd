"""Small file systems in memory, to let a server run out of disk space."""

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path


class NotPermitted(Exception):
    """This user may not mount a file system or make a network namespace."""


@dataclass(frozen=True)
class SmallDisk:
    """A small file system, mounted at ``folder``."""

    folder: Path

    @contextlib.contextmanager
    def filled(self) -> Generator[None]:
        """Fill the disk for the duration of the context."""
        filler = self.folder / "filler"
        try:
            with filler.open("wb") as file:
                # Who writes between the calls makes the second one fail; a tmpfs then gives all of it back.
                while free := shutil.disk_usage(self.folder).free:
                    with contextlib.suppress(OSError):
                        os.posix_fallocate(file.fileno(), file.seek(0, os.SEEK_END), free)
                yield
        finally:
            filler.unlink(missing_ok=True)


@contextlib.contextmanager
def small_disk(megabytes: int) -> Generator[SmallDisk]:
    """Mount a disk of that size, and unmount it at the end. Raises `NotPermitted`."""
    folder = Path(tempfile.mkdtemp(prefix="imc-disk-"))
    mount = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)]
    try:
        if subprocess.run(mount, check=False, capture_output=True).returncode:
            raise NotPermitted("mounting a file system needs root")
        try:
            yield SmallDisk(folder)
        finally:
            subprocess.run(["umount", "--lazy", str(folder)], check=True)
    finally:
        folder.rmdir()
