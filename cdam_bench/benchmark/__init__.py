"""Benchmark: one cell of a sweep, from its settings to its chunks in the store."""
