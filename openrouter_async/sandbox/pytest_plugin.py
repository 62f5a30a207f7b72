"""Fixtures for tests of code that manages keys; opt in from the top-level `conftest.py`.

pytest_plugins = ["openrouter_async.sandbox.pytest_plugin"]
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from openrouter_async.sandbox import Sandbox


@pytest.fixture
def openrouter_sandbox() -> Iterator[Sandbox]:
    """A sandbox for each test, in a thread, with no key but that of the official examples."""
    with Sandbox() as sandbox:
        yield sandbox


@pytest.fixture
def openrouter_sandbox_env(openrouter_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Sandbox:
    """The same sandbox, set in the environment so that clients use it by default."""
    monkeypatch.setenv("OPENROUTER_BASE_URL", openrouter_sandbox.url)
    monkeypatch.setenv("OPENROUTER_API_KEY", openrouter_sandbox.management_key)
    return openrouter_sandbox


@pytest.fixture
def openrouter_sandbox_url(openrouter_sandbox_env: Sandbox) -> str:
    """The base URL of the same sandbox, ending in `/api/v1`."""
    return openrouter_sandbox_env.url
