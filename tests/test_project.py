"""Facts that stand in more than one file agree."""

import importlib.metadata
import re
import sys
import sysconfig
import tomllib
from pathlib import Path

import pytest

import openrouter_async
from openrouter_async import __version__

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
TEST_COMMAND = "python3 -m venv .venv && .venv/bin/pip install 'nox[uv]' && .venv/bin/nox"


def read(name: str) -> str:
    """A file of the project."""
    return (ROOT / name).read_text("utf-8")


def test_ci_runs_what_the_readme_says() -> None:
    """The README's test command is the one that CI proves, to the letter."""
    assert TEST_COMMAND in read("README.md").splitlines()
    assert TEST_COMMAND in read(".ci/run").splitlines()


def test_workflow_tests_the_pythons_of_the_classifiers() -> None:
    """The workflow and the classifiers, which nox reads, name the same Pythons."""
    matrix = re.search(r"python: \[(.*)\]", read(".github/workflows/ci.yml"))
    assert matrix is not None
    assert re.findall(r"[\d.]+", matrix[1]) == re.findall(
        r"Python :: (3\.\d+)", "\n".join(PROJECT["classifiers"])
    )


def test_changelog_starts_with_the_version() -> None:
    """The newest section of the changelog is about the version that is built."""
    newest = re.search(r"^## \[(.+?)\]", read("CHANGELOG.md"), re.MULTILINE)
    assert newest is not None
    assert newest[1] == __version__


@pytest.mark.skipif(not sys.flags.safe_path, reason="run from a checkout, not by nox")
def test_the_wheel_is_tested_and_holds_only_the_package() -> None:
    """What runs is what was installed, and it brings no tests and no tools along."""
    assert Path(openrouter_async.__file__).is_relative_to(sysconfig.get_path("purelib"))
    wheel = importlib.metadata.distribution("openrouter_async")
    assert wheel.version == __version__
    folders = {file.parts[0] for file in wheel.files or () if ".." not in file.parts}
    assert folders == {"openrouter_async", f"openrouter_async-{wheel.version}.dist-info"}
