"""Single deletion and SaCo against loops, and on maps of which the answer is known."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr

from cdam_bench.errors import UserError
from cdam_bench.metrics import SaCo, SingleDeletion, Subject, saco, single_deletion
from cdam_bench.metrics.cells import cell_drops, grid_cells, rank_correlation
from cdam_bench.metrics.saco import coefficient, salience_groups
from tests.reference import deletion

METRICS = {"single_deletion": SingleDeletion(grid=3), "saco": SaCo(groups=4)}
COLUMNS = ("", "wrong_", "delta_", "other_", "other_wrong_", "other_delta_")


@pytest.fixture
def maps(images):
    return torch.randn(len(images), 2, *images.shape[-2:], generator=torch.Generator().manual_seed(3))


def measured(metric, subject, maps):
    subject.shared.update(metric.prepare(subject))
    return metric.measure(subject, maps).scores


@pytest.mark.parametrize("name", METRICS)
def test_columns_are_the_loops_with_the_own_map_and_with_the_other_targets(
    textbook, backbone, images, targets, seeds, maps, name
):
    scores = measured(METRICS[name], Subject(backbone, images, targets, seeds), maps)
    assert list(scores) == [f"{prefix}{name}" for prefix in COLUMNS]
    loops = {"single_deletion": (deletion.single_deletion, 3), "saco": (deletion.saco, 4)}[name]
    for b, image in enumerate(images):
        own, wrong = (
            loops[0](textbook, image, maps[b, k], int(targets[b, 0]), loops[1], torch.zeros_like(image)) for k in (0, 1)
        )
        assert scores[name][b].item() == pytest.approx(own, abs=1e-5)
        assert scores[f"wrong_{name}"][b].item() == pytest.approx(wrong, abs=1e-5)
        assert scores[f"delta_{name}"][b].item() == pytest.approx(own - wrong, abs=2e-5)


def test_the_functions_are_the_metrics_first_columns(backbone, images, targets, seeds, maps):
    subject = Subject(backbone, images, targets, seeds)
    for name, metric in METRICS.items():
        function, size = (single_deletion, {"grid": 3}) if name == "single_deletion" else (saco, {"groups": 4})
        alone = function(backbone, images, maps[:, 0], targets[:, 0], **size)
        assert torch.allclose(alone, measured(metric, subject, maps)[name], atol=1e-6)


def test_a_map_of_the_measured_drops_is_perfect_its_negative_the_reverse_and_a_constant_one_undefined(
    backbone, images, targets
):
    cells = grid_cells(4, tuple(images.shape[-2:]))
    every, nothing = cells.expand(len(images), 1, -1, -1), torch.zeros_like(images)
    drops = cell_drops(backbone, images, targets[:, :1], every, 16, nothing, 64)[:, 0, :, 0]  # (B, cells)
    oracle = drops[:, cells]  # (B, H, W): every pixel has its cell's drop; the cells are of one size
    assert single_deletion(backbone, images, oracle, targets[:, 0]).tolist() == pytest.approx([1.0] * len(images))
    assert single_deletion(backbone, images, -oracle, targets[:, 0]).tolist() == pytest.approx([-1.0] * len(images))
    assert single_deletion(backbone, images, torch.ones_like(oracle), targets[:, 0]).isnan().all()
    assert saco(backbone, images, torch.full_like(oracle, 0.3), targets[:, 0], groups=7).isnan().all()


def test_a_blind_map_has_exactly_no_difference_between_targets(backbone, images, targets, seeds, maps):
    blind = maps[:, :1].expand(-1, 2, -1, -1)
    for name, metric in METRICS.items():
        assert measured(metric, Subject(backbone, images, targets, seeds), blind)[f"delta_{name}"].eq(0).all()


@given(st.lists(st.floats(-5, 5), min_size=2, max_size=12, unique_by=lambda value: round(value, 3)))
def test_drops_in_the_order_of_importance_give_1_and_in_the_reverse_order_minus_1(values):
    importance = torch.tensor(sorted(values, reverse=True), dtype=torch.float64)
    assert coefficient(importance, importance.exp()).item() == pytest.approx(1)
    assert coefficient(importance, -importance).item() == pytest.approx(-1)
    assert rank_correlation(importance, importance.exp()).item() == pytest.approx(1)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=3, max_size=20))
def test_ties_share_their_mean_rank_as_in_scipy(pairs):
    first, second = (torch.tensor(values, dtype=torch.float64) for values in zip(*pairs, strict=True))
    if len(set(first.tolist())) == 1 or len(set(second.tolist())) == 1:
        assert rank_correlation(first, second).isnan()
    else:
        assert rank_correlation(first, second).item() == pytest.approx(spearmanr(first, second).statistic)


def test_noise_is_right_as_often_as_wrong():
    generator = torch.Generator().manual_seed(0)
    importance, drops = (torch.randn(4000, 10, generator=generator).sort(descending=True).values for _ in range(2))
    drops = drops.gather(1, torch.rand(4000, 10, generator=generator).argsort(1))  # in random order
    found = coefficient(importance, drops)
    assert abs(found.mean().item()) < 4 * found.std().item() / 4000**0.5


def test_groups_are_equally_large_and_the_first_is_the_most_important():
    importance = torch.randn(2, 8, 8, generator=torch.Generator().manual_seed(1))
    groups = salience_groups(importance, 4)
    assert [(groups == g).sum((1, 2)).tolist() for g in range(4)] == [[16, 16]] * 4
    for own, group in zip(importance, groups, strict=True):
        assert own[group == 0].min() > own[group == 1].max() > own[group == 3].max()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SingleDeletion(grid=1), "grid=1"),
        (lambda: SingleDeletion(fill="red"), "fill=red"),
        (lambda: SaCo(groups=1), "groups=1"),
        (lambda: SaCo(groups=True), "groups=True"),
    ],
)
def test_arguments_that_cannot_be_are_named(make, message):
    with pytest.raises(UserError, match=message):
        make()


def test_a_grid_finer_than_the_image_is_refused_before_the_run():
    with pytest.raises(UserError, match="grid=9"):
        SingleDeletion(grid=9).check((8, 8))
