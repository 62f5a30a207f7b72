"""Run the command: in this process, in a subprocess with pipes, or at a terminal."""

import io
import logging
import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import TracebackType
from typing import IO, Any, Final, Self

import pytest

from openrouter_async.cli import _app as command

_OURS: Final = ("OPENROUTER_", "FORCE_COLOR", "PY_COLORS", "GITHUB_ACTIONS", "NO_COLOR", "COLUMNS")
"""Prefixes of variables that the machine may have set; only the tests set them."""
_PATIENCE: Final = 20.0
PROGRAM: Final = (sys.executable, "-m", "openrouter_async.cli")


@dataclass(frozen=True, slots=True)
class Result:
    """The result of a run."""

    code: int
    out: str
    err: str

    @property
    def complaint(self) -> str:
        """The error message; asserts that standard error is exactly one line."""
        assert self.err.count("\n") == 1, self.err
        assert self.err.startswith("error: "), self.err
        return self.err.removeprefix("error: ").rstrip("\n")


def environment(**settings: str) -> dict[str, str]:
    """Return an environment without this machine's settings and key."""
    kept = {k: v for k, v in os.environ.items() if not k.upper().startswith(_OURS)}
    return {**kept, "TERM": "xterm-256color", "LC_ALL": "C.UTF-8", **settings}


def run(
    *arguments: str,
    env: Mapping[str, str] | None = None,
    stdin: bytes = b"",
    stdout: int | IO[Any] | None = subprocess.PIPE,
    program: Sequence[str] = PROGRAM,
    cwd: str | os.PathLike[str] | None = None,
) -> Result:
    """Run the command in a subprocess and return its result."""
    done = subprocess.run(
        [*program, *arguments],
        env=environment(**(env or {})),
        input=stdin,
        stdout=stdout,
        stderr=subprocess.PIPE,
        timeout=_PATIENCE,
        check=False,
        cwd=cwd,
    )
    out = done.stdout.decode() if done.stdout is not None else ""
    err = done.stderr.decode()
    assert "Traceback" not in err, err
    return Result(done.returncode, out, err)


class Inside:
    """Runs the command in this process, ten times as fast; not for tests of the process itself."""

    def __init__(
        self, capture: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Capture its output (with `capfd`), and undo its settings."""
        self._capture = capture
        self._monkeypatch = monkeypatch

    def __call__(
        self, *arguments: str, env: Mapping[str, str] | None = None, stdin: bytes = b""
    ) -> Result:
        """Run the command and return its result."""
        self._capture.readouterr()
        with self._monkeypatch.context() as patch, _logging_kept():
            for name in os.environ.keys() - environment().keys():
                patch.delenv(name)
            for name, value in environment(**(env or {})).items():
                patch.setenv(name, value)
            patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
            code = command.run(arguments)
        out, err = self._capture.readouterr()
        return Result(code, out, err)


@contextmanager
def _logging_kept() -> Iterator[None]:
    root, ours = logging.getLogger(), logging.getLogger("openrouter_async")
    handlers, levels = list(root.handlers), (root.level, ours.level)
    root.handlers.clear()
    try:
        yield
    finally:
        root.handlers[:] = handlers
        root.setLevel(levels[0])
        ours.setLevel(levels[1])


class Terminal:
    """The command at a pseudo-terminal; with `pipe_stdout`, standard output is a pipe."""

    def __init__(
        self,
        *arguments: str,
        env: Mapping[str, str] | None = None,
        width: int = 80,
        pipe_stdout: bool = False,
    ) -> None:
        """Start the command."""
        self._master, terminal = pty.openpty()
        os.set_blocking(self._master, False)
        self.seen = ""
        self.process = subprocess.Popen(
            [*PROGRAM, *arguments],
            env=environment(COLUMNS=str(width), **(env or {})),
            stdin=terminal,
            stdout=subprocess.PIPE if pipe_stdout else terminal,
            stderr=terminal,
            start_new_session=True,
        )
        os.close(terminal)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.process.kill()
        self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()
        os.close(self._master)

    def expect(self, text: str) -> None:
        """Wait until the terminal has shown this text."""
        end = time.monotonic() + _PATIENCE
        while text not in self.seen:
            assert time.monotonic() < end, f"no {text!r} in {self.seen[-500:]!r}"
            ended = self.process.poll() is not None
            self._read()
            assert not ended or text in self.seen, f"no {text!r} in {self.seen[-500:]!r}"

    def type(self, text: str) -> None:
        """Type text."""
        os.write(self._master, text.encode())

    def interrupt(self) -> None:
        """Press Ctrl-C."""
        self.process.send_signal(signal.SIGINT)

    def wait(self) -> int:
        """Wait for the command to end and return its exit code."""
        end = time.monotonic() + _PATIENCE
        while self.process.poll() is None:
            assert time.monotonic() < end, f"still running: {self.seen!r}"
            self._read()
        self._read()
        return self.process.returncode

    def _read(self) -> None:
        with suppress(OSError):  # Linux reports EIO when the other side has closed
            while select.select([self._master], [], [], 0.05)[0]:
                data = os.read(self._master, 65536)
                if not data:
                    return
                self.seen += data.decode(errors="replace").replace("\r\n", "\n")
