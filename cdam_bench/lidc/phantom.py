"""Phantom nodules: made by formula in lung-like noise, rated like LIDC's, so that everything can be tried without a CT scan.

A nodule is a body with a surface r(direction) around a centre that is a little off the cube's. Its seven ratings and its diameter
are the numbers it is drawn from, but for subtlety:

| biomarker | scale | what it does |
|---|---|---|
| diameter | 5–22 mm | twice the mean radius without spikes |
| spiculation | 1–5 | height of 24 narrow spikes, up to 5 mm |
| lobulation | 1–5 | height of 6 broad bumps, up to a quarter of the radius |
| sphericity | 1–5 | 5: a ball; 1: one axis is 1.6 times as long as the others |
| margin | 1–5 | 5: sharp; 1: the edge fades over some millimetres |
| texture | 1–5 | inside from −600 HU (ground glass) to 40 HU (solid) |
| calcification | 1–6 | 6: none (six nodules of ten); below: a bright core |
| subtlety | 1–5 | grows with texture and diameter |

Malignancy is rated round(3 + (diameter − 13 mm) / 3 mm + 0.6 · (spiculation − 3)), within 1–5; as with LIDC, nodules rated 3 are
left out. Around the nodule are smooth and white noise and up to three vessels.
"""

from collections.abc import Iterator

import numpy as np
import pandas as pd
from omegaconf import DictConfig
from scipy.ndimage import gaussian_filter
from tqdm import tqdm

from cdam_bench.errors import require_count
from cdam_bench.lidc.nodule_set import BIOMARKERS, SIDE, NoduleSet

LUNG = -860.0  # HU
SPIKES, BUMPS = 24, 6
INDETERMINATE = 3


def make_phantom(config: DictConfig) -> None:
    """The run of `conf/scripts/make_lidc_phantom.yaml`: writes a NoduleSet."""
    nodules = phantom_nodules(require_count("count", config.count), config.seed)
    nodules.save(config.output)
    print(f"{config.output}: {nodules.counts()}")


def phantom_nodules(count: int, seed: int = 0) -> NoduleSet:
    """`count` phantom nodules, of two thirds as many patients; each depends on the seed and its own number alone."""
    rows, crops, masks = [], [], []
    candidates = _candidates(seed)
    for place in tqdm(range(count), desc="phantoms", unit="nodule"):
        number, row = next(candidates)
        hu, mask = draw_nodule(row, np.random.default_rng([seed, number, 1]))
        patient = f"PHANTOM-{place * 2 // 3:04d}"
        rows.append({"nodule": f"{patient}-n{number:04d}", "patient": patient} | row)
        crops.append(hu)
        masks.append(mask)
    table = pd.DataFrame(rows)
    order = np.argsort(table.nodule.to_numpy(dtype=np.str_), kind="stable")
    description = {
        "what": "Phantom nodules, made by cdam_bench.lidc.phantom: no patient's data",
        "settings": {"count": count, "seed": seed},
        "skipped": [],
        "notes": [],
    }
    return NoduleSet(
        table.iloc[order].reset_index(drop=True), np.stack(crops)[order], np.stack(masks)[order], description
    )


def _candidates(seed: int) -> Iterator[tuple[int, dict[str, float]]]:
    """Numbers and ratings of nodules, without the indeterminate ones."""
    number = 0
    while True:
        row = _ratings(np.random.default_rng([seed, number, 0]))
        if row["malignancy"] != INDETERMINATE:
            yield number, row
        number += 1


def _ratings(rng: np.random.Generator) -> dict[str, float]:
    """Biomarkers and malignancy of one nodule."""
    diameter = rng.uniform(5, 22)
    rated = {name: rng.uniform(1, 5) for name in ("spiculation", "lobulation", "sphericity", "margin", "texture")}
    calcified = rng.uniform() < 0.4
    rated["calcification"] = rng.uniform(1, 6) if calcified else 6.0
    rated["subtlety"] = 1 + (rated["texture"] - 1) / 2 + 2 * (diameter - 5) / 17
    rated["diameter"] = diameter
    malignancy = np.clip(round(3 + (diameter - 13) / 3 + 0.6 * (rated["spiculation"] - 3)), 1, 5)
    row = {"malignancy": float(malignancy), "label": int(malignancy > INDETERMINATE)}
    return row | {name: float(rated[name]) for name in BIOMARKERS}


def draw_nodule(row: dict[str, float], rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A nodule with the given ratings.

    Args:
        row: the eight biomarkers.
        rng: for everything they do not say.
    Returns:
        hu (32, 32, 32) int16 in [−1000, 400], and mask (32, 32, 32) bool: where the body is.
    """
    radius = row["diameter"] / 2
    axes = np.ones(3)
    axes[rng.integers(3)] = 1 + 0.6 * (5 - row["sphericity"]) / 4
    axes /= axes.prod() ** (1 / 3)  # the volume stays
    centre = SIDE // 2 + rng.uniform(-0.25, 0.25, 3) * min(radius, 8)
    places = (np.indices((SIDE,) * 3).reshape(3, -1).T - centre) / axes  # (32³, 3) in mm
    distance = np.linalg.norm(places, axis=1)
    directions = places / np.maximum(distance, 1e-6)[:, None]
    bumps = np.exp(5 * (directions @ _directions(BUMPS, rng).T - 1)).sum(1)
    spikes = np.exp(50 * (directions @ _directions(SPIKES, rng).T - 1)).sum(1).clip(max=1)
    lobes = (row["lobulation"] - 1) / 4 * 0.25 * (bumps - bumps.mean()).clip(-1, 1)
    surface = radius * (1 + lobes) + 5 * (row["spiculation"] - 1) / 4 * spikes
    softness = 0.35 + 0.35 * (5 - row["margin"])  # mm
    body = 1 / (1 + np.exp(np.clip((distance - surface) / softness, -30, 30)))
    inside = -600 + 640 * (row["texture"] - 1) / 4
    core = 1 / (1 + np.exp(np.clip((distance - 0.45 * radius) / 0.5, -30, 30)))
    inside = inside + 800 * (6 - row["calcification"]) / 5 * core
    background = _lung(rng)
    hu = background + body.reshape((SIDE,) * 3) * (inside.reshape((SIDE,) * 3) - background)
    hu += rng.normal(0, 30, hu.shape)
    return np.clip(np.rint(hu), -1000, 400).astype(np.int16), (distance <= surface).reshape((SIDE,) * 3)


def _directions(count: int, rng: np.random.Generator) -> np.ndarray:
    """Random unit vectors (count, 3)."""
    vectors = rng.normal(size=(count, 3))
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def _lung(rng: np.random.Generator) -> np.ndarray:
    """Smooth noise with vessels: (32, 32, 32) in HU."""
    noise = gaussian_filter(rng.normal(size=(SIDE,) * 3), 2.0)
    lung = LUNG + 50 * noise / noise.std()
    places = np.indices((SIDE,) * 3).reshape(3, -1).T.astype(float)
    for _ in range(rng.integers(4)):
        through, along = rng.uniform(0, SIDE, 3), _directions(1, rng)[0]
        offset = places - through
        distance = np.linalg.norm(offset - (offset @ along)[:, None] * along, axis=1).reshape((SIDE,) * 3)
        vessel = 1 / (1 + np.exp(np.clip((distance - rng.uniform(0.7, 1.6)) / 0.4, -30, 30)))
        lung = np.maximum(lung, LUNG + (rng.uniform(-300, 0) - LUNG) * vessel)
    return lung
