import signal
import subprocess
import sys
from pathlib import Path

import pytest
from imc_testkit.processes import Process
from imc_testkit.variants import VARIANTS, broken, failpoints
from imc_testkit.variants.patching import replace, with_text

APPLY_EACH = """
import os, sys
from imc_testkit.variants import VARIANTS, apply, main_of
for script in ("imc-command-api", "imc-projector", "imc-push-node"):
    main_of(script)
for name in VARIANTS:
    if os.fork() == 0:
        apply(name)
        os._exit(0)
    print(name, os.waitstatus_to_exitcode(os.wait()[1]))
"""


def test_each_variant_can_be_applied(tmp_path: Path) -> None:
    env = {**failpoints.failpoint(tmp_path / "mark"), broken.TIME: "1"}
    done = subprocess.run(
        [sys.executable, "-c", APPLY_EACH], env=env, capture_output=True, text=True, check=True
    )
    assert dict(line.split() for line in done.stdout.splitlines()) == dict.fromkeys(VARIANTS, "0"), (
        done.stderr
    )


async def test_a_process_runs_with_variants(tmp_path: Path) -> None:
    # Without settings the process exits at once, after the patches.
    async with Process("imc-push-node", {}, variant="checks-no-tail,repairs-no-hole") as process:
        assert await process.wait() == 2
        assert "the settings can't be used" in process.log
    async with Process("imc-push-node", {}, variant="no-such-variant") as process:
        assert await process.wait() == 1
        assert "KeyError" in process.log


def test_a_missing_target_is_an_error() -> None:
    with pytest.raises(AttributeError):
        replace("imc_testkit.waiting:there_is_no_such_thing", lambda original: original)
    with pytest.raises(ModuleNotFoundError):
        replace("imc_testkit.nowhere:thing", lambda original: original)
    with pytest.raises(ValueError, match="does not hold"):
        with_text("a text", "no such text", "")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGKILL, -9), (signal.SIGTERM, -15)])
def test_a_failpoint_triggers_the_nth_time_and_only_once(
    tmp_path: Path, number: signal.Signals, code: int
) -> None:
    program = (
        "from imc_testkit.variants.failpoints import _Failpoint\n"
        "point = _Failpoint()\n"
        "for time in range(1, 5):\n"
        "    print(time, flush=True)\n"
        "    point.reach()\n"
    )
    env = failpoints.failpoint(tmp_path / "mark", time=3, number=number)
    ends = [
        subprocess.run(
            [sys.executable, "-c", program], env=dict(env), capture_output=True, text=True, check=False
        )
        for _ in range(2)
    ]
    assert [(end.returncode, end.stdout.split()) for end in ends] == [
        (code, ["1", "2", "3"]),
        (0, ["1", "2", "3", "4"]),
    ]
