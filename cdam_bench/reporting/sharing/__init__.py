"""Sharing: scores of a results folder in one file, and what changed between two runs; neither needs torch."""
