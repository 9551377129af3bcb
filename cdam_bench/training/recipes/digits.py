"""Train `digits_vit` on digit scenes."""

from pathlib import Path

import torch
from omegaconf import DictConfig
from torch import Tensor, nn

from cdam_bench.configs import build_preprocessing, plain
from cdam_bench.datasets.digits import CLASS_NAMES, render_scenes
from cdam_bench.datasets.preprocessing import Preprocessing
from cdam_bench.training.classifier import Recipe, equal_shares, train_classifier, write_model
from cdam_bench.training.perturbation import perturb_features
from cdam_bench.training.recipes.start import untrained_vit
from cdam_bench.training.states import training_settings


class SceneBatches:
    """Step → a batch of training scenes with one digit or two, some features perturbed.

    Args:
        batch_size: scenes per step.
        preprocessing: of the backbone that is trained.
        seed: of the whole run.
        blur_sigma, patch_size: of the feature perturbation, in pixels.
        probability: chance that a scene is perturbed.
        growth: steps between which scenes grow from easy (one digit, plain background, no perturbation) to full difficulty;
            without that, small ViTs do not begin to learn within thousands of steps.
        two_digits: share of scenes with two digits in the end.
    """

    def __init__(
        self,
        batch_size: int,
        preprocessing: Preprocessing,
        seed: int,
        blur_sigma: float,
        patch_size: int,
        probability: float,
        growth: tuple[int, int],
        two_digits: float,
    ) -> None:
        self.batch_size, self.preprocessing, self.seed = batch_size, preprocessing, seed
        self.blur_sigma, self.patch_size, self.probability = blur_sigma, patch_size, probability
        self.growth, self.two_digits = growth, two_digits

    def __call__(self, step: int) -> tuple[Tensor, Tensor]:
        first, last = self.growth
        difficulty = min(1.0, max(0.0, (step - first) / max(1, last - first)))
        singles = self.batch_size - round(difficulty * self.two_digits * self.batch_size)
        keys = [(self.seed, 1, step, i) for i in range(self.batch_size)]  # 1: never a dataset's (seed, index)
        parts = [
            render_scenes(part, count, "train", clutter=difficulty)
            for count, part in ((1, keys[:singles]), (2, keys[singles:]))
            if part
        ]
        images = self.preprocessing(torch.cat([pictures for pictures, _, _ in parts]))
        targets = torch.cat([equal_shares(classes, len(CLASS_NAMES)) for _, classes, _ in parts])
        generator = torch.Generator().manual_seed(1_000_003 * self.seed + step)
        images = perturb_features(images, self.blur_sigma, self.patch_size, generator, difficulty * self.probability)
        return images, targets


@torch.inference_mode()
def digits_accuracy(model: nn.Module, preprocessing: Preprocessing, num_images: int = 2000) -> dict[str, float]:
    """Accuracy on test scenes: `single` top-1, `multi` both classes in the top 2, each over num_images scenes."""
    hits = {"single": 0, "multi": 0}
    for name, count in (("single", 1), ("multi", 2)):
        for start in range(0, num_images, 100):
            keys = [(99, i) for i in range(start, min(start + 100, num_images))]
            pictures, classes, _ = render_scenes(keys, count, "test")
            top = model(preprocessing(pictures)).topk(count).indices
            hits[name] += int((top.sort(1).values == classes.sort(1).values).all(1).sum())
    return {name: hit / num_images for name, hit in hits.items()}


def train_digits(config: DictConfig) -> None:
    """The run of `conf/scripts/train_digits.yaml`: writes weights, a card with the accuracy, and the log, side by side.

    Raises:
        UserError: for settings that cannot be, and if work_dir has the state of a training with other settings.
    """
    recipe = Recipe(config.steps, config.learning_rate)
    model = untrained_vit(config)
    preprocessing = build_preprocessing(config)
    first, last = config.growth
    batches = SceneBatches(
        config.batch_size,
        preprocessing,
        config.seed,
        patch_size=model.feature_info[-1]["reduction"],  # pixels per token of the last stage
        growth=(int(first * config.steps), int(last * config.steps)),
        two_digits=config.two_digits,
        **config.perturbation,
    )
    work_dir, output = Path(config.work_dir), Path(config.output)
    averaged = train_classifier(model, batches, recipe, work_dir, training_settings(config), config.overwrite)
    accuracy = digits_accuracy(averaged, preprocessing)
    about = {
        "test accuracy": {"one digit, top 1": accuracy["single"], "two digits, both in the top 2": accuracy["multi"]},
        "test scenes": 2000,
        "parameters": sum(p.numel() for p in averaged.parameters()),
    }
    write_model(output, averaged.state_dict(), work_dir, torch.device("cpu"), about, plain(config))
