"""Fine-tune a ViT on nodules of LIDC: `python scripts/finetune_lidc.py task=biomarkers backbone=deit_vitb16 fold=0`."""

from cdam_bench.cli import run
from cdam_bench.training.lidc import finetune_lidc

if __name__ == "__main__":
    run(finetune_lidc, "finetune_lidc")
