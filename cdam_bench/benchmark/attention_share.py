"""Attention share: how much of what a network's output loses under perturbation flows through its last attention.

Methods that look at the last block alone can explain that share, and no more. With o the last attention's output for [CLS] and s
the [CLS] residual stream that goes around it (metrics/paths.py), x an image and x̃ the same with every pixel replaced:

    share of the attention  Σ [f(o, s) − f(õ, s)] / Σ [f(o, s) − f(õ, s̃)]    over images; f the target's logit
    share of the stream     Σ [f(o, s) − f(o, s̃)] / Σ [f(o, s) − f(õ, s̃)]

They need not add up to one: f is not linear. Ratios of sums, because an image whose logit hardly drops has no share of its own.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from omegaconf import DictConfig
from torch import Tensor

from cdam_bench.backbones import Backbone
from cdam_bench.benchmark.targets import (
    COMPETING,
    TARGET_ORDERS,
    choose_targets,
    concept_targets,
    output_kind,
)
from cdam_bench.computing.blur import require_sigma
from cdam_bench.configs import build_backbone, build_dataset, build_preprocessing
from cdam_bench.datasets import Dataset, batches
from cdam_bench.datasets.other_images import other_images
from cdam_bench.errors import UserError, require, require_count
from cdam_bench.metrics.fills import FILLS, IMPUTED, Scene, require_fill
from cdam_bench.metrics.paths import PATHS, PathReader
from cdam_bench.metrics.perturbation import PAPER_BLUR_SIGMA, chosen_outputs
from cdam_bench.statistics import RESAMPLES, Interval, mean_intervals, wilson_intervals
from cdam_bench.statistics.resampling import SEED, resampled
from cdam_bench.store.csv_text import csv_text
from cdam_bench.store.files import write_atomically

LABELS = ("dataset", "backbone", "fill", "measure")
MEASURES = {  # name → heading
    "drop": "drop of the logit",
    "left": "left of the logit",
    "attention_share": "through the last attention",
    "stream_share": "through the [CLS] stream",
    "top1_survives": "top-1 survives the mean attention output",
}


@dataclass(frozen=True)
class Drops:
    """Logits of each image's target, (N,) each: of the image, and along each path of metrics/paths.py with every pixel replaced."""

    clean: np.ndarray
    all: np.ndarray
    tokens: np.ndarray
    cls: np.ndarray

    def shares(self) -> dict[str, Interval]:
        """Name in `MEASURES` → value with its 95 % bootstrap interval over images."""
        drop = self.clean - self.all
        return {
            "drop": mean_intervals(drop[:, None])[0],
            "left": ratio_interval(self.all, self.clean),
            "attention_share": ratio_interval(self.clean - self.tokens, drop),
            "stream_share": ratio_interval(self.clean - self.cls, drop),
        }


def ratio_interval(above: np.ndarray, below: np.ndarray) -> Interval:
    """Σ above / Σ below with its 95 % percentile-bootstrap interval; values (n,) each, of the same images.

    The ends are NaN where a resample's sum below is not positive: then the ratio has no bounds.
    """
    count, total = len(below), float(below.sum())
    ratio = float(above.sum()) / total if total != 0 else np.nan
    means = resampled(np.stack([above, below], 1), RESAMPLES, SEED)  # (resamples, 2)
    if count < 2 or (means[:, 1] <= 0).any():
        return Interval(ratio, np.nan, np.nan, count)
    low, high = np.quantile(means[:, 0] / means[:, 1], [0.025, 0.975])
    return Interval(ratio, float(low), float(high), count)


