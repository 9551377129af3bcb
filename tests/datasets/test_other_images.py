"""Another image of the dataset for each image."""

import pytest
import torch

from cdam_bench.datasets import Sample
from cdam_bench.datasets.other_images import other_images
from cdam_bench.errors import UserError


class Shown:
    """A dataset whose image i is filled with the number i and shows the given classes."""

    class_names = ("a", "b", "c", "d")
    mean = std = (1.0, 1.0, 1.0)

    def __init__(self, classes):
        self.classes = classes

    def __len__(self):
        return len(self.classes)

    def __getitem__(self, index):
        return Sample(f"image-{index}", torch.full((3, 2, 2), float(index)), self.classes[index])


CLASSES = [(0, 1), (1, 2), (2, 3), (0, 3), (0, 2), (1, 3)] * 4
SEEDS = torch.arange(len(CLASSES))


def chosen(dataset, indices, seeds, **options):
    return other_images(dataset, indices, seeds, **options)[:, 0, 0, 0].long().tolist()


def test_another_image_shares_no_annotated_class():
    found = chosen(Shown(CLASSES), range(len(CLASSES)), SEEDS)
    assert all(not {*CLASSES[i]} & {*CLASSES[j]} for i, j in enumerate(found))


def test_another_image_is_never_the_image_itself():
    dataset = Shown([()] * 3)  # nothing is annotated
    found = [chosen(dataset, [0, 1, 2], torch.tensor([seed] * 3)) for seed in range(20)]
    assert all(i != j for row in found for i, j in enumerate(row))
    assert {j for row in found for j in row} == {0, 1, 2}


def test_the_choice_depends_on_the_images_seed_alone():
    dataset = Shown(CLASSES)
    together = chosen(dataset, range(len(CLASSES)), SEEDS)
    alone = [chosen(dataset, [i], SEEDS[i : i + 1])[0] for i in reversed(range(len(CLASSES)))]
    assert together == alone[::-1]
    assert len({*together}) > 8


def test_outputs_that_do_not_compete_may_be_shared():
    assert chosen(Shown([(0, 1), (0, 1)]), [0, 1], torch.tensor([3, 4]), other_classes=False) == [1, 0]


@pytest.mark.parametrize(
    ("classes", "reason"), [([(0,)], "one image only"), ([(0,), (0,)], "shows other classes than image image-0")]
)
def test_where_there_is_no_other_image_it_is_told_in_one_line(classes, reason):
    with pytest.raises(UserError, match=reason):
        other_images(Shown(classes), [0], torch.tensor([1]))
