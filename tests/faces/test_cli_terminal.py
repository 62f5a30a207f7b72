"""At a terminal: colours, the question before a delete, Ctrl-C, and a sandbox that runs."""

import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping

import pytest
from support.command import PROGRAM, Terminal, environment, run
from support.ports import refused_port

from openrouter_async import OpenRouter
from openrouter_async.sandbox import EXAMPLE_HASH, Sandbox

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="pseudo-terminals are POSIX")


@pytest.fixture
def box() -> Iterator[Sandbox]:
    """A sandbox for one test."""
    with Sandbox(keys=3) as box:
        yield box


@pytest.fixture
def env(box: Sandbox) -> Mapping[str, str]:
    """What finds the sandbox."""
    return {"OPENROUTER_BASE_URL": box.url, "OPENROUTER_API_KEY": box.management_key}


def test_colours_are_for_terminals(env: Mapping[str, str]) -> None:
    """And not for those who set NO_COLOR, or have a dumb one."""
    for settings, coloured in (({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)):
        with Terminal("list", env={**env, **settings}) as terminal:
            assert terminal.wait() == 0
            assert ("\x1b[" in terminal.seen) is coloured
            assert EXAMPLE_HASH[:12] in terminal.seen


@pytest.mark.parametrize(
    ("answer", "code", "left"), [("y\n", 0, 0), ("\n", 130, 1), ("n\n", 130, 1)]
)
def test_delete_asks(
    box: Sandbox, env: Mapping[str, str], answer: str, code: int, left: int
) -> None:
    """By name; only a yes deletes, and a no is exit code 130."""
    with Terminal("delete", EXAMPLE_HASH, env=env) as terminal:
        terminal.expect("[y/N] ")
        assert "My Production Key" in terminal.seen
        terminal.type(answer)
        assert terminal.wait() == code
    assert sum(key.hash == EXAMPLE_HASH for key in box.keys) == left
    if left:
        assert "nothing was deleted" in terminal.seen


def test_ctrl_c_at_the_question_deletes_nothing(box: Sandbox, env: Mapping[str, str]) -> None:
    """Exit code 130."""
    with Terminal("delete", EXAMPLE_HASH, env=env) as terminal:
        terminal.expect("[y/N] ")
        terminal.interrupt()
        assert terminal.wait() == 130
    assert [request.operation for request in box.requests] == ["get"]


def test_delete_of_a_key_that_is_not_there_does_not_ask(
    box: Sandbox, env: Mapping[str, str]
) -> None:
    """One unknown hash stops it before anything is deleted."""
    with Terminal("delete", EXAMPLE_HASH, "0" * 64, env=env) as terminal:
        assert terminal.wait() == 3
    assert "delete" not in {request.operation for request in box.requests}


def test_a_key_is_asked_for_without_showing_it(box: Sandbox, env: Mapping[str, str]) -> None:
    """`--key-stdin` at a terminal is a prompt without echo."""
    with Terminal("whoami", "--key-stdin", env=env) as terminal:
        terminal.expect("key: ")
        terminal.type(box.management_key + "\n")
        assert terminal.wait() == 0
    assert "management key" in terminal.seen
    assert box.management_key not in terminal.seen


def test_ctrl_c_ends_a_call(box: Sandbox, env: Mapping[str, str]) -> None:
    """Exit code 130, one word, no traceback."""
    box.fail("list", delay=30)
    with Terminal("list", env=env) as terminal:
        while not box.requests:
            terminal._read()
        terminal.interrupt()
        assert terminal.wait() == 130
    assert terminal.seen == "interrupted\n"


def test_ctrl_c_during_a_create_says_that_a_key_may_exist(
    box: Sandbox, env: Mapping[str, str]
) -> None:
    """It was sent, so nobody knows."""
    box.fail("create", delay=30)
    with Terminal("create", "acme", env=env) as terminal:
        while not box.requests:
            terminal._read()
        terminal.interrupt()
        assert terminal.wait() == 130
    assert "may have made a key named 'acme'" in terminal.seen
    assert "Traceback" not in terminal.seen


def test_the_sandbox_runs_until_ctrl_c() -> None:
    """What it prints is what a shell needs; the end is clean."""
    for ending in (signal.SIGINT, signal.SIGTERM):
        process = subprocess.Popen(
            [*PROGRAM, "sandbox", "--port", "0", "--keys", "5", "--seed", "3"],
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        head, *exports = (process.stdout.readline() for _ in range(3))
        assert head.startswith("# ")
        found = dict(re.fullmatch(r"export (\w+)=(\S+)\n", line).groups() for line in exports)  # type: ignore[union-attr]
        with OpenRouter(
            found["OPENROUTER_API_KEY"], server_url=found["OPENROUTER_BASE_URL"]
        ) as client:
            assert client.api_keys.get(EXAMPLE_HASH).data.hash == EXAMPLE_HASH
        process.send_signal(ending)
        out, err = process.communicate(timeout=10)
        assert (process.returncode, out, err) == (0, "", "")


def test_the_sandbox_prints_what_a_shell_can_evaluate(box: Sandbox) -> None:
    """The lines can be pasted."""
    with Terminal("sandbox", "--port", "0", "--keys", "2") as terminal:
        terminal.expect("OPENROUTER_API_KEY=")
        terminal.interrupt()
        assert terminal.wait() == 0
    lines = "\n".join(terminal.seen.splitlines()[:3])
    script = (
        f"{lines}\nexec {sys.executable} -c 'import json, os; print(json.dumps(dict(os.environ)))'"
    )
    shown = subprocess.run(["sh", "-c", script], capture_output=True, check=True).stdout
    assert json.loads(shown)["OPENROUTER_BASE_URL"].endswith("/api/v1")


def test_a_port_that_is_taken_is_said() -> None:
    """One line with the port, exit code 2."""
    with refused_port() as port:
        result = run("sandbox", "--port", str(port))
    assert result.code == 2
    assert str(port) in result.complaint
