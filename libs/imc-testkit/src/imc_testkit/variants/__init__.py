"""Processes of ours in which something has been patched before they run.

``python -m imc_testkit.variants NAMES SCRIPT`` applies the variants of the comma-separated NAMES, in order,
and runs the console script. So production code holds nothing for the tests: no failpoint, no switch. What a
variant patches it names as text; a name that is not there any more is an `AttributeError` at the start.
"""

from collections.abc import Callable
from importlib.metadata import entry_points

from imc_testkit.variants import broken, failpoints

VARIANTS: dict[str, Callable[[], None]] = {**failpoints.VARIANTS, **broken.VARIANTS}
"""Every variant by its name."""


def apply(names: str) -> None:
    """Patch this process by each of the comma-separated variants; a later one goes around an earlier one."""
    for name in names.split(","):
        VARIANTS[name]()


def main_of(script: str) -> Callable[[], None]:
    """What the console script calls."""
    (entry_point,) = entry_points(group="console_scripts", name=script)
    return entry_point.load()
