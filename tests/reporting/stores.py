"""Small stores with known scores, written through the store's own interface."""

import numpy as np

from cdam_bench.metrics import BoxSensitivity, Compactness, Fidelity, Localisation, MaskLocalisation
from cdam_bench.store.cells import Cell, CellKey
from cdam_bench.store.chunks import CURVE, IMAGE, INFO, SCORE, SECONDS
from cdam_bench.store.columns import declaration
from cdam_bench.store.measured import put_together

PERCENT = [0.0, 50.0, 100.0]
SIZES = [10.0, 30.0, 60.0]
CURVES = {"fidelity_pixel": (2, len(PERCENT)), "fidelity_patch": (2, len(PERCENT)), "box_r": (len(SIZES),)}
METRICS = {
    "fidelity": Fidelity(steps=2, unit="both"),
    "box_sensitivity": BoxSensitivity(sizes=SIZES),
    "compactness": Compactness(),
    "localisation": Localisation(),
    "mask_localisation": MaskLocalisation(),
}
SETTINGS = {
    "cdam_bench": "0.2.0",
    "dataset": {"_target_": "cdam_bench.datasets.DigitScenes", "num_images": 8},
    "backbone": {"architecture": "tiny", "checkpoint": None, "head": None},
    "metric": {"fidelity": {"steps": 2}},
    "seed": 0,
    "target_order": "logit",
    "precision": "fp32",
}
VERSIONS = {"cdam_bench": "0.2.0", "torch": "2.0"}


def declared(columns=(), curves=()):
    """What cell.yaml says about metrics: the package's, and one of one's own that declares these columns and curves."""
    own = {"mine": declaration(columns, curves)} if columns or curves else {}
    return {name: declaration(metric.columns(), metric.curves()) for name, metric in METRICS.items()} | own


def write_cell(
    results_dir,
    estimator,
    scores,
    dataset="digits",
    backbone="digits_vit",
    targets=1,
    done=None,
    curves=tuple(CURVES),
    settings=None,
    names=("zebra",),
    target=None,
    **details,
):
    """One cell.

    Args:
        results_dir: the store.
        estimator: its name.
        scores: score → value of every image.
        dataset, backbone: names.
        targets: per image.
        done: images measured so far; None: all.
        curves: names of the curves it has, with random values, or name → values (images, …).
        settings: what differs from SETTINGS.
        names: of the targets, the same for every image.
        target: the estimator's class; None: its name.
        details: of cell.yaml, such as outputs="quantities" or metrics=declared(columns).
    """
    count = len(next(iter(scores.values())))
    identity = {**SETTINGS, **(settings or {}), "estimator": {"_target_": target or estimator}}
    about = {"num_images": count, "chunk_size": 2, "device": "cpu (1 threads)", "versions": VERSIONS}
    cell = Cell(results_dir, CellKey(dataset, backbone, estimator))
    cell.open(identity, {**about, "outputs": "classes", "metrics": declared(), **details})
    rng = np.random.default_rng(len(estimator))
    if not isinstance(curves, dict):
        shapes = {name: (count, targets, *CURVES[name], targets) for name in curves}
        curves = {name: rng.uniform(-1, 1, size=shape) for name, shape in shapes.items()}
    (metric,) = identity["metric"]  # one that measures everything
    for start, stop in cell.ranges():
        if done is not None and start >= done:
            break
        part, size = slice(start, stop), stop - start
        info = {IMAGE: np.array([f"image-{i}" for i in range(start, stop)]), SECONDS: np.array([0.5])}
        columns = ("target", "other", *(f"target{k + 1}" for k in range(2, len(names))))
        for column, name in zip(columns, names, strict=False):
            info[f"{INFO}{column}"] = np.array([name] * size)
            info[f"{INFO}{column}_index"] = np.arange(size)
            info[f"{INFO}{column}_logit"] = np.full(size, 2.0)
        arrays = {SCORE + name: np.asarray(values, dtype=float)[part] for name, values in scores.items()}
        arrays |= {CURVE + name: values[part] for name, values in curves.items()}
        cell.chunks.write(start, stop, put_together(info, {metric: arrays}, identity["metric"]))
    if done is None:
        assert cell.finish() == []
    return cell
