"""LIDC: nodules in CT scans, from the annotations to fine-tuned backbones, datasets and tables."""
