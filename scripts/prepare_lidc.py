"""Crops, labels and biomarkers of the nodules of LIDC-IDRI: `python scripts/prepare_lidc.py dicom_dir=/data/LIDC-IDRI`."""

from cdam_bench.cli import run
from cdam_bench.lidc.prepare import prepare_lidc

if __name__ == "__main__":
    run(prepare_lidc, "prepare_lidc")
