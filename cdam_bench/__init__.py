"""cdam_bench: benchmarks of importance maps for vision transformers."""
