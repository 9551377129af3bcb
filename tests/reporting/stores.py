"""Small stores with known scores, written through the store's own interface."""

import numpy as np

from cdam_bench.store.cells import Cell, CellKey
from cdam_bench.store.chunks import CURVE, IMAGE, INFO, SCORE, SECONDS

PERCENT = [0.0, 50.0, 100.0]
SIZES = [10.0, 30.0, 60.0]
AXES = {
    "fidelity_pixel": {"ranked_by": [], "order": ["mif", "lif"], "percent": PERCENT, "recorded": []},
    "fidelity_patch": {"ranked_by": [], "order": ["mif", "lif"], "percent": PERCENT, "recorded": []},
    "box_r": {"ranked_by": [], "size": SIZES, "recorded": []},
}
SETTINGS = {
    "cdam_bench": "0.1.0",
    "dataset": {"_target_": "cdam_bench.datasets.DigitScenes", "num_images": 8},
    "backbone": {"architecture": "tiny", "checkpoint": None, "head": None},
    "metric": {"fidelity": {"steps": 2}},
    "seed": 0,
    "target_order": "logit",
    "precision": "fp32",
}
VERSIONS = {"cdam_bench": "0.1.0", "torch": "2.0"}


def write_cell(
    results_dir,
    estimator,
    scores,
    dataset="digits",
    backbone="digits_vit",
    targets=1,
    done=None,
    curves=tuple(AXES),
    settings=None,
):
    """One cell.

    Args:
        results_dir: the store.
        estimator: its name.
        scores: score → value of every image.
        dataset, backbone: names.
        targets: per image.
        done: images measured so far; None: all.
        curves: names of the curves it has.
        settings: what differs from SETTINGS.
    """
    count = len(next(iter(scores.values())))
    key = CellKey(dataset, backbone, estimator)
    identity = {**SETTINGS, **(settings or {}), "estimator": {"_target_": estimator}}
    details = {"num_images": count, "chunk_size": 2, "device": "cpu (1 threads)", "versions": VERSIONS}
    cell = Cell(results_dir, key).open(identity, details)
    rng = np.random.default_rng(len(estimator))
    for start, stop in cell.ranges():
        if done is not None and start >= done:
            break
        part, size = slice(start, stop), stop - start
        arrays = {
            IMAGE: np.array([f"image-{i}" for i in range(start, stop)]),
            INFO + "target": np.array(["zebra"] * size),
            INFO + "target_logit": np.full(size, 2.0),
            SECONDS: np.array([0.5]),
        }
        arrays |= {SCORE + name: np.asarray(values, dtype=float)[part] for name, values in scores.items()}
        for name in curves:
            shape = (targets, len(SIZES), targets) if name == "box_r" else (targets, 2, len(PERCENT), targets)
            arrays[CURVE + name] = rng.uniform(-1, 1, size=(size, *shape))
        cell.chunks.write(start, stop, arrays)
    if done is None:
        cell.finish(AXES)
    return cell
