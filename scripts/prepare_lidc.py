"""Crops, labels and biomarkers of the nodules of LIDC-IDRI: `python scripts/prepare_lidc.py dicom_dir=/data/LIDC-IDRI`;
the same as `cdam-bench prepare lidc`."""

from cdam_bench.cli import script

if __name__ == "__main__":
    script("prepare lidc")
