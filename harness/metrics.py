"""What a measured quantity is: title, unit, which way is better, meaning."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Better = Literal["higher", "lower", "neither"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """What a measured quantity is: its unit, which way is better, and how it reads."""

    title: str
    unit: str
    better: Better
    meaning: str
    digits: int = 3


METRICS: dict[str, Metric] = {
    "score": Metric(
        title="score", unit="", better="higher",
        meaning="mean over images of IoU if the class is right, else 0",
    ),
    "accuracy": Metric(
        title="accuracy", unit="", better="higher",
        meaning="share of images whose most probable class is right",
    ),
    "mean_iou": Metric(
        title="mean IoU", unit="", better="higher",
        meaning="mean over images of intersection over union of true and predicted box",
    ),
    "localization_accuracy": Metric(
        title="localization accuracy", unit="", better="higher",
        meaning="share of images with the right class and IoU at least 0.5 (ILSVRC)",
    ),
    "iou_50": Metric(
        title="IoU >= 0.5", unit="", better="higher", meaning="share of boxes at IoU 0.5 or more"
    ),
    "iou_60": Metric(
        title="IoU >= 0.6", unit="", better="higher", meaning="share of boxes at IoU 0.6 or more"
    ),
    "iou_75": Metric(
        title="IoU >= 0.75", unit="", better="higher", meaning="share of boxes at IoU 0.75 or more"
    ),
    "cross_entropy": Metric(
        title="cross-entropy", unit="nat", better="lower", meaning="mean categorical cross-entropy"
    ),
    "box_mse": Metric(
        title="box MSE", unit="", better="lower",
        meaning="mean squared error of the four box coordinates", digits=5,
    ),
    "loss": Metric(
        title="loss", unit="", better="lower",
        meaning="class_weight x cross-entropy + box_weight x the box loss of the run", digits=4,
    ),
    "shift_class_changes": Metric(
        title="class changes when moved", unit="", better="lower",
        meaning="share of test images, moved by one pixel each way, whose most probable class is "
        "another than before", digits=4,
    ),
    "shift_box_px": Metric(
        title="box left behind when moved", unit="px", better="lower",
        meaning="mean distance of the sides of the box of a test image, moved by one pixel each "
        "way, from having moved along", digits=3,
    ),
    "images_per_s": Metric(
        title="images/s", unit="1/s", better="higher",
        meaning="training images over the time of the training loop, data included, "
        "compilation and evaluation apart", digits=0,
    ),
    "step_p50_ms": Metric(
        title="training step, median", unit="ms", better="lower",
        meaning="median over graph calls of a call's time, waiting for its data included, over "
        "its training steps; of a long run over evenly spaced calls", digits=2,
    ),
    "step_p90_ms": Metric(
        title="training step, p90", unit="ms", better="lower",
        meaning="90th percentile over graph calls of a call's time, waiting for its data "
        "included, over its training steps; of a long run over evenly spaced calls", digits=2,
    ),
    "data_images_per_s": Metric(
        title="images/s of the data", unit="1/s", better="higher",
        meaning="training scenes of one process over the time of making them alone; in a run the "
        "CPU time of the thread that does so", digits=0,
    ),
    "disturbed_epochs": Metric(
        title="disturbed epochs", unit="epochs", better="lower",
        meaning="epochs during whose training other processes used a tenth of the cores, or a "
        "hypervisor or a slow clock took part of them", digits=0,
    ),
    "first_batch_s": Metric(
        title="time to first batch", unit="s", better="lower",
        meaning="from the start of the work until the first graph call with training images is "
        "done: devices, data, network and compilation included, importing TensorFlow not",
        digits=1,
    ),
    "time_to_target_s": Metric(
        title="time to target", unit="s", better="lower",
        meaning="training and validation of all epochs up to the first that reached every "
        "--target", digits=1,
    ),
    "inference_images_per_s": Metric(
        title="images/s of inference", unit="1/s", better="higher",
        meaning="images over the time of predicting them in whole batches", digits=0,
    ),
    "latency_p50_ms": Metric(
        title="latency, median", unit="ms", better="lower",
        meaning="median time of predicting a single image", digits=2,
    ),
    "latency_p90_ms": Metric(
        title="latency, p90", unit="ms", better="lower",
        meaning="90th percentile of the time of predicting a single image", digits=2,
    ),
    "latency_p99_ms": Metric(
        title="latency, p99", unit="ms", better="lower",
        meaning="99th percentile of the time of predicting a single image", digits=2,
    ),
    "mfu": Metric(
        title="MFU", unit="", better="higher",
        meaning="model FLOP utilisation: FLOP of training an image x images/s over the peak that "
        "a matrix product of the same data type reached on this device",
    ),
    "compile_s": Metric(
        title="compile time", unit="s", better="lower",
        meaning="tracing and compiling the training and evaluation steps", digits=1,
    ),
    "jit_off_step_s": Metric(
        title="step without XLA", unit="s", better="lower",
        meaning="least of several timings of a training step by --jit auto, XLA off", digits=4,
    ),
    "jit_on_step_s": Metric(
        title="step with XLA", unit="s", better="lower",
        meaning="least of several timings of a training step by --jit auto, XLA on", digits=4,
    ),
    "scaled_learning_rate": Metric(
        title="scaled learning rate", unit="", better="neither",
        meaning="learning rate once any warm-up is over, scaled with the global batch", digits=6,
    ),
    "skipped_steps": Metric(
        title="skipped steps", unit="steps", better="lower",
        meaning="training steps left out because a float16 gradient overflowed", digits=0,
    ),
    "evaluation_s": Metric(
        title="evaluation time", unit="s", better="lower", meaning="predicting all evaluations"
    ),
    "mflops": Metric(
        title="MFLOP per image", unit="MFLOP", better="lower",
        meaning="convolutions and matrix products of one image's forward pass; a multiply-add "
        "counts as 2", digits=1,
    ),
    "peak_rss_mib": Metric(
        title="peak memory", unit="MiB", better="lower",
        meaning="largest resident set of the process so far", digits=0,
    ),
    "peak_device_mib": Metric(
        title="peak device memory", unit="MiB", better="lower",
        meaning="most memory that TensorFlow held at once on one of the devices", digits=0,
    ),
}  # fmt: skip

QUALITY = (
    "score", "accuracy", "mean_iou", "localization_accuracy",
    "iou_50", "iou_60", "iou_75", "cross_entropy", "box_mse", "loss",
)  # fmt: skip
"""Names of the measures computed from predictions; in a record prefixed by the split."""
