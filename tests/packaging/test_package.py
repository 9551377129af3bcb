"""The package's own files say what is true of it."""

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRA_MODULES = {"SimpleITK": "simpleitk"}  # packages that may be absent: module → distribution


def distribution(requirement: str) -> str:
    return re.split(r"[^\w.-]", requirement, maxsplit=1)[0].lower().replace("_", "-")


def imported_modules() -> set[str]:
    """Top-level modules that the package imports, wherever in its files."""
    found = set()
    for path in (ROOT / "cdam_bench").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found |= {name.name.split(".")[0] for name in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                found.add(node.module.split(".")[0])
    return found - set(sys.stdlib_module_names) - {"cdam_bench"}


def test_every_imported_package_is_declared():
    extras = PROJECT["optional-dependencies"]
    of_users = [one for name, listed in extras.items() if name != "dev" for one in listed]
    declared = {distribution(one) for one in PROJECT["dependencies"] + of_users}
    by_module = packages_distributions()
    imported = imported_modules()
    assert {"torch", "scipy", "yaml", "sqlalchemy"} <= imported
    lacking = {
        module
        for module in imported
        if declared.isdisjoint(
            {distribution(name) for name in by_module.get(module, [EXTRA_MODULES.get(module, module)])}
        )
    }
    assert not lacking


def test_the_patched_package_is_pinned_exactly():
    assert "pylidc==0.2.3" in PROJECT["optional-dependencies"]["lidc"]


def test_every_dependency_has_a_lowest_version():
    assert [one for one in PROJECT["dependencies"] if not re.search(r">=\d", one)] == []


def test_the_lock_holds_every_dependency_and_no_address():
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    pinned = set(re.findall(r"^([\w.-]+)==", lock, flags=re.MULTILINE))
    wanted = PROJECT["dependencies"] + [
        one for name in ("dev", "joblib", "slurm", "lidc") for one in PROJECT["optional-dependencies"][name]
    ]
    assert {distribution(one) for one in wanted} <= pinned
    assert "://" not in lock


def test_the_version_is_the_same_everywhere():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert citation["version"] == PROJECT["version"]
    assert re.search(r"^## \[?([\d.]+)", changes, flags=re.MULTILINE)[1] == PROJECT["version"]


def test_the_workflow_tries_every_python_that_is_promised():
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8"))
    promised = {one.rpartition(" ")[2] for one in PROJECT["classifiers"] if re.fullmatch(r".*Python :: 3\.\d+", one)}
    matrix = workflow["jobs"]["wheel"]["strategy"]["matrix"]
    assert set(matrix["python"]) == promised
    assert set(matrix["dependencies"]) == {"lowest", "newest"}
    assert workflow["permissions"] == {"contents": "read"}


@pytest.mark.parametrize(
    ("name", "bytes_allowed"), [("digits_vit", 3e6), ("digits_vit_shallow", 3e6), ("cifar10_vit", 8e6)]
)
def test_the_committed_weights_are_small_and_have_their_card_and_log(name, bytes_allowed):
    folder = ROOT / "cdam_bench" / "weights"
    assert (folder / f"{name}.safetensors").stat().st_size <= bytes_allowed
    assert "test accuracy" in (folder / f"{name}.json").read_text()
    assert len((folder / f"{name}.csv").read_text().splitlines()) > 100
