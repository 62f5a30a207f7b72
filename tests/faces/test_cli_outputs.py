"""Standard streams that are closed, full, broken or of another encoding: nothing is lost."""

import os
import shlex
import stat
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from support.command import PROGRAM, environment, run

from openrouter_async.sandbox import EXAMPLE_HASH, Sandbox

pytestmark = pytest.mark.skipif(os.name != "posix", reason="descriptors as POSIX has them")


@pytest.fixture
def box() -> Iterator[Sandbox]:
    """A sandbox for one test."""
    with Sandbox(keys=120) as box:
        yield box


@pytest.fixture
def env(box: Sandbox) -> Mapping[str, str]:
    """What finds the sandbox."""
    return {"OPENROUTER_BASE_URL": box.url, "OPENROUTER_API_KEY": box.management_key}


def shell(
    command: str, env: Mapping[str, str], cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a line of shell in which `keys` is the command."""
    program = shlex.join(PROGRAM)
    done = subprocess.run(
        ["bash", "-c", f'keys() {{ {program} "$@"; }}; {command}'],
        env=environment(**env),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        cwd=cwd,
    )
    assert "Traceback" not in done.stderr, done.stderr
    assert "Exception ignored" not in done.stderr, done.stderr
    return done


@pytest.mark.parametrize("command", ["list", f"get {EXAMPLE_HASH}", "create x"])
def test_closed_stdout_is_an_error_before_any_request(
    box: Sandbox, env: Mapping[str, str], command: str
) -> None:
    """Nobody could see the result, so it is not asked for; above all no key is made."""
    done = shell(f"keys {command} >&-", env)
    assert done.returncode == 3
    assert done.stderr == "error: standard output is closed\n"
    assert box.requests == []


def test_a_pipe_without_reader_makes_no_key(box: Sandbox, env: Mapping[str, str]) -> None:
    """As after `| head -0`: exit code 141, in silence."""
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as stream:
        result = run("create", "x", env=env, stdout=stream)
    assert (result.code, result.err) == (141, "")
    assert box.requests == []


def test_a_reader_that_goes_away_is_no_error(env: Mapping[str, str]) -> None:
    """As with `| head -1`: exit code 141, and no complaint."""
    lines = "list --all --include-disabled --include-expired --format csv"
    many = f"for i in 1 2 3; do keys {lines}; echo $? >&2; done | (read line; sleep 0.1)"
    done = shell(many, env)
    assert set(done.stderr.split()) <= {"0", "141"}
    assert done.stderr.split()[-1] == "141"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_under_stdout_is_said(env: Mapping[str, str]) -> None:
    """Exit code 3, one line."""
    for command in ("list", "list --format json", "--help", "whoami --format json"):
        done = shell(f"keys {command} >/dev/full", env)
        assert done.returncode == 3
        assert done.stderr.endswith("error: standard output: No space left on device\n")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_new_key_survives_a_full_disk(
    box: Sandbox, env: Mapping[str, str], tmp_path: Path
) -> None:
    """It could not be printed, so it is saved at 0600; exit code 3 says that something failed."""
    done = shell("keys create acme >/dev/full", env, tmp_path)
    [saved] = tmp_path.iterdir()
    key = next(key for key in box.keys if key.name == "acme")
    assert done.returncode == 3
    assert str(saved) in done.stderr
    assert saved.read_text() == box.inference_key(key.hash) + "\n"
    assert stat.S_IMODE(saved.stat().st_mode) == 0o600


def test_closed_or_full_stderr_changes_nothing(env: Mapping[str, str]) -> None:
    """Results come all the same, and so do exit codes."""
    for target in ("2>&-", "2>/dev/full"):
        listed = shell(f"keys list -vv {target}", env)
        assert listed.returncode == 0
        assert EXAMPLE_HASH[:12] in shell(f"keys list --offset 50 {target}", env).stdout
        assert shell(f"keys list --nonsense {target}", env).returncode == 2


def test_closed_stdin_is_said(env: Mapping[str, str]) -> None:
    """A question cannot be answered, a key cannot be read."""
    assert shell("keys whoami --key-stdin <&-", env).returncode == 2
    assert shell(f"keys delete {EXAMPLE_HASH} <&-", env).returncode == 2


def test_an_encoding_without_our_characters(box: Sandbox, env: Mapping[str, str]) -> None:
    """Tables do without lines and dots then; machine formats are UTF-8 whatever the locale."""
    ascii_only = {**env, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0", "LC_ALL": "C", "LANG": "C"}
    run("update", EXAMPLE_HASH, "--name", "Schlüssel", env=env)
    table = run("list", "--offset", "50", env=ascii_only)
    assert table.code == 0
    assert table.out.isascii()
    assert "Schl\\xfcssel" in table.out
    sheet = run("list", "--offset", "50", "--format", "csv", env=ascii_only)
    assert "Schlüssel" in sheet.out


def test_no_colours_without_a_terminal(env: Mapping[str, str]) -> None:
    """Not even where the environment wants them everywhere."""
    result = run("list", env={**env, "FORCE_COLOR": "1", "CLICOLOR_FORCE": "1"})
    assert "\x1b" not in result.out + result.err


def test_names_cannot_steer_the_terminal(box: Sandbox, env: Mapping[str, str]) -> None:
    """Whoever may name keys must not be able to clear an auditor's screen.

    The client refuses such names, but others may have made them.
    """
    with box._service.lock:
        box._service.account.get(EXAMPLE_HASH).name = "\x1b[2J\x9bevil\u202e[red]\r\n"
    for command in ("list --offset 50", f"get {EXAMPLE_HASH}"):
        out = run(*command.split(), env=env).out
        assert not set(out) & set("\x1b\x9b\u202e\r")
        assert r"\x1b[2J\x9bevil" in out


def test_interpreter_flags_do_not_matter(env: Mapping[str, str]) -> None:
    """Asserts are not what keeps it right."""
    optimized = [sys.executable, "-OO", "-m", "openrouter_async.cli"]
    assert run("whoami", env=env, program=optimized).code == 0
