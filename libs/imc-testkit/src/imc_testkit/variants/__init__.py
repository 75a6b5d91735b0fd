"""Runs a process of IMC with patches applied, so that production code needs no failpoints or test switches.

``python -m imc_testkit.variants NAMES SCRIPT`` applies the variants of the comma-separated NAMES in order,
then runs the console script. Variants name what they patch as text. If a name no longer exists, the start
fails with `AttributeError`.
"""

from collections.abc import Callable
from importlib.metadata import entry_points

from imc_testkit.variants import broken, failpoints

VARIANTS: dict[str, Callable[[], None]] = {**failpoints.VARIANTS, **broken.VARIANTS}
"""All variants by name."""


def apply(names: str) -> None:
    """Apply the comma-separated variants to this process. A later variant wraps an earlier one."""
    for name in names.split(","):
        VARIANTS[name]()


def main_of(script: str) -> Callable[[], None]:
    """The function that the console script calls."""
    (entry_point,) = entry_points(group="console_scripts", name=script)
    return entry_point.load()
