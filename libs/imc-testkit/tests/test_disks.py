"""Small file systems that run full."""

import os
import shutil
import threading
from pathlib import Path

import pytest
from imc_testkit.disks import NotPermitted, small_disk


def test_a_filled_disk_has_no_space_left_whoever_writes_meanwhile():
    stop = threading.Event()

    def write(path: Path) -> None:
        with path.open("wb", buffering=0) as file:
            while not stop.is_set():
                try:
                    file.write(os.urandom(100))
                except OSError:
                    return

    try:
        with small_disk(16) as disk:
            for number in range(20):
                stop.clear()
                writer = threading.Thread(target=write, args=(disk.folder / f"writer-{number}",))
                writer.start()
                with disk.filled():
                    assert shutil.disk_usage(disk.folder).free == 0
                    stop.set()
                    writer.join()
                assert shutil.disk_usage(disk.folder).free > 0
    except NotPermitted as reason:
        pytest.skip(str(reason))
