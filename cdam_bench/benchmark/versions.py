"""Versions of the libraries that numbers come from; imports none of them."""

import platform
from importlib.metadata import PackageNotFoundError, version

LIBRARIES = ("cdam-bench", "torch", "timm", "torchvision", "captum", "numpy")


def version_of(library: str) -> str:
    """Installed version of a library."""
    try:
        return version(library)
    except PackageNotFoundError:
        return "not installed"


def library_versions() -> dict[str, str]:
    """Versions of Python and of what the numbers come from."""
    return {"python": platform.python_version()} | {name.replace("-", "_"): version_of(name) for name in LIBRARIES}
