"""Box sensitivity against Python loops and scipy."""

import pytest
import torch

from cdam_bench.errors import UserError
from cdam_bench.metrics import BoxSensitivity, box_responses, box_sensitivity, draw_boxes
from cdam_bench.metrics.box_sensitivity import box_sums
from tests.agreement import assert_agree
from tests.conftest import IMAGE_SIZE
from tests.reference.model import for_each
from tests.reference.perturbation import box_correlation, box_drop, box_sum

SIGMA = 3.0
SIZES = (10, 40)
NUM_BOXES = 6


@pytest.fixture(scope="module")
def boxes(seeds):
    return draw_boxes(seeds, SIZES, NUM_BOXES, IMAGE_SIZE)


@pytest.fixture(scope="module")
def maps(images):
    return torch.randn(images[:, 0].shape, generator=torch.Generator().manual_seed(8))


@pytest.fixture(scope="module")
def drops():
    return torch.randn(2, len(SIZES), NUM_BOXES, generator=torch.Generator().manual_seed(9))


def for_every_box(value, boxes):
    """value(box) for boxes (S, M, 4), as a tensor (S, M)."""
    return torch.tensor([[float(value(box)) for box in of_one_size] for of_one_size in boxes], dtype=torch.double)


def test_responses_equal_a_loop_over_boxes(any_backbone, any_textbook, images, boxes, targets):
    def expected(model, image, target, boxes):
        return for_every_box(lambda box: box_drop(model, image, box, target, SIGMA), boxes)

    actual = box_responses(any_backbone, images, boxes, targets, SIGMA)
    assert actual.shape == (2, len(SIZES), NUM_BOXES, 2)
    assert_agree(actual.movedim(-1, 1), for_each(expected, any_textbook, images, targets, boxes))


@pytest.mark.parametrize("batch_size", [1, 5])
def test_responses_do_not_depend_on_batch_size_or_neighbours(backbone, images, boxes, targets, batch_size):
    expected = box_responses(backbone, images, boxes, targets, SIGMA)
    backwards = box_responses(backbone, images.flip(0), boxes.flip(0), targets.flip(0), SIGMA, batch_size).flip(0)
    # a drop is the small difference of two logits, which are what agrees to rounding
    scale = backbone.logits(images).abs().max()
    assert (backwards - expected).abs().max() <= 1e-5 * scale


def test_sums_inside_boxes_equal_a_loop_over_pixels(maps, boxes):
    expected = [
        for_every_box(lambda box, importance=importance: box_sum(importance, box), of_one)
        for importance, of_one in zip(maps, boxes, strict=True)
    ]
    torch.testing.assert_close(box_sums(maps, boxes), torch.stack(expected))


def test_correlations_equal_scipys_pearson(maps, boxes, drops):
    expected = [
        [box_correlation(maps[b], boxes[b, s], drops[b, s]) for s in range(len(SIZES))] for b in range(len(maps))
    ]
    torch.testing.assert_close(box_sensitivity(maps, boxes, drops), torch.tensor(expected), rtol=1e-6, atol=1e-9)


def test_a_map_whose_box_sums_are_the_drops_correlates_perfectly(maps, boxes):
    sums = box_sums(maps, boxes)
    torch.testing.assert_close(box_sensitivity(maps, boxes, 3 * sums + 1), torch.ones_like(sums[..., 0]))
    torch.testing.assert_close(box_sensitivity(maps, boxes, -sums), -torch.ones_like(sums[..., 0]))


def test_correlations_do_not_depend_on_scale_and_offset_of_the_drops_or_scale_of_the_map(maps, boxes, drops):
    expected = box_sensitivity(maps, boxes, drops)
    torch.testing.assert_close(box_sensitivity(1e-6 * maps, boxes, 1e4 * drops), expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("value", [0.0, 0.1, -1e6, 1e-20])
def test_a_constant_map_has_no_correlation(maps, boxes, drops, value):
    assert box_sensitivity(torch.full_like(maps, value), boxes, drops).isnan().all()


@pytest.mark.parametrize("value", [0.0, 0.7, 2.3])  # the mean of six times 0.7 is not 0.7
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_equal_drops_have_no_correlation(maps, boxes, drops, value, dtype):
    assert box_sensitivity(maps, boxes, torch.full_like(drops, value, dtype=dtype)).isnan().all()


def test_a_constant_map_leaves_the_correlation_of_its_neighbour_alone(maps, boxes, drops):
    mixed = torch.stack([torch.zeros_like(maps[0]), maps[1]])
    actual = box_sensitivity(mixed, boxes, drops)
    assert actual[0].isnan().all()
    assert torch.equal(actual[1], box_sensitivity(maps, boxes, drops)[1])


def test_boxes_are_squares_of_the_asked_size_inside_the_image():
    boxes = draw_boxes(torch.arange(4), (10, 25, 60), 50, (32, 48))
    assert boxes.shape == (4, 3, 50, 4)
    top, left, bottom, right = boxes.unbind(-1)
    for size, side in enumerate((3, 8, 19)):  # percent of the shorter side
        assert (bottom - top == side)[:, size].all()
        assert (right - left == side)[:, size].all()
    assert boxes.min() >= 0
    assert bottom.max() <= 32
    assert right.max() <= 48


def test_boxes_reach_every_place_equally_often():
    top, left, _, _ = draw_boxes(torch.arange(100), (25,), 200, (32, 48)).unbind(-1)
    for corner, places in ((top, 25), (left, 41)):
        counts = torch.bincount(corner.flatten(), minlength=places)
        assert len(counts) == places
        expected = corner.numel() / places
        assert ((counts - expected).abs() < 5 * expected**0.5).all()


def test_boxes_of_an_image_depend_on_its_seed_alone():
    together = draw_boxes(torch.tensor([4, 9, 4]), SIZES, NUM_BOXES, IMAGE_SIZE)
    assert torch.equal(together[0], together[2])
    assert not torch.equal(together[0], together[1])
    assert torch.equal(draw_boxes(torch.tensor([9]), SIZES, NUM_BOXES, IMAGE_SIZE)[0], together[1])


@pytest.mark.parametrize("size", [100, 150, 0.5, 0, -10])
def test_boxes_that_do_not_fit_are_refused(seeds, size):
    with pytest.raises(UserError, match=r"^sizes="):
        draw_boxes(seeds, (size,), 5, IMAGE_SIZE)
    with pytest.raises(UserError, match=r"^sizes="):
        BoxSensitivity(sizes=sorted((20, size))).check(IMAGE_SIZE)


@pytest.mark.parametrize(
    ("arguments", "key"),
    [
        ({"num_boxes": 1}, "num_boxes=1"),
        ({"sizes": (10,)}, "sizes"),
        ({"sizes": (20, 10)}, "sizes"),
        ({"blur_sigma": 0}, "blur_sigma=0"),
    ],
    ids=str,
)
def test_settings_that_cannot_be_are_refused(arguments, key):
    with pytest.raises(UserError, match=rf"^{key}"):
        BoxSensitivity(**arguments)
