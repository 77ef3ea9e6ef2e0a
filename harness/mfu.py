"""Model FLOP utilisation: how much of what the device can do, training really uses."""

from __future__ import annotations

from harness.record import Measure

TRAINING_OVER_FORWARD = 3
"""FLOP of training on an image over those of its forward pass: going back takes about twice the
forward pass, one product for the gradient of the inputs and one for that of the weights (Kaplan et
al. 2020, Scaling Laws for Neural Language Models, section 2.1; Chowdhery et al. 2022, PaLM,
appendix B, which defines MFU so and leaves out what is computed again to save memory)."""

PEAK_DTYPES = {
    "float32": "float32", "mixed_bfloat16": "bfloat16", "mixed_float16": "float16",
}  # fmt: skip
"""What the layers compute in -> the data type of the matrix product it is held against."""


def utilisation(
    *, mflops: Measure, images_per_s: Measure, peak_gflops: Measure, devices: int
) -> Measure:
    """Return the share of the measured peak that training uses, 0 to 1.

    Args:
        mflops: of one image's forward pass.
        images_per_s: of training, over all devices.
        peak_gflops: of a matrix product on one device.
        devices: that have such a peak each.
    """
    reasons = {"the FLOP of the network": mflops, "the speed": images_per_s,
               "the peak": peak_gflops}  # fmt: skip
    for what, measure in reasons.items():
        if measure.value is None:
            return Measure(reason=f"{what} is unknown: {measure.reason}")
    assert mflops.value is not None
    assert images_per_s.value is not None
    assert peak_gflops.value is not None
    used = TRAINING_OVER_FORWARD * mflops.value * images_per_s.value / 1e3
    share = used / (peak_gflops.value * devices)
    if share > 1:
        return Measure(
            reason=f"training took {used:,.0f} GFLOP/s, but a matrix product reached only "
            f"{peak_gflops.value * devices:,.0f}: the peak was disturbed, or is no peak"
        )
    return Measure(value=share)
