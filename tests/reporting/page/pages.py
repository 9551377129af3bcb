"""What the page of a small store holds, read back from the HTML as a browser would."""

import json
from html.parser import HTMLParser

import numpy as np
from omegaconf import OmegaConf

from cdam_bench.reporting.comparisons import read_comparisons
from cdam_bench.reporting.page.data import Gallery
from cdam_bench.reporting.report import write_report
from tests.reporting.stores import METRICS, SIZES, write_cell

PATHS = OmegaConf.create({"data_dir": "data", "weights_dir": "weights"})
RUNTIME = OmegaConf.create({"device": "cpu", "batch_size": "auto"})
COUNT = 12
SCORES = ("A_LIF-MIF_patch", "A_box", "mean_r", "delta_A_box", "compactness", "pointing_game", "positive_share")


class Elements(HTMLParser):
    """Every script of a page, and every attribute."""

    def __init__(self, text):
        super().__init__()
        self.scripts, self.attributes, self._inside = [], [], False
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.attributes += attrs
        self._inside = tag == "script"
        if self._inside:
            self.scripts.append((dict(attrs), ""))

    def handle_endtag(self, tag):
        self._inside = self._inside and tag != "script"

    def handle_data(self, data):
        if self._inside:
            attrs, text = self.scripts[-1]
            self.scripts[-1] = attrs, text + data


def data_of(text):
    """The JSON that a page holds."""
    (held,) = [text for attrs, text in Elements(text).scripts if attrs.get("id") == "report-data"]
    return json.loads(held)


def no_gallery():
    return Gallery(0, 0, PATHS, RUNTIME)


def page_of(store, gallery=None):
    """What the page of a store holds, and what could not be shown."""
    page, problems = write_report(read_comparisons(store), store / "report", [], gallery or no_gallery())
    return data_of(page.read_text(encoding="utf-8")), problems


def random_scores(seed, count=COUNT):
    """Scores of a method that is the better the larger the seed; one of the correlations is unknown."""
    rng = np.random.default_rng(seed)
    scores = {name: rng.normal(seed, 1.5, count) for name in SCORES}
    scores["mean_r"][1] = np.nan
    scores["compactness"] = rng.uniform(0, 1, count)
    scores["pointing_game"] = rng.integers(0, 2, count).astype(float)
    return scores


def fill(store, **settings):
    """Four methods in one comparison, the last of them not finished."""
    for seed, estimator in enumerate(("cdam", "attention_map", "gradcam")):
        explaining = {"explaining": {"seconds": 1.0, "seconds_per_image": 0.1 * (3 - seed)}}
        write_cell(store, estimator, random_scores(seed), targets=2, names=("3", "8"), **{**explaining, **settings})
    write_cell(store, "smoothgrad", random_scores(3), targets=2, names=("3", "8"), done=4, **settings)
    assert {"fidelity", "box_sensitivity"} <= set(METRICS)
    assert len(SIZES) == 3
    return store
