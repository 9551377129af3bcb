"""cdam_bench: benchmarks of importance maps for vision transformers.

`cdam_bench.explain` and `cdam_bench.Explanation` are loaded when first used: importing the package costs nothing.
"""

from typing import Any

__all__ = ["Explanation", "explain"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from cdam_bench.explaining import explanation

    return getattr(explanation, name)
