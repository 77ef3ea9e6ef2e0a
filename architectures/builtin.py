"""What this room offers, by name: plain text, so that listing it imports no Keras."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What is known of a backbone before anything is imported.

    Attributes:
        name: what `--backbone` takes.
        location: `package.module:function`.
        owner: distribution that announced it; the module for one registered by hand.
        summary: one line; empty for an entry point, which can carry none.
        options: which of `registry.OPTIONS` its function takes; None if that is known only after
            the import.
    """

    name: str
    location: str
    owner: str
    summary: str = ""
    options: tuple[str, ...] | None = None


def _entry(name: str, location: str, summary: str, *options: str) -> Entry:
    return Entry(
        name=name,
        location=f"architectures.{location}",
        owner="locbench",
        summary=summary,
        options=options,
    )


BUILTIN: dict[str, Entry] = {
    entry.name: entry
    for entry in (
        _entry(
            "notebook-cnn",
            "notebook_cnn:notebook_cnn",
            "Three convolutions (16, 32, 64), average pooling, one dense layer of 128.",
            "width",
        ),
        _entry(
            "readme-cnn",
            "readme_cnn:readme_cnn",
            "Two convolutions (16, 32), max pooling, one dense layer of 128.",
            "width",
        ),
        _entry(
            "residual-s",
            "residual:residual_s",
            "Pre-activation residual net: stride 4, three stages of one block (16, 32, 64).",
            "width",
            "depth",
        ),
        _entry(
            "residual-m",
            "residual:residual_m",
            "Pre-activation residual net: stride 4, three stages of two blocks (32, 64, 128).",
            "width",
            "depth",
        ),
        _entry(
            "residual-l",
            "residual:residual_l",
            "Pre-activation residual net: stride 2, four stages of two blocks (64-512), for GPUs.",
            "width",
            "depth",
        ),
        _entry(
            "mobile-s",
            "inverted_residual:mobile_s",
            "Inverted residual net: stride 2, three stages of one block (16, 24, 48).",
            "width",
            "depth",
        ),
        _entry(
            "mobile-m",
            "inverted_residual:mobile_m",
            "Inverted residual net: stride 2, three stages of two blocks (24, 40, 80).",
            "width",
            "depth",
        ),
        _entry(
            "mobile-l",
            "inverted_residual:mobile_l",
            "Inverted residual net: stride 2, four stages of three blocks (32 to 192), for GPUs.",
            "width",
            "depth",
        ),
        _entry(
            "convnext-s",
            "convnext:convnext_s",
            "ConvNeXt-style net: patches of 4x4, three stages of one block (16, 32, 64).",
            "width",
            "depth",
        ),
        _entry(
            "convnext-m",
            "convnext:convnext_m",
            "ConvNeXt-style net: patches of 4x4, three stages of two blocks (32, 64, 128).",
            "width",
            "depth",
        ),
        _entry(
            "convnext-l",
            "convnext:convnext_l",
            "ConvNeXt-style net: patches of 2x2, four stages of three blocks (64-512), for GPUs.",
            "width",
            "depth",
        ),
        _entry(
            "densenet-s",
            "dense_connections:densenet_s",
            "Densely connected net: stride 4, three blocks of two layers that add 16 channels.",
            "width",
            "depth",
        ),
        _entry(
            "densenet-m",
            "dense_connections:densenet_m",
            "Densely connected net: stride 4, three blocks of six layers that add 16 channels.",
            "width",
            "depth",
        ),
        _entry(
            "densenet-l",
            "dense_connections:densenet_l",
            "Densely connected net: stride 2, four blocks of eight layers that add 32, for GPUs.",
            "width",
            "depth",
        ),
        _entry(
            "patch-s",
            "patch_cnn:patch_s",
            "Patch CNN: patches of 5 pixels, two stages of one residual convolution (32, 64).",
            "width",
            "depth",
        ),
        _entry(
            "patch-m",
            "patch_cnn:patch_m",
            "Patch CNN: patches of 5 pixels, two stages of three residual convolutions (64, 128).",
            "width",
            "depth",
        ),
        _entry(
            "patch-l",
            "patch_cnn:patch_l",
            "Patch CNN: 5-pixel patches, three stages of four convolutions (128-512), for GPUs.",
            "width",
            "depth",
        ),
        _entry(
            "vit-s",
            "vision_transformer:vit_s",
            "Vision transformer: patches of 10 pixels, three blocks of 48 channels, 3 heads.",
            "width",
            "depth",
        ),
        _entry(
            "vit-m",
            "vision_transformer:vit_m",
            "Vision transformer: patches of 5 pixels, six blocks of 128 channels, 4 heads.",
            "width",
            "depth",
        ),
        _entry(
            "vit-l",
            "vision_transformer:vit_l",
            "Vision transformer: patches of 5 pixels, twelve blocks of 384 channels, for GPUs.",
            "width",
            "depth",
        ),
        _entry(
            "mixer-s",
            "mlp_mixer:mixer_s",
            "MLP-Mixer: patches of 10 pixels, three blocks of 64 channels.",
            "width",
            "depth",
        ),
        _entry(
            "mixer-m",
            "mlp_mixer:mixer_m",
            "MLP-Mixer: patches of 5 pixels, six blocks of 128 channels.",
            "width",
            "depth",
        ),
        _entry(
            "mixer-l",
            "mlp_mixer:mixer_l",
            "MLP-Mixer: patches of 5 pixels, eight blocks of 512 channels, for GPUs.",
            "width",
            "depth",
        ),
    )
}

HEADS = {
    "dense": "softmax and four linear outputs of all features; the default",
    "pooled": "the same of the mean over a feature map; forgets the place",
    "soft-argmax": "attention over a feature map: looks at the object, and says where it looks",
}
"""The heads, with a line each."""
