"""Pictures that are here without a network: digit scenes of this package, photographs of scikit-learn's."""

from importlib.util import find_spec
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
        content = (_scikit_learn() / "datasets" / "images" / f"{name}.jpg").read_bytes()
    return Upload(name, content, name)


def _scikit_learn() -> Path:
    """Its folder; importing it would take seconds."""
    found = find_spec("sklearn")
    assert found is not None
    assert found.origin is not None
    return Path(found.origin).parent