def last_block_drops(
    backbone: Backbone, images: Tensor, targets: Tensor, fill: Tensor, batch_size: int = 64
) -> tuple[Tensor, ...]:
    """Logits of the target of images, and of their filled copies along all paths.

    Args:
        backbone: whose head reads [CLS].
        images, fill: (B, 3, H, W), normalised.
        targets: (B,) long.
        batch_size: images in one forward pass.
    Returns:
        Clean, and along "all", "tokens", "cls": (B,) float32 each.
    Raises:
        UserError: for a head that does not read [CLS].
    """
    reader = PathReader(backbone, images, PATHS, batch_size)
    parts = torch.arange(len(images), device=images.device).split(batch_size)
    with torch.inference_mode():
        clean = reader.outputs(reader.attended, reader.stream)[:, None]  # (B, 1, C)
        replaced = torch.cat([reader(fill[part], part) for part in parts])  # (B, paths, C)
    return chosen_outputs(torch.cat([clean, replaced], 1), targets[:, None]).squeeze(-1).unbind(1)


def survives_mean_attention(backbone: Backbone, attended: Tensor, stream: Tensor) -> Tensor:
    """Whether the top output stays when the last attention's output is its mean over all images.

    Args:
        backbone: whose head reads [CLS].
        attended: (N, H, d), of the attention's heads for [CLS]; their projection is linear, so its mean is that of the means.
        stream: (N, S, D), [CLS] as it entered the last blocks.
    Returns:
        (N,) bool.
    """
    last = backbone.last_block

    def top(outputs: Tensor) -> Tensor:
        return backbone.head(last.readout(outputs, stream)).argmax(-1)

    with torch.inference_mode():
        return top(attended) == top(attended.mean(0, keepdim=True).expand_as(attended))


@dataclass(frozen=True)
class Measured:
    """What is measured of a network on a dataset: fill → logits, and whether each image's top output survives, (N,)."""

    drops: dict[str, Drops]
    survives: np.ndarray


def measure(
    backbone: Backbone, dataset: Dataset, fills: list[str], blur_sigma: float, seed: int, order: str, batch_size: int
) -> Measured:
    """Walk through a dataset once.

    Args:
        backbone: whose head reads [CLS].
        dataset: whose first targets are looked at, chosen as in a run.
        fills: names in `cdam_bench.metrics.fills.FILLS`.
        blur_sigma: in pixels.
        seed: of noise and other images.
        order: of the targets, as `target_order` of a run.
        batch_size: images in one forward pass.
    """
    outputs = output_kind(dataset, backbone.head)
    order = order if outputs in COMPETING else "annotated"
    found: dict[str, list[np.ndarray]] = {fill: [] for fill in fills}
    attended, streams = [], []
    for indices, batch in batches(dataset, batch_size, seed):
        images = batch.images.to(backbone.device)
        reader = PathReader(backbone, images, PATHS, batch_size)
        with torch.inference_mode():
            logits = reader.outputs(reader.attended, reader.stream).cpu()
        named = concept_targets(batch, dataset.class_names, backbone.head)
        targets = choose_targets(named, logits, order)[0][:, 0].to(images.device)
        scene = Scene(
            images,
            blur_sigma,
            batch.seeds,
            dataset,
            lambda indices=indices, seeds=batch.seeds: other_images(dataset, indices, seeds, outputs in COMPETING),
        )
        for fill, parts in found.items():
            parts.append(
                torch.stack(last_block_drops(backbone, images, targets, FILLS[fill](scene), batch_size)).cpu().numpy()
            )
        attended.append(reader.attended)
        streams.append(reader.stream)
    survives = survives_mean_attention(backbone, torch.cat(attended), torch.cat(streams)).cpu().numpy()
    drops = {fill: Drops(*np.concatenate(parts, 1).astype(np.float64)) for fill, parts in found.items()}
    return Measured(drops, survives)


