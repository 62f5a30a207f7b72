"""Whatever the operation table has is there for every user of it, and nothing was forgotten."""

import inspect
from pathlib import Path
from typing import Any

import pytest

from openrouter_async import AsyncOpenRouter, OpenRouter
from openrouter_async._operations import OPERATIONS, Operation
from openrouter_async.cli._app import app
from openrouter_async.sandbox._handlers import HANDLERS

README = Path(__file__).parents[1].joinpath("README.md").read_text("utf-8")


def public_methods(of: object) -> set[str]:
    """The names that a user may call."""
    return {
        name
        for name in dir(of)
        if not name.startswith("_")
        and callable(getattr(of, name))
        and inspect.ismethod(getattr(of, name))
    }


def method(client: object, path: str) -> Any:
    """The method that `path`, such as `api_keys.list`, leads to."""
    for name in path.split("."):
        client = getattr(client, name)
    return client


COMMANDS = {command.name for command in app.registered_commands}
ASYNC = AsyncOpenRouter(api_key="sk-or-v1-parity")
BLOCKING = OpenRouter(api_key="sk-or-v1-parity")
# What only one of the clients has, and why.
ONLY_ASYNC = {
    "call",  # the floor that methods stand on; blocking methods stand on the async ones
    "server_url_for",  # which service an outcomes file belongs to
}
METHODS = sorted(
    {f"api_keys.{name}" for name in public_methods(ASYNC.api_keys)}
    | {f"workspaces.{name}" for name in public_methods(ASYNC.workspaces)}
    | {f"guardrails.{name}" for name in public_methods(ASYNC.guardrails)}
    | (public_methods(ASYNC) - ONLY_ASYNC)
)


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
def test_every_operation_is_everywhere(operation: Operation[Any, Any]) -> None:
    """A row has its method and parameters, its handler, its command, its line in the README."""
    parameters = inspect.signature(method(ASYNC, operation.call)).parameters
    assert [p for p in parameters if p != "options"] == [p.name for p in operation.parameters]
    assert operation.name in HANDLERS
    line = f"| `{operation.call}` | `{operation.method} {operation.path}` |"
    assert line in README
    assert operation.command in COMMANDS


@pytest.mark.parametrize("path", METHODS)
def test_every_async_method_has_its_blocking_twin(path: str) -> None:
    """The two have equal parameters and the same first line of documentation."""
    ours, twin = method(ASYNC, path), method(BLOCKING, path)
    assert list(inspect.signature(ours).parameters.values()) == list(
        inspect.signature(twin).parameters.values()
    )
    if path not in {"close", "with_options"}:
        assert inspect.getdoc(ours).splitlines()[0] == inspect.getdoc(twin).splitlines()[0]


def test_blocking_has_nothing_else() -> None:
    """There is no method that only blocks."""
    assert public_methods(BLOCKING.api_keys) == public_methods(ASYNC.api_keys)
    assert public_methods(BLOCKING.workspaces) == public_methods(ASYNC.workspaces)
    assert public_methods(BLOCKING.guardrails) == public_methods(ASYNC.guardrails)
    assert public_methods(BLOCKING) == public_methods(ASYNC) - ONLY_ASYNC


def test_constructors_are_equal() -> None:
    """Both clients are set up the same way."""
    ours = inspect.signature(AsyncOpenRouter).parameters
    assert list(ours.values()) == list(inspect.signature(OpenRouter).parameters.values())
