"""Textbook versions of everything the package computes: slow, obvious, and without a line of the package.

Each explains one image and one target with autograd over the whole timm model, in double precision.
"""
