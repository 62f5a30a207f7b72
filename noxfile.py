"""All checks of the project: `nox --list` lists them.

Run plain `nox` before a commit: style, types, and the tests with the Python that runs nox.
`nox -t matrix` is the rest of what CI runs: the other supported Pythons, with slow tests, and the
lowest dependencies.
"""

import os
import shutil
import subprocess
import sys

import nox

PROJECT = nox.project.load_toml("pyproject.toml")
PYTHONS = nox.project.python_versions(PROJECT)
HERE = f"{sys.version_info.major}.{sys.version_info.minor}"
"""The Python that runs nox; it may be the only one here, and newer than the supported ones."""

nox.needs_version = ">=2025.2.9"
nox.options.sessions = ["lint", "types", "tests"]
nox.options.default_venv_backend = "uv|virtualenv"  # uv if it is installed, because it is faster
nox.options.reuse_existing_virtualenvs = True
nox.options.download_python = "never"
nox.options.error_on_missing_interpreters = False  # they are skipped; `.ci/run` makes them fail


def select_pyenv_versions() -> None:
    """Select all our Pythons in pyenv; otherwise its commands fail for all but one of them."""
    if "PYENV_VERSION" not in os.environ and shutil.which("pyenv"):
        command = ["pyenv", "versions", "--bare", "--skip-aliases"]
        listed = subprocess.run(command, capture_output=True, text=True, check=False).stdout
        ours = [version for version in listed.split() if version.rpartition(".")[0] in PYTHONS]
        if ours:
            os.environ["PYENV_VERSION"] = ":".join(ours)


select_pyenv_versions()


def install(session: nox.Session, *requirements: str, group: str) -> None:
    """Install a freshly built wheel of the package, and one dependency group."""
    groups = nox.project.dependency_groups(PROJECT, group)
    rebuild = ["--reinstall-package", "openrouter_async"] if session.venv_backend == "uv" else []
    session.install(*rebuild, ".[all]", *requirements, *groups)


def run_tests(session: nox.Session, *arguments: str) -> None:
    """Run the tests on all cores against the wheel: the checkout is not on `sys.path`."""
    # Many tests wait, for programs or for limits of time: one process more than there are cores.
    processes = (os.cpu_count() or 1) + 1
    command = ["pytest", f"--numprocesses={processes}", *arguments, *session.posargs]
    # The tests start hundreds of Pythons: where nothing may be cached, each compiles everything.
    env = {"PYTHONSAFEPATH": "1", "PYTHONDONTWRITEBYTECODE": None}
    session.run(*command, env=env)


FULL = ("--hypothesis-profile=full",)
QUICK = ("-m", "not slow")
APART = ("--ignore=tests/readme", "--ignore=tests/interop")
"""Test folders that need packages that the `test` group does not have."""


@nox.session
def lint(session: nox.Session) -> None:
    """Check style and formatting."""
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
    """Run all tests except slow ones, with the Python that runs nox."""
    install(session, group="all-tests")
    run_tests(session, *QUICK)


@nox.session(python=[version for version in PYTHONS if version != HERE], tags=["matrix"])
def matrix(session: nox.Session) -> None:
    """Run all tests, slow ones included, with each other supported Python."""
    install(session, group="all-tests")
    run_tests(session)


@nox.session(python=PYTHONS[0], tags=["matrix"])
def minimum(session: nox.Session) -> None:
    """Run the tests with the lowest versions of the dependencies that pyproject.toml allows."""
    project = PROJECT["project"]
    extras = project["optional-dependencies"]
    chosen = (bound for name in extras if name != "all" for bound in extras[name])
    lower_bounds = list(dict.fromkeys([*project["dependencies"], *chosen]))
    install(session, *(bound.replace(">=", "==") for bound in lower_bounds), group="test")
    run_tests(session, *QUICK, *APART)


@nox.session
def coverage(session: nox.Session) -> None:
    """Measure branch coverage, which has a minimum, with many generated examples."""
    install(session, group="all-tests")
    run_tests(session, *QUICK, *FULL, "--cov", "--cov-report=term")


@nox.session
def bench(session: nox.Session) -> None:
    """Run benchmarks against the official SDK and a bare aiohttp loop; they never fail."""
    install(session, group="bench")
    session.run("python", "-m", "benchmarks", *session.posargs)


@nox.session
def instructions(session: nox.Session) -> None:
    """Count instructions with Valgrind, and compare them with the last that were committed."""
    install(session, group="bench")
    session.run("python", "-m", "benchmarks.instructions", *session.posargs)


@nox.session
def soak(session: nox.Session) -> None:
    """Run 200 callers with 2 % mixed faults for 5 minutes, and print a table of measurements."""
    install(session, group="test")
    session.run("python", "tests/soak/soak.py", *session.posargs)


@nox.session
def fuzz(session: nox.Session) -> None:
    """Run the state machine of keys for 10 minutes; `-- 60` is one minute."""
    seconds = session.posargs[0] if session.posargs else "600"
    install(session, group="test")
    env = {"PYTHONSAFEPATH": "1", "FUZZ_SECONDS": seconds}
    session.run("pytest", "tests/wire/test_state_machine.py", "-s", "--timeout=0", env=env)


@nox.session(name="audit-dependencies")
def audit_dependencies(session: nox.Session) -> None:
    """Check the dependencies for known vulnerabilities; skip if the database is unreachable."""
    session.install(".[all]", "pip-audit")
    result = session.run("pip-audit", "--skip-editable", silent=True, success_codes=range(256))
    output = result if isinstance(result, str) else ""
    # If even aiohttp was skipped, nothing could be looked up.
    unreachable = "aiohttp" in output and "aiohttp   " in output.partition("Skip Reason")[2]
    if unreachable or any(w in output for w in ("ConnectionError", "Max retries", "timed out")):
        session.skip("the database of known vulnerabilities is unreachable")
    session.log(output)
    if "No known vulnerabilities" not in output:
        session.error("there are known vulnerabilities")
