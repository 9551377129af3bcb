"""Files on disk: written wholly or not at all; what killed jobs left behind is swept; settings as digests and differences."""

import hashlib
import json
import os
import time
import uuid
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any


def write_atomically(path: Path, content: bytes, durable: bool = True) -> None:
    """Replace `path` by `content`, wholly or not at all.

    Args:
        durable: wait until it is on the disk; False for what can be made again.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if (
            isinstance(error, OSError) and error.errno is not None and error.filename is None
        ):  # a full disk does not tell which file
            error.filename = str(path)
        raise


LEFT_BEHIND = 3600.0  # seconds after which a temporary file belongs to no job any more


def sweep_temporaries(files: Iterable[Path]) -> int:
    """Delete those of `files` that a killed job left under a temporary name; says how many."""
    swept = 0
    for file in files:
        with suppress(OSError):  # another job may be sweeping, too
            if file.name.endswith(".tmp") and time.time() - file.stat().st_mtime > LEFT_BEHIND:
                file.unlink()
                swept += 1
    return swept


def fingerprint(identity: Mapping[str, Any]) -> str:
    """Digest of a configuration, independent of the order of its keys."""
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()


def flatten(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings → {"a.b": value}."""
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        name = f"{prefix}{key}"
        flat |= flatten(value, f"{name}.") if isinstance(value, Mapping) else {name: value}
    return flat


def differences(old: Mapping[str, Any], new: Mapping[str, Any], most: int = 5) -> str:
    """The settings in which two configurations differ, as `key: old → new`."""
    before, after = flatten(old), flatten(new)
    changed = [key for key in sorted(before.keys() | after.keys()) if before.get(key) != after.get(key)]
    shown = [f"{key}: {before.get(key, 'unset')} → {after.get(key, 'unset')}" for key in changed[:most]]
    more = [f"{len(changed) - most} more"] if len(changed) > most else []
    return ", ".join(shown + more)
