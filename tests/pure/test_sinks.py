"""Sinks: nothing is overwritten unasked, nothing is lost, and only their owner reads them."""

import errno
import logging
import os
import resource
import stat
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.leaks import open_below

from openrouter_async import ConfigurationError, Secret
from openrouter_async.provisioning import (
    CallableSink,
    DotenvSink,
    FileSink,
    ProvisionedKey,
    Sink,
    StdoutSink,
)
from openrouter_async.provisioning._dotenv import quoted, with_entry
from openrouter_async.provisioning._sinks import as_sink, sink_from

PLAIN = "sk-or-v1-" + "3b" * 32
Make = Callable[[Path], Sink]
MAKERS = [FileSink, lambda path: DotenvSink(path, "KEY")]


def key(secret: str = PLAIN) -> ProvisionedKey:
    """A new key."""
    return ProvisionedKey(name="acme", hash="a" * 64, secret=Secret(secret), sink="here")


def mode(path: Path) -> int:
    """The permissions of a file."""
    return stat.S_IMODE(path.stat().st_mode)


def store(sink: Sink, secret: str = PLAIN) -> None:
    """Make ready and deliver."""
    sink.prepare("work")
    sink.deliver("work", key(secret))


@pytest.fixture(autouse=True)
def everything_is_closed(tmp_path: Path) -> Iterator[None]:
    """No file stays open, whatever failed."""
    yield
    assert open_below(tmp_path) == []


def test_file(tmp_path: Path) -> None:
    """The file has the plaintext and a newline at 0600, and nothing lies beside it."""
    path = tmp_path / "acme.key"
    sink = FileSink(path)
    sink.prepare("work")
    assert path.read_bytes() == b""
    sink.deliver("work", key())
    sink.deliver("work", key())
    assert path.read_text() == PLAIN + "\n"
    assert mode(path) == 0o600
    assert list(tmp_path.iterdir()) == [path]
    assert sink.where == f"file:{path}"


def test_dotenv(tmp_path: Path) -> None:
    """A new file at 0600; a second entry keeps the first."""
    path = tmp_path / ".env"
    store(DotenvSink(path, "A"))
    store(DotenvSink(path, "B"), "sk-or-v1-b")
    assert path.read_text() == f"A={PLAIN}\nB=sk-or-v1-b\n"
    assert mode(path) == 0o600
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077, 0o177])
def test_umask(tmp_path: Path, make: Make, umask: int) -> None:
    """No umask makes a new file wider than 0600, and a narrow one is respected."""
    path = tmp_path / "x"
    before = os.umask(umask)
    try:
        store(make(path))
    finally:
        os.umask(before)
    assert mode(path) == 0o600 & ~umask


def test_existing_file(tmp_path: Path) -> None:
    """It is refused before a key exists, and not touched; with `replace` it is replaced."""
    path = tmp_path / "acme.key"
    path.write_text("precious")
    with pytest.raises(FileExistsError):
        FileSink(path).prepare("work")
    assert path.read_text() == "precious"
    store(FileSink(path, replace=True))
    assert path.read_text() == PLAIN + "\n"
    assert mode(path) == 0o600


def test_a_file_that_came_meanwhile_is_not_overwritten(tmp_path: Path) -> None:
    """Whoever wrote into the reserved file keeps what they wrote."""
    path = tmp_path / "acme.key"
    sink = FileSink(path)
    sink.prepare("work")
    path.write_text("precious")
    with pytest.raises(FileExistsError):
        sink.deliver("work", key())
    sink.discard("work")
    assert path.read_text() == "precious"
    assert list(tmp_path.iterdir()) == [path]


def test_existing_entry(tmp_path: Path) -> None:
    """An entry is refused unless it is to be replaced, when made ready and when delivered."""
    path = tmp_path / ".env"
    sink = DotenvSink(path, "KEY")
    sink.prepare("work")
    path.write_text("export KEY = 'old' # comment\nX=1\n")
    with pytest.raises(FileExistsError):
        sink.prepare("other")
    with pytest.raises(FileExistsError):
        sink.deliver("work", key())
    sink.discard("work")
    store(DotenvSink(path, "KEY", replace=True))
    assert path.read_text() == f"export KEY = {PLAIN} # comment\nX=1\n"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("before", [0o600, 0o640, 0o644])
