"""Occluding an object: a network worked by hand, whose outputs are the mean brightness of two places."""

import pytest
import torch

from cdam_bench.errors import UserError
from cdam_bench.metrics.object_occlusion import names_right_object, occlusion_drops

BOXES = torch.tensor([[[0, 0, 4, 4], [4, 4, 8, 8]]])  # top left and bottom right quarter


class Corners:
    """Output 0 reads the top left quarter, output 1 the bottom right one, output 2 both: sums of the first channel."""

    device = torch.device("cpu")

    def logits(self, images):
        first, second = images[:, 0, :4, :4].sum((1, 2)), images[:, 0, 4:, 4:].sum((1, 2))
        return torch.stack([first, second, first + second], 1)


def test_drop_is_what_the_box_held():
    images = torch.ones(1, 3, 8, 8)
    images[:, :, 4:, 4:] = 2
    drops = occlusion_drops(Corners(), images, torch.tensor([[0, 1]]), BOXES)
    assert drops.tolist() == [[[16.0, 0.0], [0.0, 32.0]]]  # the right box of each takes all, the other nothing
    assert names_right_object(drops).tolist() == [[1.0, 1.0]]


def test_a_network_that_reads_the_wrong_place_is_found():
    drops = occlusion_drops(Corners(), torch.ones(1, 3, 8, 8), torch.tensor([[1, 0]]), BOXES)
    assert names_right_object(drops).tolist() == [[0.0, 0.0]]


def test_a_class_that_reads_both_places_alike_is_a_tie():
    drops = occlusion_drops(Corners(), torch.ones(1, 3, 8, 8), torch.tensor([[2, 1]]), BOXES)
    assert names_right_object(drops).tolist() == [[0.5, 1.0]]


def test_images_of_a_batch_do_not_touch_each_other(backbone, images):
    boxes = torch.tensor([[[0, 0, 8, 16], [16, 8, 32, 32]]]).expand(len(images), -1, -1)
    targets = torch.tensor([[0, 2]]).expand(len(images), -1)
    together = occlusion_drops(backbone, images, targets, boxes)
    alone = [occlusion_drops(backbone, images[[b]], targets[[b]], boxes[[b]]) for b in range(len(images))]
    torch.testing.assert_close(together, torch.cat(alone), rtol=1e-4, atol=1e-5)


def test_a_box_per_target_is_asked_for():
    with pytest.raises(UserError, match="expected one box per target"):
        occlusion_drops(Corners(), torch.ones(1, 3, 8, 8), torch.tensor([[0, 1]]), BOXES[:, :1])