def attention_share(config: DictConfig) -> dict[str, dict[str, Interval]]:
    """The measures of a configured network on a configured dataset.

    Args:
        config: composed from conf/scripts/measure_attention_share.yaml.
    Returns:
        Fill → name in `MEASURES` → value with its 95 % interval over images; shares in [0, 1], where they are shares.
    Raises:
        UserError: for a head that does not read [CLS], and for settings that cannot be.
    """
    fills = [config.fills] if isinstance(config.fills, str) else list(config.fills or [])
    require(bool(fills), "fills=[]: give at least one")
    fills = [require_fill(fill) for fill in dict.fromkeys(fills)]
    require(
        not IMPUTED.keys() & set(fills),
        f"fills={','.join(fills)}: where all is replaced, nothing is left to impute from",
    )
    batch_size = require_count("batch_size", config.batch_size)
    if config.target_order not in TARGET_ORDERS:
        raise UserError(f"target_order={config.target_order} is unknown: use one of {', '.join(TARGET_ORDERS)}")
    backbone, preprocessing = build_backbone(config), build_preprocessing(config)
    sigma = PAPER_BLUR_SIGMA * preprocessing.image_size / 224 if config.blur_sigma is None else config.blur_sigma
    require_sigma(sigma)
    dataset = build_dataset(config, preprocessing)
    found = measure(backbone, dataset, fills, sigma, config.seed, config.target_order, batch_size)
    survives = wilson_intervals(found.survives[:, None].astype(np.float64))[0]
    return {fill: drops.shares() | {"top1_survives": survives} for fill, drops in found.drops.items()}


def measure_attention_share(config: DictConfig) -> None:
    """Print the measures, and write them as CSV and Markdown, and onto the network's card, if one is given.

    Args:
        config: composed from conf/scripts/measure_attention_share.yaml.
    """
    shares = attention_share(config)
    names = (config.names.dataset, config.names.backbone)
    text = as_markdown(*names, shares)
    print(text, end="")
    rows = ([*names, fill, measure_, one] for fill, own in shares.items() for measure_, one in own.items())
    write_atomically(Path(f"{config.output}.csv"), csv_text((*LABELS, "mean", "low", "high", "n"), rows).encode())
    write_atomically(Path(f"{config.output}.md"), text.encode())
    if config.card is not None:
        write_on_card(Path(config.card), config.names.dataset, shares)


def write_on_card(card: Path, dataset: str, shares: dict[str, dict[str, Interval]]) -> None:
    """Put a network's attention shares on a dataset, fill by fill, onto its card (.json); what else is there stays.

    Raises:
        UserError: if the card cannot be read.
    """
    try:
        about = json.loads(card.read_text())
    except (OSError, ValueError) as error:
        raise UserError(f"card={card}: is no card of a network ({type(error).__name__})") from error
    own = about.setdefault("attention share", {}).setdefault(dataset, {})
    for fill, found in shares.items():
        share = found["attention_share"]
        numbers = {"mean": share.mean, "low": share.low, "high": share.high}
        known = {name: round(value, 4) if np.isfinite(value) else None for name, value in numbers.items()}
        own[fill] = known | {"images": share.count}
    write_atomically(card, (json.dumps(about, indent=2) + "\n").encode())


def as_markdown(dataset: str, backbone: str, shares: dict[str, dict[str, Interval]]) -> str:
    """A table with a row per fill, and what it says."""
    count = next(iter(shares.values()))["drop"].count
    lines = [
        f"## {dataset} · {backbone}",
        "",
        f"Every pixel of {count} images replaced; the first target's logit. In brackets 95 % intervals over images: bootstrap, of "
        "top-1 Wilson's. “Through the last attention”: the part of the drop when only the last attention's output is that of the "
        "replaced image; “through the [CLS] stream”: when only the stream is. “Top-1 survives”: how often the top output stays "
        "when the last attention's output is its mean over these images.",
        "",
        f"| fill | {' | '.join(MEASURES.values())} |",
        f"|---|{'---:|' * len(MEASURES)}",
    ]
    for fill, own in shares.items():
        cells = [_shown(own[name], percent=name != "drop") for name in MEASURES]
        lines.append(f"| {fill} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _shown(found: Interval, percent: bool) -> str:
    values = (found.mean, found.low, found.high)
    mean, low, high = (f"{100 * value:.0f}" if percent else f"{value:.2f}" for value in values)
    return f"{mean}{' %' * percent} [{low}, {high}]"