def test_dotenv_keeps_the_mode(
    tmp_path: Path, before: int, caplog: pytest.LogCaptureFixture
) -> None:
    """A file that is there keeps its mode; a warning says that others can read it."""
    path = tmp_path / ".env"
    path.write_text("X=1\n")
    path.chmod(before)
    with caplog.at_level(logging.WARNING):
        store(DotenvSink(path, "KEY"))
    assert mode(path) == before
    assert ("is readable by other users" in caplog.text) == (before != 0o600)
    assert PLAIN not in caplog.text


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"", b"KEY=v\n"),
        (b"A=1", b"A=1\nKEY=v\n"),
        (b"A=1\r\n", b"A=1\r\nKEY=v\r\n"),
        (b"KEY=\nB=2\n", b"KEY=v\nB=2\n"),
        (b"KEY=1\nKEY='2'\n", b"KEY=v\nKEY=v\n"),
        (b"  export  KEY=1 #c\r\nB=2\r\n", b"  export  KEY=v #c\r\nB=2\r\n"),
        (b'KEY="a\nKEY=2\nb" # c\nB=2\n', b"KEY=v # c\nB=2\n"),
        (b'A="\nKEY=no\n"\n', b'A="\nKEY=no\n"\nKEY=v\n'),
        (b"A='it\\'s\n'\nKEY=1\n", b"A='it\\'s\n'\nKEY=v\n"),
        (b"#KEY=1\nKEYS=2\nMY_KEY=3\n", b"#KEY=1\nKEYS=2\nMY_KEY=3\nKEY=v\n"),
        (b"KEY='open\nB=2\n", b"KEY=v\nB=2\n"),
        (b"KEY=\xff\xfe\n\x00\n", b"KEY=v\n\x00\n"),
    ],
)
def test_entries(before: bytes, after: bytes) -> None:
    """Only the value of that name changes, wherever and however it stands."""
    assert with_entry(before, "KEY", b"v") == after


@given(st.binary(max_size=60))
def test_other_lines_are_kept(text: bytes) -> None:
    """Whatever the file has, setting an entry twice is the same as once, and nothing is dropped."""
    once = with_entry(text, "NEW_KEY", b"v")
    assert with_entry(once, "NEW_KEY", b"v") == once
    if b"NEW_KEY" not in text:
        assert once.startswith(text)


@given(st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1))
def test_quoting_is_safe_for_a_shell(value: str) -> None:
    """A shell that reads the line gets the plaintext, and runs nothing."""
    if "!" in value:
        return
    if not set(value) & set("'\"\\$`&|;<>()#*?[]{}~ "):
        assert quoted(value) in (value, f"'{value}'")
    line = f'KEY={quoted(value)}\nprintf %s "$KEY"'
    done = subprocess.run(["/bin/sh", "-c", line], capture_output=True, check=True)
    assert done.stdout.decode() == value


@pytest.mark.parametrize("make", MAKERS)
def test_links_devices_and_folders_are_refused(tmp_path: Path, make: Make) -> None:
    """Nothing is followed and nothing is left."""
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "file").write_text("")
    (tmp_path / "good-link").symlink_to(tmp_path / "file")
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    before = sorted(tmp_path.iterdir())
    for name in ("link", "good-link", "folder", "missing/x", "file/x"):
        with pytest.raises(OSError):  # noqa: PT011  # each has a reason of its own
            make(tmp_path / name).prepare("work")
    with pytest.raises(OSError):  # noqa: PT011
        FileSink(tmp_path / "pipe").prepare("work")
    for name in ("good-link", "folder"):
        with pytest.raises(OSError):  # noqa: PT011
            FileSink(tmp_path / name, replace=True).prepare("work")
    assert sorted(tmp_path.iterdir()) == before
    assert (tmp_path / "file").read_text() == ""


@pytest.mark.parametrize("make", MAKERS)
def test_an_open_folder_is_refused(tmp_path: Path, make: Make) -> None:
    """Where anybody may replace files nobody stores a key; a sticky folder is fine."""
    tmp_path.chmod(0o777)
    with pytest.raises(PermissionError, match="any user"):
        make(tmp_path / "x").prepare("work")
    assert list(tmp_path.iterdir()) == []
    tmp_path.chmod(0o1777)
    store(make(tmp_path / "x"))


