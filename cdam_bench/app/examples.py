"""Pictures that are here without a network: digit scenes of this package, photographs of scikit-learn's."""

from importlib.resources import files
from pathlib import Path

from cdam_bench.app.uploads import Upload
from cdam_bench.errors import unknown_name

DIGITS = ("digits_7_5", "digits_4_9", "digits_3_0")
PHOTOGRAPHS = ("flower", "china")
EXAMPLES = (*DIGITS, *PHOTOGRAPHS)


def example(name: str) -> Upload:
    """A packaged picture.

    Raises:
        UserError: for an unknown name.
    """
    if name not in EXAMPLES:
        raise unknown_name("picture", name, EXAMPLES)
    if name in DIGITS:
        content = (Path(__file__).parent / "examples" / f"{name}.png").read_bytes()
    else:
        content = (files("sklearn.datasets") / "images" / f"{name}.jpg").read_bytes()
    return Upload(name, content, name)
