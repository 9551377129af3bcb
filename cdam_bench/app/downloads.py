"""What can be taken away: the figure as PNG and PDF, and the arrays; made when they are asked for, and never on the disk."""

import io
import json
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import numpy as np

from cdam_bench.app.visits import Visit
from cdam_bench.drawing.style import rendered
from cdam_bench.errors import UserError, require
from cdam_bench.explaining.figure import file_word


def arrays(visit: Visit) -> bytes:
    """An .npz file: maps "<method>/<target>", "pixels", "curves/<method>/<target>" over "blurred_share", and "about" as JSON."""
    answered, blurring = visit.answered, visit.blurring
    assert answered is not None
    found = answered.explanation
    content: dict[str, Any] = {f"{method}/{name}": m for method, maps in found.maps.items() for name, m in maps.items()}
    content["pixels"] = found.pixels.astype(np.float32)
    if blurring is not None:
        content["blurred_share"] = np.linspace(0, 1, blurring.steps + 1)
        for (method, name), curve in zip(blurring.names, blurring.curves, strict=True):
            content[f"curves/{method}/{name}"] = curve
    about = {
        "picture": found.name,
        "backbone": found.backbone,
        "question": asdict(answered.question),
        "targets": [vars(target) for target in found.targets],
        "predictions": [vars(target) for target in found.predictions],
        "notes": [*found.notes, *answered.failures],
    }
    content["about"] = np.array(json.dumps(about, ensure_ascii=False))
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **content)
    return buffer.getvalue()


def figure(visit: Visit, extension: str) -> bytes:
    """The figure that `cdam-bench explain` makes."""
    assert visit.answered is not None
    return rendered(visit.answered.explanation.plot(), extension)


KINDS: dict[str, tuple[str, Callable[[Visit], bytes]]] = {  # extension → media type, and what makes the file
    "png": ("image/png", lambda visit: figure(visit, "png")),
    "pdf": ("application/pdf", lambda visit: figure(visit, "pdf")),
    "npz": ("application/octet-stream", arrays),
}


def download(visit: Visit | None, extension: str) -> tuple[str, str, bytes]:
    """File name, media type and content.

    Raises:
        UserError: for a page that is closed or shows nothing, and a kind that there is not.
    """
    if visit is None or visit.answered is None:
        raise UserError("this page is closed or shows nothing: open it again")
    require(extension in KINDS, f"{extension}: there are {', '.join(KINDS)}")
    media_type, make = KINDS[extension]
    return f"{file_word(visit.answered.explanation.name)}.{extension}", media_type, make(visit)
