"""The tables of settings in docs are what the processes really read, in both languages."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_the_table_of_settings_is_the_code():
    made = subprocess.run(
        [sys.executable, "docs/settings_table.py", "--check"], cwd=ROOT, capture_output=True, text=True
    )
    assert made.returncode == 0, made.stderr
