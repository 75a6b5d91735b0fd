"""Curve: deliveries per CPU-second over the size of a push."""

from imc_bench.push.curves import measure_curve
from imc_bench.push.fan_out import GATEWAYS
from imc_bench.rows import Result, Scale

ENVELOPE_BYTES = 300
"""About the size of a push of IMC without its text. Pushes of peers are padded to the same size."""


def measure(scale: Scale) -> list[Result]:
    """Measure IMC and nchan with texts of 100 bytes to 16 KB."""
    return [
        measure_curve(
            scale,
            row="push-size",
            title=f"Fan-out to {GATEWAYS} gateways",
            x="bytes of the message's text",
            rooms={size: (GATEWAYS, size + ENVELOPE_BYTES) for size in (100, 400, 1600, 6400, 16_000)},
        )
    ]
