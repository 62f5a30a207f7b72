"""Standard streams that are closed, full, broken or of another encoding: nothing is lost."""

import io
import os
import select
import shlex
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from support.command import PROGRAM, environment, run

from openrouter_async.cli._exits import CommandError, Exit
from openrouter_async.cli._output import (
    Destination,
    OutputGoneError,
    file_output,
    standard_output,
)
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


def test_a_stream_that_takes_a_part_at_a_time() -> None:
    """Everything is written, however little of it the system takes at once."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    received: list[bytes] = []
    with open(reader, "rb") as source, open(writer, "wb", buffering=0) as stream:  # noqa: PTH123
        reading = threading.Thread(target=lambda: received.append(source.read()))
        reading.start()
        Destination(stream, "a pipe", is_stdout=False).write("x" * 1_000_000)
        stream.close()
        reading.join()
    assert received == [b"x" * 1_000_000]


def test_a_stream_that_was_closed_is_an_error() -> None:
    """Nothing that could not be written passes in silence."""
    stream = io.BytesIO()
    stream.close()
    with pytest.raises(CommandError, match=r"^standard output is closed$") as caught:
        Destination(stream, "standard output", is_stdout=False).write("x")
    assert caught.value.code is Exit.FAILED


def test_a_file_is_utf_8_whatever_the_terminal_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """A table is limited to the terminal's characters only where it goes to the terminal."""
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding="ascii"))
    for is_stdout, shown in ((True, b"- Schl\\xfcssel"), (False, "─ Schlüssel".encode())):
        stream = io.BytesIO()
        Destination(stream, "it", is_stdout=is_stdout).show("─ Schlüssel")
        assert stream.getvalue() == shown


def test_permissions_of_a_file(tmp_path: Path) -> None:
    """A new one follows the umask, which stays; one that is replaced keeps its own."""
    new, old = tmp_path / "new", tmp_path / "old"
    old.touch()
    old.chmod(0o604)
    before = os.umask(0o027)
    try:
        for path in (new, old):
            with file_output(path) as destination:
                destination.write("x")
        assert os.umask(0o027) == 0o027
    finally:
        os.umask(before)
    assert [stat.S_IMODE(path.stat().st_mode) for path in (new, old)] == [0o640, 0o604]


@pytest.mark.parametrize(
    ("closed", "stdout_is_closed"), [("2>&-", False), ("<&-", False), ("<&- >&- 2>&-", True)]
)
def test_closed_descriptors_are_not_used_for_anything_else(
    tmp_path: Path,
    closed: str,
    stdout_is_closed: bool,  # noqa: FBT001
) -> None:
    """What the process opens later gets none of their numbers."""
    program = f"""
from openrouter_async.cli import _output
_output.guard_descriptors()
with open({str(tmp_path / "found")!r}, "w") as file:
    file.write(f"{{file.fileno() > 2}} {{_output._closed}}")
"""
    command = f"{shlex.quote(sys.executable)} -c {shlex.quote(program)} {closed}"
    subprocess.run(["bash", "-c", command], check=True, timeout=30)
    assert (tmp_path / "found").read_text() == f"True {stdout_is_closed}"


def test_where_nobody_can_tell_the_reader_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows has no `poll`: the result is asked for, and writing it fails if it must."""
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "w", encoding="utf-8") as stream:  # noqa: PTH123  # a descriptor
        monkeypatch.setattr(sys, "stdout", stream)
        monkeypatch.delattr(select, "poll")
        with standard_output() as destination, pytest.raises(OutputGoneError):
            destination.write("x")
