"""Fine-tune a ViT on nodules of LIDC: `python scripts/finetune_lidc.py task=biomarkers backbone=deit_vitb16 fold=0`;
the same as `cdam-bench train lidc`."""

from cdam_bench.cli import script

if __name__ == "__main__":
    script("train lidc")
