"""Fault 32 for the command: a planted key is found in no output, however it ends, with -vvv."""

from pathlib import Path

import pytest
from support.command import Inside, Result, Terminal
from support.secrets import assert_not_leaked, planted_secret
from support.server import ThreadedServer
from support.steps import Step, close_before_head, echo, html, redirect, reply, reset, stall_head

from openrouter_async.sandbox import EXAMPLE_HASH, Sandbox

COMMANDS = {
    "audit": ["audit", "--format", "json"],
    "list": ["list", "--all"],
    "get": ["get", EXAMPLE_HASH],
    "whoami": ["whoami"],
    "workspaces": ["workspaces"],
    "create": ["create", "acme"],
    "update": ["update", EXAMPLE_HASH, "--limit", "1"],
    "delete": ["delete", "--yes", EXAMPLE_HASH],
}


def error_with(secret: str, status: int) -> Step:
    """Answer with an error whose message repeats the key, as careless proxies do."""
    problem = {"error": {"code": status, "message": f"bad key {secret}"}, "user_id": secret}
    return reply(status=status, json=problem)


def faults(secret: str) -> dict[str, Step]:
    """Return a way to fail for each kind of error."""
    return {
        "echo": echo(),
        "401": error_with(secret, 401),
        "403": error_with(secret, 403),
        "429": error_with(secret, 429),
        "500": error_with(secret, 500),
        "html": html(502, f"<h1>{secret}</h1>"),
        "no JSON": reply(body=secret.encode()),
        "wrong shape": reply(json={"data": secret}),
        "redirect": redirect(302, f"https://example.com/?key={secret}"),
        "reset": reset(),
        "no head": close_before_head(),
        "time-out": stall_head(),
    }


@pytest.fixture
def cli(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Inside:
    """The command, in this process."""
    return Inside(capfd, monkeypatch)


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("fault", faults(""))
def test_no_failure_shows_the_key(cli: Inside, command: str, fault: str) -> None:
    """With everything logged and every detail told."""
    secret = planted_secret()
    with ThreadedServer(default=faults(secret)[fault]) as server:
        env = {"OPENROUTER_BASE_URL": server.api_url, "OPENROUTER_API_KEY": secret}
        patience = ("--no-retries", "--timeout", "0.3", "-vvv")
        result = cli(*COMMANDS[command], *patience, env=env)
    if command != "delete" or fault not in ("echo", "wrong shape"):  # any 2XX means deleted
        assert result.code != 0
        assert "error: " in result.err
        assert "  class " in result.err
    assert_not_leaked(secret, result.out, result.err)


@pytest.mark.parametrize("command", COMMANDS)
def test_no_success_shows_the_key(cli: Inside, command: str, tmp_path: Path) -> None:
    """Neither the management key nor, but for `create`'s own output, the new one."""
    with Sandbox(keys=20) as box:
        path = tmp_path / "key"
        path.write_text(box.management_key)
        path.chmod(0o600)
        settings = ("--key-file", str(path), "-vvv")
        result: Result = cli(*COMMANDS[command], *settings, env={"OPENROUTER_BASE_URL": box.url})
        created = [box.inference_key(key.hash) for key in box.keys if key.name == "acme"]
    assert result.code == 0
    assert "attempt 1, 20" in result.err
    assert_not_leaked(box.management_key, result.out, result.err)
    for key in created:
        assert result.out == f"{key}\n"
        assert_not_leaked(key, result.err)


def test_a_bug_shows_no_key(cli: Inside, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even where the error's own text has it."""
    secret = planted_secret()

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError(f"cannot use {secret}")

    monkeypatch.setattr("openrouter_async.cli._session.AsyncOpenRouter", broken)
    quiet = cli("whoami", env={"OPENROUTER_API_KEY": secret})
    loud = cli("whoami", "-vvv", env={"OPENROUTER_API_KEY": secret})
    assert quiet.code == loud.code == 70
    assert quiet.complaint == "this is a bug: RuntimeError (-vvv shows where)"
    assert "in broken" in loud.err
    assert_not_leaked(secret, quiet.err, loud.err, quiet.out, loud.out)


def test_an_interrupted_create_shows_no_key() -> None:
    """On a terminal, in the middle of the request."""
    with Sandbox() as box:
        box.fail("create", delay=30)
        env = {"OPENROUTER_BASE_URL": box.url, "OPENROUTER_API_KEY": box.management_key}
        with Terminal("create", "acme", "-vvv", env=env) as terminal:
            while not box.requests:
                terminal._read()
            terminal.interrupt()
            assert terminal.wait() == 130
    assert_not_leaked(box.management_key, terminal.seen)
