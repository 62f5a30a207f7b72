"""The fixtures for users' own tests."""

import os
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from openrouter_async.sandbox import EXAMPLE_HASH, Sandbox

pytest_plugins = ["openrouter_async.sandbox.pytest_plugin"]


def test_a_sandbox_of_ones_own(openrouter_sandbox: Sandbox) -> None:
    """A test has a running sandbox with an account that nobody used before."""
    assert [key.hash for key in openrouter_sandbox.keys] == [EXAMPLE_HASH]
    assert openrouter_sandbox.requests == []
    openrouter_sandbox.spend(EXAMPLE_HASH, 1)


def test_clients_find_it_by_themselves(openrouter_sandbox_url: str) -> None:
    """The environment leads clients to the sandbox of the test."""
    assert os.environ["OPENROUTER_BASE_URL"] == openrouter_sandbox_url
    request = urllib.request.Request(
        f"{openrouter_sandbox_url}/key",
        headers={"Authorization": f"Bearer {os.environ['OPENROUTER_API_KEY']}"},
    )
    with urllib.request.urlopen(request) as answer:
        assert answer.status == 200


async def test_it_serves_async_tests(openrouter_sandbox_env: Sandbox) -> None:
    """It runs in a thread of its own, so that a test with a loop can use it too."""
    assert os.environ["OPENROUTER_BASE_URL"] == openrouter_sandbox_env.url


def test_opting_in(tmp_path: Path) -> None:
    """One line in a conftest is all; without it there are no such fixtures."""
    (tmp_path / "test_mine.py").write_text(
        "def test_mine(openrouter_sandbox_env): assert len(openrouter_sandbox_env.keys) == 1\n"
    )
    outcomes = []
    for line in ("", 'pytest_plugins = ["openrouter_async.sandbox.pytest_plugin"]'):
        (tmp_path / "conftest.py").write_text(line)
        command = [sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "no:asyncio"]
        done = subprocess.run(
            [*command, "-c", os.devnull, f"--rootdir={tmp_path}", str(tmp_path)],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        outcomes.append((done.returncode, done.stdout.splitlines()[-1].split(" in ")[0]))
    assert outcomes == [(pytest.ExitCode.TESTS_FAILED, "1 error"), (pytest.ExitCode.OK, "1 passed")]
