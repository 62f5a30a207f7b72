"""Every code block of the README does what it says, as a reader would run it."""

import os
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from openrouter_async._operations import OPERATIONS, RetryClass
from openrouter_async.audit import Policy
from openrouter_async.sandbox import EXAMPLE_HASH, Sandbox

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text("utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
PYTHON = [code for language, code in BLOCKS if language == "python"]
SHELL = [code.strip() for language, code in BLOCKS if language == "sh"]


TOML = [code for language, code in BLOCKS if language == "toml"]


def is_test(code: str) -> bool:
    """Whether a block is to be run by pytest."""
    return "def test_" in code


def saved(code: str, folder: Path, name: str = "example.py") -> Path:
    """The block as a file of its own."""
    path = folder / name
    path.write_text(code, "utf-8")
    return path


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Sandbox:
    """An account that clients find through the environment."""
    with Sandbox(keys=250) as box:
        monkeypatch.setenv("OPENROUTER_API_KEY", box.management_key)
        monkeypatch.setenv("OPENROUTER_BASE_URL", box.url)
        yield box


def test_all_blocks_are_known() -> None:
    """A block in a language that nobody runs here fails."""
    assert {language for language, _ in BLOCKS} == {"python", "sh", "toml"}


@pytest.mark.parametrize("code", [c for c in PYTHON if not is_test(c)])
def test_python_block_runs(
    code: str, account: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each block runs by itself against a sandbox."""
    monkeypatch.chdir(tmp_path)
    names = runpy.run_path(str(saved(code, tmp_path)), run_name="example")
    if "app" in names:
        with TestClient(names["app"]) as browser:
            answer = browser.get(f"/customers/{EXAMPLE_HASH}/spending")
        assert set(answer.json()) == {"spent", "limit"}
    assert len(account.requests) > 0 or "Sandbox" in code


@pytest.mark.parametrize("code", [c for c in PYTHON if is_test(c)])
def test_pytest_block_passes(code: str, tmp_path: Path) -> None:
    """A block of tests passes under pytest, with the fixtures that the text before it names."""
    plugins = re.findall(r"`(pytest_plugins = .*?)`", README)
    saved("\n".join(plugins), tmp_path, "conftest.py")
    saved(code, tmp_path, "test_example.py")
    settings = ["-c", os.devnull, f"--rootdir={tmp_path}", "-p", "no:cacheprovider"]
    command = [sys.executable, "-m", "pytest", "-q", *settings, str(tmp_path)]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "1 passed" in run.stdout, run.stdout + run.stderr


@pytest.mark.slow
def test_first_command_on_a_fresh_copy(tmp_path: Path) -> None:
    """The audit command sets everything up and shows an audit, in a copy without leftovers."""
    skip = shutil.ignore_patterns(".git", ".nox", ".venv", ".*_cache", "__pycache__")
    copy = shutil.copytree(ROOT, tmp_path / "clone", ignore=skip)
    env = {name: os.environ[name] for name in os.environ if not name.startswith("OPENROUTER_")}
    env.pop("PYTHONSAFEPATH", None)
    run = subprocess.run(
        SHELL[0], shell=True, cwd=copy, env=env, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert "no-limit" in run.stdout or "no limit" in run.stdout.lower()


def test_second_command_is_what_ci_runs() -> None:
    """It cannot run inside itself; CI runs it to the letter."""
    assert SHELL[1] in (ROOT / ".ci" / "run").read_text("utf-8").splitlines()


@pytest.mark.parametrize("script", SHELL[2:])
def test_shell_block_runs(script: str, tmp_path: Path) -> None:
    """Each block of commands works as it stands, without a key or network."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    env = {name: value for name, value in os.environ.items() if not name.startswith("OPENROUTER_")}
    run = subprocess.run(
        ["bash", "-ec", script],
        cwd=tmp_path,
        env={**env, "PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert "Traceback" not in run.stderr


@pytest.mark.parametrize("policy", TOML)
def test_policy_block_loads(policy: str, tmp_path: Path) -> None:
    """A policy of the README is one."""
    rules = Policy.load(saved(policy, tmp_path, "policy.toml"))
    assert rules != Policy()


def test_operation_table_is_the_table() -> None:
    """The rows say what the operation table says, in its order."""
    rows = re.findall(r"^\| `(?:api_keys|workspaces|guardrails)\..*$", README, re.MULTILINE)
    assert rows == [
        f"| `{row.call}` | `{row.method} {row.path}` | `{row.returns.__name__}` | "
        f"{'only if it never ran' if row.retry is RetryClass.CREATE else 'yes'} | {row.doc} |"
        for row in OPERATIONS
    ]