@pytest.mark.parametrize("make", MAKERS)
def test_a_full_disk_is_found_out_before(
    tmp_path: Path, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Room is reserved; where that fails nothing is left."""

    def full(descriptor: int, data: bytes) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OSError, match="No space left"):
        make(tmp_path / "x").prepare("work")
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 16 KiB; takes the right to mount."""
    place = tmp_path / "disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=16k", "none", str(place)]
    try:
        mounted = subprocess.run(command, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        mounted = False
    if not mounted:
        pytest.skip("no right to mount a small disk")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def fill(path: Path, how: str) -> None:
    """Write until the disk is full."""
    with path.open(how, buffering=0) as file, suppress(OSError):
        while file.write(bytes(4096)):
            pass


@pytest.mark.parametrize("make", MAKERS)
def test_a_disk_that_is_really_full(small_disk: Path, make: Make) -> None:
    """Full before: refused. Full after room was reserved: delivered all the same."""
    filler = small_disk / "filler"
    sink = make(small_disk / "x")
    fill(filler, "wb")
    with pytest.raises(OSError, match="No space left"):
        sink.prepare("work")
    assert list(small_disk.iterdir()) == [filler]
    filler.write_bytes(bytes(4096))
    sink.prepare("work")
    fill(filler, "ab")
    sink.deliver("work", key())
    assert PLAIN in (small_disk / "x").read_text()


@pytest.mark.parametrize("make", MAKERS)
def test_a_read_only_disk(small_disk: Path, make: Make) -> None:
    """It is refused before a key exists; not even root writes to it."""
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with pytest.raises(OSError, match="Read-only"):
        make(small_disk / "x").prepare("work")


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write anywhere")
@pytest.mark.parametrize("make", MAKERS)
def test_no_permission(tmp_path: Path, make: Make) -> None:
    """A folder that cannot be written is refused before a key exists."""
    tmp_path.chmod(0o500)
    with pytest.raises(PermissionError):
        make(tmp_path / "x").prepare("work")


def test_a_pipe_does_not_hang(tmp_path: Path) -> None:
    """A pipe that nobody writes to is refused at once."""
    os.mkfifo(tmp_path / "pipe")
    for sink in (FileSink(tmp_path / "pipe", replace=True), DotenvSink(tmp_path / "pipe", "K")):
        with pytest.raises(OSError, match="regular"):
            sink.prepare("work")


def test_a_limit_on_file_sizes(tmp_path: Path) -> None:
    """RLIMIT_FSIZE is like a full disk."""
    import signal

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
        with pytest.raises(OSError, match="too large"):
            FileSink(tmp_path / "x").prepare("work")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert list(tmp_path.iterdir()) == []


def test_stdout(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The plaintext and a newline; a closed one is refused before."""
    store(StdoutSink())
    assert capsys.readouterr().out == PLAIN + "\n"
    monkeypatch.setattr("sys.stdout", None)
    with pytest.raises(OSError, match="closed"):
        StdoutSink().prepare("work")


def test_a_function() -> None:
    """A function is a sink, and is named."""
    taken: list[ProvisionedKey] = []
    sink = as_sink(taken.append)
    store(sink)
    assert taken[0].secret.reveal() == PLAIN
    assert sink.where == "function list.append"
    assert sink.describe() is None
    sink.discard("work")
    assert as_sink(sink) is sink
    assert isinstance(sink, CallableSink)


@pytest.mark.parametrize("wrong", ["", "a/", "a\0b", "a\nb", 7, b"x", None])
def test_paths_that_are_none(wrong: object) -> None:
    """They are refused when the sink is made."""
    with pytest.raises(ConfigurationError):
        FileSink(wrong)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError):
        as_sink(wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("wrong", ["", "1A", "A-B", "A B", "A=", "É"])
def test_names_that_are_none(tmp_path: Path, wrong: str) -> None:
    """A name must be one for a shell too."""
    with pytest.raises(ConfigurationError):
        DotenvSink(tmp_path / ".env", wrong)


@pytest.mark.parametrize(
    "sink",
    [FileSink("/x/y"), FileSink("y", replace=True), DotenvSink("/x/.env", "K"), StdoutSink()],
)
def test_a_journal_remembers_the_sink(sink: Sink) -> None:
    """What it describes makes the same sink again."""
    again = sink_from(sink.describe())
    assert again is not None
    assert (type(again), again.where, again.describe()) == (
        type(sink), sink.where, sink.describe(),
    )  # fmt: skip


@pytest.mark.parametrize(
    "described",
    [None, {}, {"kind": "file"}, {"kind": "file", "path": ""}, {"kind": 7}, {"kind": "dotenv"}],
)
def test_a_journal_that_describes_none(described: dict[str, object] | None) -> None:
    """Then only the caller can say where the plaintext goes."""
    assert sink_from(described) is None
