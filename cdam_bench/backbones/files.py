"""Weights files: where they are looked for, and how official ones are downloaded and checked. Imports no torch before it must."""

import hashlib
import os
import re
import sys
from pathlib import Path
from urllib.parse import urldefrag, urlparse

from cdam_bench.errors import UserError

PACKAGED = Path(__file__).parents[1] / "weights"
PROBE_SUFFIX = "_linear.safetensors"  # of the heads that `cdam-bench train probe` makes
TRAINED_BY = {  # first letters of networks that are made here, and the command; some come with the package
    "digits_": "cdam-bench train digits backbone={name}",
    "cifar10_vits14_frozen": "cdam-bench train photographs trained=head",
    "cifar10_vits14": "cdam-bench train photographs trained=all",
}


def find_weights(name: str | Path, weights_dir: str | Path | None = None) -> Path:
    """Path of a weights file.

    Args:
        name: a path, a file name in `weights_dir` or among the small ones that come with the package, or the address of
            an official file. The latter is looked for by its file name in `weights_dir` and in torch.hub's cache, then
            downloaded into the first of them. It may end in `#md5=<hex>` or `#sha256=<hex>`, the first digits of the
            file's hash; otherwise a hash in the file name (as torchvision has it: `name-<hex>.pth`) is checked.
        weights_dir: folder of weights files.
    Raises:
        UserError: naming the places that were searched; for an address, also where to put the file by hand.
    """
    places = weights_places(name, weights_dir)
    for place in places:
        if place.is_file():
            return place
    if is_address(name):
        return _download(str(name), places[0])
    searched = ", ".join(str(place) for place in places[:-1])
    mend = "put it there or give its path"
    if str(name).endswith(PROBE_SUFFIX):
        mend = f"train it with `cdam-bench train probe`, or {mend}"
    if (made_by := training_command(Path(name).stem)) is not None:
        mend = f"make it by `{made_by}` (half an hour), or {mend}"
    raise UserError(f"weights file {name} not found (searched {searched}): {mend}")


def training_command(network: str) -> str | None:
    """The command that makes the weights of a network; None for those that are trained elsewhere."""
    found = (command for first, command in TRAINED_BY.items() if network.startswith(first))
    command = next(found, None)
    return None if command is None else command.format(name=network)


def is_address(name: str | Path) -> bool:
    """Whether weights are named by where they can be downloaded."""
    return urlparse(str(name)).scheme in ("http", "https", "file")


def weights_places(name: str | Path, weights_dir: str | Path | None = None) -> list[Path]:
    """Where a weights file is looked for, in this order; an address is downloaded to the first place."""
    if is_address(name):
        file = Path(urlparse(urldefrag(str(name))[0]).path).name
        own = [] if weights_dir is None else [Path(weights_dir) / file]
        return [*own, hub_folder() / file]
    own = [] if weights_dir is None else [Path(weights_dir) / name]
    return [Path(name), *own, PACKAGED / name]


def hub_folder() -> Path:
    """Where torch.hub keeps what it downloads (`torch.hub.get_dir`, which takes seconds to import)."""
    if "torch" in sys.modules:
        return Path(sys.modules["torch"].hub.get_dir()) / "checkpoints"
    cache = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser()
    return Path(os.environ.get("TORCH_HOME", cache / "torch")).expanduser() / "hub" / "checkpoints"


def _download(address: str, target: Path) -> Path:
    import torch

    url, _ = urldefrag(address)
    name = target.name
    partial = target.with_name(f"{name}.unchecked")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(url, str(partial), progress=True)
    except (OSError, RuntimeError) as error:  # no network, no such address, no room
        reason = str(getattr(error, "reason", error))
        raise UserError(
            f"weights file {name} is not in {target.parent} and could not be downloaded from {url} ({reason}): "
            f"download it elsewhere and put it there as {target}, or give the path of a copy"
        ) from error
    algorithm, expected = _expected_hash(address)
    found = file_digest(partial, algorithm)
    if not found.startswith(expected):
        partial.unlink()
        raise UserError(
            f"weights file {name} from {url} has {algorithm} {found[:12]}… instead of {expected}…: the download was "
            "damaged or the file has changed; try again, or give the path of a copy you trust"
        )
    return partial.replace(target)


def file_digest(path: Path, algorithm: str = "sha256") -> str:
    """Digest of a file's content, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()


def _expected_hash(address: str) -> tuple[str, str]:
    """Algorithm and first hexadecimal digits of the hash that an address promises; no digits if it promises none."""
    url, fragment = urldefrag(address)
    if declared := re.fullmatch(r"(md5|sha256)=([0-9a-f]+)", fragment):
        return declared[1], declared[2]
    named = re.search(r"-([0-9a-f]{8,})\.\w+$", url)
    return "sha256", named[1] if named else ""
