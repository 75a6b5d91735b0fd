"""Curve: deliveries per CPU-second over the number of gateways of one app."""

from imc_bench.push.curves import measure_curve
from imc_bench.push.fan_out import PUSH_BYTES
from imc_bench.rows import Result, Scale


def measure(scale: Scale) -> list[Result]:
    """Measure IMC and nchan with 1 to 1,000 gateways."""
    return [
        measure_curve(
            scale,
            row="gateways",
            title=f"Fan-out of {PUSH_BYTES}-byte pushes",
            x="gateways of one app",
            rooms={count: (count, PUSH_BYTES) for count in (1, 10, 100, 1000)},
        )
    ]
