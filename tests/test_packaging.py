"""What is declared in more than one place agrees; every script answers ``--help``."""

from __future__ import annotations

import ast
import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import aud_dnn

REPOSITORY = Path(aud_dnn.__file__).parents[1]


def pyproject_lists() -> dict[str, list[str]]:
    """Dependencies, optional ones, and the Python versions that pyproject.toml declares."""
    text = (REPOSITORY / "pyproject.toml").read_text(encoding="utf-8")
    for name in ("tomllib", "tomli"):
        if importlib.util.find_spec(name):
            project = importlib.import_module(name).loads(text)["project"]
            return {
                "dependencies": project["dependencies"],
                "python": [project["requires-python"]],
                **project["optional-dependencies"],
            }
    block = re.search(r"^dependencies = \[(.*?)^\]", text, re.MULTILINE | re.DOTALL)
    python = re.search(r'^requires-python = "(.*)"', text, re.MULTILINE)
    assert block and python
    optional = text.split("[project.optional-dependencies]")[1].split("\n[")[0]
    return {
        "dependencies": re.findall(r'"([^"]+)"', block[1]),
        "python": [python[1]],
        "optional": re.findall(r'"([^"]+)"', optional),
    }


def conda_dependencies() -> list[str]:
    """Entries of the conda file's list; what pip installs there is left out."""
    lines = (REPOSITORY / "env_auditory_brain_dnn.yml").read_text(encoding="utf-8").splitlines()
    listed = lines[lines.index("dependencies:") + 1 :]
    return [
        line.removeprefix("  - ").strip().strip("\"'") for line in listed if line.startswith("  - ")
    ]


def test_the_conda_file_has_the_dependencies_of_pyproject() -> None:
    declared = pyproject_lists()
    conda = conda_dependencies()
    (python,) = [entry for entry in conda if re.match(r"python\b", entry)]
    assert python.removeprefix("python") == declared["python"][0]
    assert sorted(set(conda) - {python, "pip", "pip:"}) == sorted(declared["dependencies"])
    assert len(conda) == len(set(conda))
    lines = (REPOSITORY / "env_auditory_brain_dnn.yml").read_text(encoding="utf-8").splitlines()
    assert "name: env_auditory_brain_dnn" in lines


def test_every_dependency_has_a_lower_bound() -> None:
    for entry in pyproject_lists()["dependencies"]:
        assert re.fullmatch(r"[a-z0-9-]+>=[0-9]+(\.[0-9]+)*", entry), entry


def test_everything_imported_is_declared() -> None:
    """What modules import when they are loaded is their own, the standard library's, or a declared
    dependency.
    """
    declared = {
        re.split(r"[><=!~;\[ ]", entry)[0]
        for entries in pyproject_lists().values()
        for entry in entries
    }
    known = {*sys.stdlib_module_names, *declared, "sklearn", "aud_dnn", "setup_utils"}
    imported: dict[str, str] = {}
    for path in [
        *(REPOSITORY / "aud_dnn").rglob("*.py"),
        *(REPOSITORY / "setup_utils").rglob("*.py"),
    ]:
        for statement in ast.parse(path.read_text(encoding="utf-8")).body:
            names = (
                [alias.name for alias in statement.names]
                if isinstance(statement, ast.Import)
                else [statement.module or ""]
                if isinstance(statement, ast.ImportFrom) and not statement.level
                else []
            )
            imported |= {name.split(".")[0]: path.name for name in names}
    assert {name: path for name, path in imported.items() if name not in known} == {}


def scripts() -> list[str]:
    """Files and modules that run as a program."""
    found = [
        path
        for folder in ("aud_dnn", "setup_utils", "benchmarks")
        for path in sorted((REPOSITORY / folder).rglob("*.py"))
        if re.search(r'^if __name__ == "__main__":', path.read_text(encoding="utf-8"), re.MULTILINE)
    ]
    return [path.relative_to(REPOSITORY).as_posix() for path in found]


def test_the_scripts_are_found() -> None:
    assert "aud_dnn/AUD_main.py" in scripts()


@pytest.mark.parametrize("script", scripts())
def test_every_script_answers_help(script: str, tmp_path: Path) -> None:
    """As a file from any folder where it is meant for that, else as a module of the package."""
    parts = Path(script).with_suffix("").parts
    run_as_file = "run as a file" in (REPOSITORY / script).read_text(
        encoding="utf-8"
    )  # it sets its own import path
    as_module = parts[0] == "aud_dnn" and not run_as_file
    target = ["-m", ".".join(parts)] if as_module else [str(REPOSITORY / script)]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    if parts[0] != "aud_dnn":  # programs beside the package expect it to be installed
        environment["PYTHONPATH"] = str(REPOSITORY)
    run = subprocess.run(
        [sys.executable, "-X", "importtime", *target, "--help"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        cwd=REPOSITORY if as_module else tmp_path,
        env=environment,
    )
    assert run.returncode == 0, run.stderr
    assert "usage:" in run.stdout and "--" in run.stdout
    if (
        run_as_file and parts[0] != "benchmarks"
    ):  # what takes a second to load is loaded when it is needed
        loaded = set(re.findall(r"^import time:.*\| +(\S+)$", run.stderr, re.MULTILINE))
        slow = {
            "matplotlib",
            "pandas",
            "scipy.signal",
            "scipy.stats",
            "seaborn",
            "sklearn",
            "torch",
            "xarray",
        }
        assert "argparse" in loaded and not loaded & slow


def test_the_citation_names_the_version_and_the_licence() -> None:
    text = (REPOSITORY / "CITATION.cff").read_text(encoding="utf-8")
    assert re.search(r"^version: (.*)$", text, re.MULTILINE)[1] == aud_dnn.__version__
    assert re.search(r"^license: MIT$", text, re.MULTILINE)
    assert (REPOSITORY / "LICENSE").read_text(encoding="utf-8").startswith("MIT License")
