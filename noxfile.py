"""Every check of the project: `nox --list` names them.

Plain `nox` is what everybody runs before a commit: style, types, and the tests with the Python
that runs nox. `nox -t matrix` is the rest of what CI runs: the other supported Pythons, with slow
tests, and the lowest dependencies.
"""

import os
import shutil
import subprocess
import sys

import nox

PROJECT = nox.project.load_toml("pyproject.toml")
PYTHONS = nox.project.python_versions(PROJECT)
HERE = f"{sys.version_info.major}.{sys.version_info.minor}"
"""The Python that runs nox, which may be the only one on this machine, and a newer one."""

nox.needs_version = ">=2025.2.9"
nox.options.sessions = ["lint", "types", "tests"]
nox.options.default_venv_backend = "uv|virtualenv"  # uv where it is there, being faster
nox.options.reuse_existing_virtualenvs = True
nox.options.download_python = "never"
nox.options.error_on_missing_interpreters = False  # skipped by name; `.ci/run` does not have that


def select_pyenv_versions() -> None:
    """Let pyenv's commands answer for all our Pythons; without this all but one of them fail."""
    if "PYENV_VERSION" not in os.environ and shutil.which("pyenv"):
        command = ["pyenv", "versions", "--bare", "--skip-aliases"]
        listed = subprocess.run(command, capture_output=True, text=True, check=False).stdout
        ours = [version for version in listed.split() if version.rpartition(".")[0] in PYTHONS]
        if ours:
            os.environ["PYENV_VERSION"] = ":".join(ours)


select_pyenv_versions()


def install(session: nox.Session, *requirements: str, group: str) -> None:
    """Install the package as a wheel, which pip builds afresh, and one dependency group."""
    groups = nox.project.dependency_groups(PROJECT, group)
    rebuild = ["--reinstall-package", "openrouter_async"] if session.venv_backend == "uv" else []
    session.install(*rebuild, ".[all]", *requirements, *groups)


def run_tests(session: nox.Session, *arguments: str) -> None:
    """Test the wheel on all cores, with the checkout off `sys.path`."""
    command = ["pytest", "--numprocesses=auto", *arguments, *session.posargs]
    session.run(*command, env={"PYTHONSAFEPATH": "1"})


FULL = ("--hypothesis-profile=full",)
QUICK = ("-m", "not slow")
APART = ("--ignore=tests/readme", "--ignore=tests/interop")
"""Folders of tests that need packages beyond the lowest dependencies."""


@nox.session
def lint(session: nox.Session) -> None:
    """Check style and format."""
    session.install(*nox.project.dependency_groups(PROJECT, "lint"))
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")


@nox.session
def types(session: nox.Session) -> None:
    """Check the package and the typing contract with mypy and pyright."""
    install(session, group="types")
    session.run("mypy")
    session.run("pyright")


@nox.session
def tests(session: nox.Session) -> None:
    """Test with the Python that runs nox: everything but slow tests."""
    install(session, group="all-tests")
    run_tests(session, *QUICK)


@nox.session(python=[version for version in PYTHONS if version != HERE], tags=["matrix"])
def matrix(session: nox.Session) -> None:
    """Test with each other supported Python, slow tests included."""
    install(session, group="all-tests")
    run_tests(session)


@nox.session(python=PYTHONS[0], tags=["matrix"])
def minimum(session: nox.Session) -> None:
    """Test with the lowest versions of the dependencies that pyproject allows."""
    project = PROJECT["project"]
    extras = project["optional-dependencies"]
    chosen = (bound for name in extras if name != "all" for bound in extras[name])
    lower_bounds = list(dict.fromkeys([*project["dependencies"], *chosen]))
    install(session, *(bound.replace(">=", "==") for bound in lower_bounds), group="test")
    run_tests(session, *QUICK, *APART)


@nox.session
def coverage(session: nox.Session) -> None:
    """Test with branch coverage, which has a floor, and with many generated examples."""
    install(session, group="all-tests")
    run_tests(session, *QUICK, *FULL, "--cov", "--cov-report=term")


@nox.session
def bench(session: nox.Session) -> None:
    """Measure against the official SDK and a bare aiohttp loop: figures, never a verdict."""
    install(session, group="bench")
    session.run("python", "-m", "benchmarks", *session.posargs)


@nox.session
def soak(session: nox.Session) -> None:
    """Let 200 callers meet 2 % of mixed faults for 5 minutes: a table of what was measured."""
    install(session, group="test")
    session.run("python", "tests/soak/soak.py", *session.posargs)


@nox.session
def fuzz(session: nox.Session) -> None:
    """Let the state machine of keys run for 10 minutes; `-- 60` is one minute."""
    seconds = session.posargs[0] if session.posargs else "600"
    install(session, group="test")
    env = {"PYTHONSAFEPATH": "1", "FUZZ_SECONDS": seconds}
    session.run("pytest", "tests/wire/test_state_machine.py", "-s", "--timeout=0", env=env)


@nox.session(name="audit-dependencies")
def audit_dependencies(session: nox.Session) -> None:
    """Look the dependencies up in the database of known vulnerabilities, where it is reached."""
    session.install(".[all]", "pip-audit")
    output = session.run("pip-audit", "--skip-editable", silent=True, success_codes=range(256))
    said = output if isinstance(output, str) else ""
    unreached = "aiohttp" in said and "aiohttp   " in said.partition("Skip Reason")[2]
    if unreached or any(word in said for word in ("ConnectionError", "Max retries", "timed out")):
        session.skip("the database of known vulnerabilities cannot be reached from here")
    session.log(said)
    if "No known vulnerabilities" not in said:
        session.error("there are known vulnerabilities")
