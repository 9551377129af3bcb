"""Fine-tuning a small ViT on phantoms, as the tests of LIDC do it."""

from cdam_bench.backbones import load_backbone
from cdam_bench.backbones.heads import LinearHead
from tests.scripts import command

MODEL = {"patch_size": 8, "embed_dim": 24, "depth": 2, "num_heads": 2}
ARGS = "{patch_size: 8, embed_dim: 24, depth: 2, num_heads: 2}"
SMALL = (
    "backbone=digits_vit",
    f"backbone.model_args={ARGS}",
    "backbone.image_size=32",
    "backbone.checkpoint=base.safetensors",
    "runtime.device=cpu",
    "epochs=3",
    "learning_rate=3e-3",
    "data=phantom",
)


def finetune(folder, out, *overrides):
    paths = [f"nodules={folder}/nodules.npz", f"paths.weights_dir={folder}", f"results_dir={out}/results"]
    paths += [f"work_dir={out}/work", f"output={out}/tuned.safetensors"]
    return command("train", "lidc", *SMALL, *paths, *overrides)


def base_backbone(folder):
    return load_backbone(
        "vit_tiny_patch16_224", folder / "base.safetensors", LinearHead(24, 1), image_size=32, model_args=MODEL
    )
