"""Speed of explanations and of the perturbation engine, as ratios to plain forward passes of the same run.

Machines are shared and noisy: every contestant is timed in every round, next to a plain forward pass, and the median over
rounds of the ratio is reported.
"""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from omegaconf import DictConfig

from cdam_bench import estimators
from cdam_bench.backbones import Backbone, create_vit
from cdam_bench.benchmark.contestants import (
    LIMITS,
    PAPERS_ESTIMATORS,
    Work,
    contestants,
    estimator_of,
    explains,
    forward,
    network,
    random_inputs,
    textbook_works,
)
from cdam_bench.computing.blur import gaussian_blur
from cdam_bench.errors import UserError
from cdam_bench.metrics import box_responses, draw_boxes
from cdam_bench.metrics.perturbation import ORDERS, find_batch_size, ranked_curves
from cdam_bench.metrics.ranking import ranks_of
from cdam_bench.store.files import write_atomically


def measure_speed(config: DictConfig) -> None:
    """The run of conf/scripts/bench_speed.yaml: prints the tables and writes them to `output`."""
    device = torch.device(config.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        raise UserError("device=cuda cannot be used here: use device=cpu")
    report: dict[str, Any] = {
        "device": _name(device),
        "torch": torch.__version__,
        "settings": _settings(config, network(config, device)),
    }
    report["explanations"] = time_explanations(config, device)
    report["engine"] = time_engine(config, device)
    report["memory"] = relevance_memory(config, device)
    if config.paper_table.images:
        report["paper_table"] = time_paper_table(config, device)
    if config.growth:
        report["growth"] = time_growth(config, device)
    print_report(report)
    write_atomically(Path(config.output), (json.dumps(report, indent=2) + "\n").encode())
    print(f"written: {config.output}")


def time_explanations(config: DictConfig, device: torch.device) -> dict[str, dict[str, float]]:
    """The methods chosen, two targets instead of one, and textbook versions: seconds and ratios."""
    backbone = network(config, device)
    images, targets = random_inputs(config.images, backbone)
    cheap, slow = contestants(config.methods)

    def works_of(names: list[str]) -> dict[str, Work]:
        methods = {name: estimator_of(name, config) for name in names}
        return {name: explains(method, backbone, images, targets[:, :1]) for name, method in methods.items()}

    plain = lambda: forward(backbone.vit, images)  # noqa: E731
    works = works_of(cheap)
    if "cdam" in cheap:
        works["cdam, 2 targets"] = explains(estimator_of("cdam", config), backbone, images, targets)
    rows = timed_ratios(plain, works, config.rounds, device)
    if "cdam" in cheap:
        rows["cdam, 2 targets"]["to one target"] = rows["cdam, 2 targets"]["ratio"] / rows["cdam"]["ratio"]
    for name in cheap:
        if (limit := LIMITS[name]) is not None:
            rows[name]["limit"] = limit
    rows |= timed_ratios(plain, works_of(slow), 1, device)
    if config.textbook:
        textbook = timed_ratios(plain, textbook_works(config, backbone, images, targets), 1, device)
        for name in textbook.keys() & rows.keys():
            rows[name]["textbook ratio"] = textbook[name]["ratio"]
    return rows


def time_engine(config: DictConfig, device: torch.device) -> dict[str, dict[str, float]]:
    """Perturbed images per second as a share of plain forward passes at the same micro-batch."""
    backbone = network(config, device)
    size = config.engine.batch_size
    images, targets = random_inputs(config.engine.images, backbone)
    batch = images[:1].expand(size, -1, -1, -1).contiguous()
    maps = torch.randn(len(images), 2, *images.shape[-2:], generator=torch.Generator().manual_seed(0)).to(device)
    steps = config.engine.steps
    boxes = draw_boxes(torch.arange(len(images)), (20, 40), config.engine.boxes, (images.shape[-2], images.shape[-1]))
    counts = {
        "perturbation curves": len(images) * (2 + 2 * 2 * (steps - 1)),
        "box responses": len(images) * (1 + 2 * config.engine.boxes),
    }
    works: dict[str, Callable[[], Any]] = {
        "perturbation curves": lambda: ranked_curves(
            backbone, images, ranks_of(maps), ORDERS, steps, gaussian_blur(images, 14.0), targets, size
        ),
        "box responses": lambda: box_responses(backbone, images, boxes, targets, 14.0, size),
    }
    rows = timed_ratios(lambda: forward(backbone.vit, batch), works, config.rounds, device)
    for name, row in rows.items():
        row["images"] = counts[name]
        row["share of plain throughput"] = counts[name] / size / row.pop("ratio")
    return rows


def relevance_memory(config: DictConfig, device: torch.device) -> dict[str, float]:
    """Peak memory of relevance propagation beyond a forward pass's, in attention maps of one block."""
    backbone = network(config, device)
    images, targets = random_inputs(1, backbone)
    tokens = backbone.vit.patch_embed.num_patches + backbone.num_prefix_tokens
    one_map = backbone.last_block.num_heads * tokens**2 * 4
    plain = peak_bytes(lambda: forward(backbone.vit, images), device)
    explained = peak_bytes(explains(estimators.RelevancePropagation(), backbone, images, targets[:, :1]), device)
    return {
        "forward pass, MB": plain / 1e6,
        "relevance propagation, MB": explained / 1e6,
        "beyond, attention maps of one block": (explained - plain) / one_map,
        "limit": 2.0,
    }


def time_growth(config: DictConfig, device: torch.device) -> dict[str, dict[str, Any]]:
    """Seconds against tokens, images, steps and targets, with the fitted order (slope in log-log)."""
    tables: dict[str, dict[int, float]] = {}
    shapes = [(16, 224), (8, 224), (16, 448), (8, 448)]
    for name in ("forward", "cdam", "smooth_cdam", "relevance_propagation"):
        tables[f"{name} against tokens"] = {}
    for patch, side in shapes:
        vit = create_vit(f"vit_small_patch{patch}_224", 1000, side)
        backbone = Backbone(vit).to(device)
        images, targets = random_inputs(1, backbone)
        tokens = vit.patch_embed.num_patches + 1
        works = {"forward": lambda b=backbone, x=images: forward(b.vit, x)}
        for name in ("cdam", "smooth_cdam", "relevance_propagation"):
            works[name] = explains(estimator_of(name, config), backbone, images, targets[:, :1])
        for name, work in works.items():
            tables[f"{name} against tokens"][tokens] = _best_seconds(work, device)
    backbone = network(config, device)
    images, targets = random_inputs(4, backbone)
    cdam, smooth = estimator_of("cdam", config), estimators.SmoothCDAM
    many = torch.arange(16, device=device)[None]
    tables["cdam against images"] = {
        n: _best_seconds(explains(cdam, backbone, images[:n], targets[:n, :1]), device) for n in (1, 2, 4)
    }
    tables["smooth_cdam against samples"] = {
        n: _best_seconds(explains(smooth(n), backbone, images[:1], targets[:1, :1]), device) for n in (10, 50, 250)
    }
    tables["cdam against targets"] = {
        n: _best_seconds(explains(cdam, backbone, images[:1], many[:, :n]), device) for n in (1, 4, 16)
    }
    maps = torch.randn(1, 1, *images.shape[-2:], device=device)
    blurred = gaussian_blur(images[:1], 14.0)
    tables["perturbation curves against steps"] = {
        n: _best_seconds(
            lambda n=n: ranked_curves(backbone, images[:1], ranks_of(maps), ORDERS[:1], n, blurred, targets[:1], 8),
            device,
        )
        for n in (4, 8, 16)
    }
    return {
        name: {"seconds": table, "order": fitted_order(list(table), list(table.values()))}
        for name, table in tables.items()
    }


def time_paper_table(config: DictConfig, device: torch.device) -> dict[str, Any]:
    """Seconds for a share of the paper's two-object table, and minutes projected for its 1000 images.

    Ten estimators, each with both classes' maps, both orders and 40 steps; 600 boxes shared by all of them.
    """
    settings = config.paper_table
    backbone = network(config, device)
    size = find_batch_size(backbone, backbone.image_size) if device.type == "cuda" else config.engine.batch_size
    images, targets = random_inputs(settings.images, backbone)
    boxes = draw_boxes(torch.arange(len(images)), settings.sizes, settings.boxes, backbone.image_size)
    seconds = {"box responses": _seconds(lambda: box_responses(backbone, images, boxes, targets, 14.0, size), device)}
    for name in PAPERS_ESTIMATORS:
        method = getattr(estimators, name)()

        def explain_and_perturb(method: estimators.Estimator = method) -> None:
            maps = torch.cat([method.attribute(backbone, part, targets[: len(part)]) for part in images.split(size)])
            blurred = gaussian_blur(images, 14.0)
            ranked_curves(backbone, images, ranks_of(maps), ORDERS, settings.steps, blurred, targets, size)

        seconds[name] = _seconds(explain_and_perturb, device)
    per_image = sum(seconds.values()) / len(images)
    return {
        "images": len(images),
        "micro-batch": size,
        "seconds": seconds,
        "seconds per image": per_image,
        "minutes projected for 1000 images": per_image * 1000 / 60,
    }


def fitted_order(sizes: list[float], seconds: list[float]) -> float:
    """Exponent p of seconds ≈ c · size^p, by least squares in log-log."""
    slope, _ = np.polyfit(np.log(sizes), np.log(seconds), 1)
    return float(slope)


def timed_ratios(plain: Work, works: dict[str, Work], rounds: int, device: torch.device) -> dict[str, dict[str, float]]:
    """Each work next to `plain` in every round: median seconds and median ratio."""
    for work in (plain, *works.values()):  # warm up
        if rounds > 1:
            work()
    seconds: dict[str, list[float]] = {name: [] for name in works}
    ratios: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(rounds):
        for name, work in works.items():
            base, own = _seconds(plain, device), _seconds(work, device)
            seconds[name].append(own)
            ratios[name].append(own / base)
    return {name: {"seconds": median(seconds[name]), "ratio": median(ratios[name])} for name in works}


def peak_bytes(work: Work, device: torch.device) -> int:
    """Largest amount of memory `work` held at once beyond what was held before."""
    work()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        work()
        return torch.cuda.max_memory_allocated(device) - before
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        work()
    held, peak = 0, 0
    events = [event for event in profile.profiler.kineto_results.events() if event.name() == "[memory]"]
    for event in sorted(events, key=lambda event: event.start_ns()):
        held += event.nbytes()
        peak = max(peak, held)
    return peak


def print_report(report: dict[str, Any]) -> None:
    """The tables of a report, as text."""
    print(f"\n{report['device']}, torch {report['torch']}\n")
    print(f"{'explanation':<24}{'seconds':>9}{'× plain':>9}{'at most':>9}{'textbook ×':>12}")
    for name, row in report["explanations"].items():
        limit, slow = (f"{row[key]:.1f}" if key in row else "" for key in ("limit", "textbook ratio"))
        print(f"{name:<24}{row['seconds']:>9.3f}{row['ratio']:>9.2f}{limit:>9}{slow:>12}")
    if two := report["explanations"].get("cdam, 2 targets"):
        print(f"2 targets cost {two['to one target']:.2f} × one target (at most 1.1)\n")
    for name, row in report["engine"].items():
        print(f"{name:<24}{row['share of plain throughput']:.0%} of plain forward throughput ({row['images']} images)")
    memory = report["memory"]
    beyond = memory["beyond, attention maps of one block"]
    print(f"\nrelevance propagation: {beyond:.2f} attention maps of memory beyond a forward pass (at most 2)\n")
    if table := report.get("paper_table"):
        minutes = table["minutes projected for 1000 images"]
        print(f"the paper's two-object table: {minutes:.1f} minutes projected from {table['images']} images\n")
    for name, table in report.get("growth", {}).items():
        cells = "  ".join(f"{size}: {seconds:.3f} s" for size, seconds in table["seconds"].items())
        print(f"{name:<38} order {table['order']:.2f}   {cells}")


def _seconds(work: Work, device: torch.device) -> float:
    with _synchronised(device):
        start = time.perf_counter()
        work()
    return time.perf_counter() - start


def _best_seconds(work: Work, device: torch.device, repeats: int = 3) -> float:
    return min(_seconds(work, device) for _ in range(repeats))


@contextmanager
def _synchronised(device: torch.device) -> Iterator[None]:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    yield
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _settings(config: DictConfig, backbone: Backbone) -> dict[str, Any]:
    """What was timed; of a configured backbone, its own architecture."""
    settings = {"backbone": config.backbone, "architecture": config.architecture, "image_size": backbone.image_size[0]}
    if config.backbone is not None:
        settings["architecture"] = config.backbone
    names = ("precision", "num_samples", "images", "rounds")
    return settings | {name: config[name] for name in names} | {"engine": dict(config.engine)}


def _name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"CPU, {torch.get_num_threads()} threads"
