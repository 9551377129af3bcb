"""Wrong settings, files and pictures, drawn by hypothesis, and the rules by which a drawn one is not wrong at all."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hypothesis import strategies as st

SMALL = (
    "estimator=smooth_cdam",
    "estimator.num_samples=2",
    "dataset.num_images=2",
    "metric.fidelity.steps=2",
    "metric.box_sensitivity=null",
    "chunk_size=1",
    "runtime.device=cpu",
)
CELL = Path("cells") / "digits_multi" / "digits_vit"
HUGE = 10**30
WITHOUT_PICTURES = {"figures": ["num_images=0"], "report": ["gallery=0"]}


@dataclass(frozen=True)
class Slip:
    """A command with something wrong in it, or, as far as the rules of this file say, nothing.

    Args:
        words: of the command line; {files} and {results} stand for the folders of the test.
        fine: whether nothing is wrong.
        before: what is done to the results folder first.
    """

    words: tuple[str, ...]
    fine: bool = False
    before: Callable[[Path], object] | None = None


def whole(low, high):
    return lambda value: type(value) in (int, float) and value == value and low <= value <= high and value == int(value)


def number(low, high):
    return lambda value: type(value) in (int, float) and low <= value <= high


def is_text(value):
    return type(value) is str and bool(value.strip())


def one_of(*allowed):
    return lambda value: any(type(value) is type(one) and value == one for one in allowed)


NOTHING = one_of()
GROUP = one_of({})  # an empty one changes nothing
SETTINGS = {  # of a run → which values are valid
    "seed": whole(0, 2**63 - 1),
    "shards": whole(1, 10**9),
    "shard": one_of(0),
    "chunk_size": whole(1, 10**9),
    "overwrite": one_of(True, False),
    "target_order": one_of("logit", "annotated"),
    "names.dataset": is_text,
    "names.estimator": is_text,
    "names": GROUP,
    "paths.data_dir": is_text,
    "paths.weights_dir": is_text,
    "paths": GROUP,
    "runtime": GROUP,
    "runtime.device": one_of("cpu", "auto"),
    "runtime.precision": one_of("auto", "fp32"),
    "runtime.batch_size": lambda value: value == "auto" or whole(1, 10**9)(value),
    "estimator": GROUP,
    "estimator._target_": NOTHING,
    "estimator.num_samples": whole(1, 50),
    "estimator.noise_level": number(0, 100),
    "estimator.multiply": one_of("noisy", "clean"),
    "metric": GROUP,
    "metric.fidelity": one_of(None),
    "metric.fidelity._target_": NOTHING,
    "metric.fidelity.steps": whole(1, 50),
    "metric.fidelity.unit": one_of("pixel", "patch", "both"),
    "metric.fidelity.blur_sigma": lambda value: number(0, 1000)(value) and value > 0,
    "metric.compactness": one_of(None),
    "metric.compactness.threshold": number(0, 1),
    "dataset": GROUP,
    "dataset._target_": NOTHING,
    "dataset.num_objects": whole(1, 2),
    "dataset.num_images": whole(1, 3),
    "dataset.seed": whole(0, 2**63 - 1),
    "dataset.split": one_of("test", "train"),
    "dataset.annotated": one_of(True, False),
    "backbone": GROUP,
    "backbone.architecture": NOTHING,
    "backbone.checkpoint": one_of(None),  # random weights, with a warning
    "backbone.head": one_of(None),
    "backbone.num_classes": one_of(10),
    "backbone.image_size": one_of(64, 8),
    "backbone.pretrained": one_of(False),
    "backbone.model_args": GROUP,
    "backbone.model_args.depth": one_of(3),
    "backbone.model_args.patch_size": one_of(8),
    "backbone.model_args.num_heads": one_of(4, 1, 2),
    "backbone.preprocessing.image_size": one_of(64),
    "backbone.preprocessing.mean": NOTHING,
    "backbone.preprocessing.std": NOTHING,
}
WRITTEN = {  # as a command line has it → what it is
    "null": None,
    "nan": float("nan"),
    "inf": float("inf"),
    "-1": -1,
    "0": 0,
    "1": 1,
    "2.5": 2.5,
    "1e30": 1e30,
    str(HUGE): HUGE,
    "many": "many",
    "''": "",
    "'  '": "  ",
    "'ünï☃'": "ünï☃",
    "'../..'": "../..",
    "[]": [],
    "[1,2]": [1, 2],
    "[a,null]": ["a", None],
    "{a: 1}": {"a": 1},
    "{}": {},
    "true": True,
    "false": False,
}
NAMES_ARE_FOLDERS = {"names.dataset", "names.estimator"}


@st.composite
def wrong_settings(draw):
    key = draw(st.sampled_from(sorted(SETTINGS)))
    text = draw(st.sampled_from(sorted(WRITTEN)))
    value = WRITTEN[text]
    fine = SETTINGS[key](value) and not (key in NAMES_ARE_FOLDERS and text == "'../..'")
    return Slip(("run", "results_dir={results}/new", *SMALL, f"{key}={text}"), fine)


@st.composite
def misspelt(draw):
    words = [
        "sed=1", "+sed=1", "+metric/x=fidelity", "estimator=cdamm", "dataset=", "backbone=nowhere", "metric=[fidelty]",
        "+metric.fidelty.steps=3", "+runtime.devcie=cpu", "estimator.num_sample=3", "+estimator.colour=red", "~seed",
        "~estimator.num_samples.x", "experiment=mine", "experiment=lidc_demo_finetune", "metric.fidelity.steps", "=3",
        "estimator=cdam,gradcam", "runtime.device=cuda:99", "backbone/head=concept", "backbone/head=nothing", "--stpes=3",
        "hydra/launcher=nowhere", "estimator=[cdam]", "a b", "seed=${nowhere}", "seed=${oc.env:NOWHERE_TO_BE_FOUND}",
        "~backbone.checkpoint.x", "results_dir=", "paths.weights_dir=", "~metric.fidelity._target_", "seed=[", "☃", "seed==1",
    ]  # fmt: skip
    return Slip(("run", "results_dir={results}/new", *SMALL, draw(st.sampled_from(words))))


@st.composite
def misspelt_elsewhere(draw):
    name = draw(st.sampled_from(["explain", "tables", "figures", "status", "merge", "report"]))
    key = draw(
        st.sampled_from(["results_dir", "output_dir", "only", "sources", "num_images", "colour", "runtime", "+x"])
    )
    value = draw(st.sampled_from(["[1,2]", "nan", "''", "nowhere", "{a: 1}"]))
    if (name, key) in {("merge", "sources"), ("status", "results_dir"), ("merge", "results_dir"), ("report", "only")}:
        return Slip((name, "results_dir={results}", f"{key}={value}"))
    return Slip((name, f"{key}={value}", "colour=red"))


WEIGHTS = ["truncated.safetensors", "text.pth", "other.safetensors", "folder.pth", "empty.safetensors", "empty.pth",
           "nan.safetensors",
           "ten.safetensors", "header.safetensors", "gone.pth", "ünï☃.pth", "pickle.pth"]  # fmt: skip


@st.composite
def wrong_weights(draw):
    name = draw(st.sampled_from(WEIGHTS))
    key = draw(st.sampled_from(["checkpoint", "head"]))
    folder = draw(st.sampled_from(["{files}/", ""]))
    word = f"backbone.{key}={folder}{name}"
    if draw(st.booleans()):
        return Slip(("run", "results_dir={results}/new", *SMALL, "paths.weights_dir={files}", word))
    out = "output_dir={results}/explained"
    return Slip(("explain", "image={files}/good.png", "estimator=cdam", out, "paths.weights_dir={files}", word))


PICTURES = {
    "good.png": True,
    "ünï☃.png": True,
    "one.png": True,
    "truncated.png": False,
    "empty.png": False,
    "bomb.png": False,
    "text.png": False,
    "folder.png": False,
    "none": False,
    "gone.png": False,
    "noise.jpg": False,
}


@st.composite
def wrong_pictures(draw):
    name = draw(st.sampled_from(sorted(PICTURES)))
    extra = {
        "target=top1": True,
        "target=zebra": False,
        "target=10": False,
        "target=-1": False,
        "target=nan": False,
        "target=top99": False,
        "image_size=65": None,
        "image_size=-8": False,
        "image_size=many": False,
        "image_size=1e30": False,
        "figure.clip=2": False,
        "figure.clip=nan": False,
        "figure.style=nowhere": False,
        "figure.colours=ultraviolet": False,
        "figure.scale=3": False,
        "class_names=gone.txt": False,
        "seed=-1": False,
        "estimator=[]": False,
        "estimator=[cdam,nowhere]": False,
        "concept=nowhere": False,
        "similarity=nearly": None,
        "runtime.batch_size=0": False,
    }
    word = draw(st.sampled_from(sorted(extra)))
    if extra[word] is None:
        word = "target=top1"
    fine = PICTURES[name] and bool(extra[word])
    words = ("explain", "image={files}/" + name, "output_dir={results}/explained", "runtime.device=cpu")
    return Slip((*words, *([] if word.startswith("estimator=") else ["estimator=cdam"]), word), fine)


def damage(file, how):
    content = file.read_bytes()
    file.write_bytes({"cut": content[: len(content) // 2], "empty": b"", "noise": b"\xff\xfe\0\x01" * 50}[how])


def in_folders(cell, part, how):
    def work(results):
        file = results / CELL / cell / part
        if part == "chunks":
            for chunk in file.iterdir():
                damage(chunk, how)
        elif how == "folder":
            file.unlink()
            file.mkdir()
        elif how == "format":
            file.write_text(file.read_text().replace("format: 2", "format: 99"))
        else:
            damage(file, how)

    return work


@st.composite
def wrong_folders(draw):
    part, how = draw(
        st.sampled_from(
            [
                *(("cell.yaml", how) for how in ("cut", "empty", "noise", "format", "folder")),
                *(("scores.csv", how) for how in ("cut", "empty", "noise", "folder")),
                ("chunks", "cut"),
            ]
        )
    )
    name = draw(st.sampled_from(["tables", "figures", "merge", "run", "report"]))
    damaged = in_folders("smooth_cdam", part, how)
    fine = part == "chunks" or (part == "scores.csv" and name in ("merge", "run"))
    if name == "run":
        return Slip(("run", "results_dir={results}", *SMALL), fine, damaged)
    return Slip((name, "results_dir={results}", *WITHOUT_PICTURES.get(name, ())), fine, damaged)


@st.composite
def no_folder(draw):
    name = draw(st.sampled_from(["tables", "figures", "status", "merge", "report"]))
    return Slip((name, "results_dir={files}/" + draw(st.sampled_from(["gone", "text.png", "good.png/x", "ünï☃"]))))


CASES = st.one_of(
    wrong_settings(), wrong_settings(), wrong_settings(), misspelt(), misspelt_elsewhere(), wrong_weights(), wrong_pictures(),
    wrong_folders(), no_folder(),
)  # fmt: skip
