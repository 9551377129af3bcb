"""A made-up report: what the page shows is known number by number."""

import base64
import io
from typing import Any

import numpy as np
from PIL import Image

METHODS = {
    "cdam": ("CDAM", "CDAM", "#C31B1F"),
    "gradcam": ("GradCAM", "Gradients", "#0464B4"),
    "random": ("Random", "Floor", "#656263"),
}
SCORES = {"A_box": "high", "A_MIF": "low", "compactness": ""}
IMAGES = 5
HOSTILE = "<script>window.stolen = true</script><img src=x onerror='window.stolen = true'>"


def uri(seed: int, side: int = 8) -> str:
    """A small picture as the page holds it."""
    buffer = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 255, (side, side, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(buffer, "png")
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def values(method: str, score: str) -> list[float]:
    """Scores of a method, image by image; CDAM is best on the last image, GradCAM on the first."""
    place, sign = list(METHODS).index(method), -1 if SCORES[score] == "low" else 1
    slope = {0: 1.0, 1: -1.0, 2: 0.0}[place]
    return [sign * (10.0 - 3 * place + slope * image) for image in range(IMAGES)]


def entry(method: str, score: str) -> dict[str, Any]:
    """A mean with a made-up interval of ±1."""
    mean = sum(values(method, score)) / IMAGES
    return {"mean": mean, "low": mean - 1, "high": mean + 1, "n": IMAGES, "missing": 0}


def ranking(score: str) -> dict[str, Any]:
    """CDAM best and tied with GradCAM, where a direction is better."""
    tested = bool(SCORES[score])
    rows = [
        {
            "estimator": method,
            **entry(method, score),
            "complete": True,
            "best": False,
            "tied": method != "random" if tested else None,
            "p": 0.5,
        }
        for method in METHODS
    ]
    return {
        "score": score,
        "tested": tested,
        "warning": "",
        "words": "sign flips",
        "best": "cdam" if tested else None,
        "rows": rows,
    }


def curve() -> dict[str, Any]:
    """Two panels and two maps; a line of its own height for every method."""
    bands = {}
    for place, method in enumerate(METHODS):
        mean = [8.0 - place, 5.0 - place, 1.0]
        band = {"mean": mean, "low": [value - 0.5 for value in mean], "high": [value + 0.5 for value in mean]}
        bands[method] = [[band, band], [band, band]]
    return {
        "name": "fidelity",
        "title": "fidelity",
        "x": [0, 50, 100],
        "x_label": "blurred pixels (%)",
        "y_label": "target logit",
        "panels": ["MIF", "LIF"],
        "maps": ["the target’s own map", "the other class’s map"],
        "note": "",
        "bands": bands,
    }


def gallery(hostile: str) -> dict[str, Any]:
    """Two targets of every image; all methods have maps."""
    images = [
        {
            "image": image,
            "why": ["first"],
            "picture": uri(image, 16),
            "outline": None,
            "targets": [
                {"name": hostile or "cat", "value": "logit 3.4", "box": [2, 2, 8, 8]},
                {"name": "dog", "value": "", "box": None},
            ],
            "maps": {method: [uri(image + 10), uri(image + 20)] for method in METHODS},
        }
        for image in range(IMAGES)
    ]
    return {
        "how": "The first ones.",
        "shown": IMAGES,
        "of": IMAGES,
        "width": 16,
        "height": 16,
        "signed": dict.fromkeys(METHODS, True),
        "scales": [{"ends": ["counter-evidence", "evidence"], "uri": uri(1, 2), "estimators": list(METHODS)}],
        "untold": [],
        "images": images,
    }


def paper_check() -> dict[str, Any]:
    """One number of the paper that ours contradicts."""
    row = {
        **entry("cdam", "A_box"),
        "estimator": "cdam",
        "score": "A_box",
        "printed": "-1.5",
        "difference": 13.5,
        "visible": 0.25,
        "p": 0.0001,
        "compatible": False,
        "open": "the blur (σ)",
    }
    return {"verdict": "One of one is not.", "note": "", "orders": "", "rows": [row]}


def headline(dataset: str, hostile: str) -> dict[str, Any]:
    return {
        "sentence": f"3 methods, 5 images of {dataset}. {hostile}",
        "images": "5",
        "methods": 3,
        "targets": 2,
        "outputs": "classes",
        "devices": ["cpu"],
        "first": "2026-11-21 18:57",
        "last": "2026-11-21 20:04",
        "versions": ["0.2.0"],
    }


def about_score(name: str) -> dict[str, Any]:
    shown = {"label": name, "heading": f"{name} ↑", "unit": "logit", "better": SCORES[name], "decimals": 1}
    return {**shown, "table": "t", "aspect": "", "note": ""}


def table(hostile: str) -> dict[str, Any]:
    """The paper's number stands beside A_box alone."""
    with_paper = {"best": False, "paper": "-1.5", "difference": 2.5}
    without = {"best": False, "paper": "", "difference": None}
    rows = [
        {
            "estimator": method,
            "complete": True,
            "images": "5",
            "entries": [{**entry(method, score), **(with_paper if score == "A_box" else without)} for score in SCORES],
        }
        for method in METHODS
    ]
    columns = {"columns": list(SCORES), "paper": [True, False, False]}
    return {"name": "correctness", "title": "Correctness", "caption": f"Means. {hostile}", **columns, "rows": rows}


def images(hostile: str) -> dict[str, Any]:
    return {
        "names": [f"{image:05d}{hostile}" for image in range(IMAGES)],
        "targets": [[hostile or "cat", "dog"]] * IMAGES,
        "thumbnails": [uri(image) for image in range(IMAGES)],
        "scores": {method: {score: values(method, score) for score in SCORES} for method in METHODS},
        "note": "",
    }


def cost() -> dict[str, Any]:
    points = [
        {"estimator": method, "cost": 10.0**-place, **entry(method, "A_box"), "front": place == 0}
        for place, method in enumerate(METHODS)
    ]
    return {"name": "seconds", "label": "seconds per image", "note": "", "score": "A_box", "points": points}


def agreement() -> dict[str, Any]:
    pair = {"mean": 0.5, "low": 0.1, "high": 0.9, "n": 3}
    pairs = [{"first": "A_box", "second": "A_MIF", "of_means": pair, "per_image": {**pair, "mean": -0.25}}]
    return {"note": "Spearman.", "rows": ["A_box"], "columns": ["A_MIF"], "pairs": pairs}


def cell(method: str, hostile: str) -> dict[str, Any]:
    return {
        "estimator": method,
        "complete": True,
        "images": "5",
        "seconds": 11.3,
        "explaining": 0.002,
        "device": "cpu",
        "started": "2026-11-21 18:57",
        "versions": {"torch": "2.15"},
        "settings": {"steps": hostile},
        "digest": "0123abcd",
    }


def comparison(dataset: str, hostile: str) -> dict[str, Any]:
    """A dataset × backbone; `hostile` stands wherever a user may write."""
    methods = list(METHODS)
    return {
        "id": f"{dataset}/vit",
        "title": f"{dataset} · vit",
        "dataset": dataset,
        "backbone": "vit",
        "distinction": hostile,
        "headline": headline(dataset, hostile),
        "estimators": methods,
        "complete": methods,
        "scores": {name: about_score(name) for name in SCORES},
        "headline_scores": list(SCORES),
        "rankings": [ranking(score) for score in SCORES],
        "tables": [table(hostile)],
        "text_tables": [],
        "paper": None,
        "curves": [curve()],
        "scatter_scores": list(SCORES),
        "gallery": gallery(hostile),
        "images": images(hostile),
        "cost": [cost()],
        "agreement": agreement(),
        "settings": {"metric.fidelity.steps": "40", "dataset.root": hostile},
        "cells": [cell(method, hostile) for method in methods],
        "notes": [{"kind": "few", "text": f"Five images are few. {hostile}"}],
    }


def report(hostile: str = "") -> dict[str, Any]:
    """The whole page's data; two comparisons."""
    families = {
        family: [method for method, about in METHODS.items() if about[1] == family] for _, family, _ in METHODS.values()
    }
    return {
        "format": 1,
        "title": f"Results {hostile}".strip(),
        "version": "0.2.0",
        "notes": [hostile] if hostile else [],
        "estimators": {
            method: {"name": f"{name}{hostile}", "family": family, "colour": colour, "dash": [], "marker": "circle"}
            for method, (name, family, colour) in METHODS.items()
        },
        "families": [{"name": name, "colour": "#C31B1F", "estimators": methods} for name, methods in families.items()],
        "comparisons": [
            comparison("digits", hostile),
            {**comparison("mosaics", hostile), "agreement": None, "paper": paper_check()},
        ],
    }
