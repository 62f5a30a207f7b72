"""The intent journal: what was written is read, and what is damaged is never believed."""

import os
import stat
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.leaks import open_below

from openrouter_async import ConfigurationError, Secret, SinkError
from openrouter_async.provisioning import DotenvSink, FileSink, State, dismiss, unfinished
from openrouter_async.provisioning._journal import (
    Journal,
    JournalContent,
    default_folder,
    line_of,
    parse,
    read,
)
from openrouter_async.provisioning._unfinished import interpret

PLAIN = "sk-or-v1-" + "7c" * 32
INTENT = {"step": "intent", "at": "2026-08-01T10:00:00+00:00", "name": "acmé", "old_hash": None}
ASKED = {"step": "asked", "at": "2026-08-01T10:00:01+00:00"}
MADE = {"step": "made", "hash": "a" * 64, "secret": Secret(PLAIN)}
DELIVERED = {"step": "delivered", "sink": {"kind": "stdout"}}
DISABLED = {"step": "disabled", "disabled_at": "2026-08-01T10:00:02+00:00"}
STEPS = (INTENT, ASKED, MADE, DELIVERED)
WHOLE = b"".join(map(line_of, STEPS)) + b"\n" * 50


def comparable(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Show secrets, since they compare only with secrets."""
    return [{k: getattr(v, "reveal", lambda v=v: v)() for k, v in e.items()} for e in entries]


@pytest.mark.parametrize(
    ("entries", "state"),
    [
        ([], State.UNSENT),
        ([INTENT], State.UNSENT),
        ([INTENT, ASKED], State.MAYBE),
        ([INTENT, ASKED, MADE], State.UNDELIVERED),
        ([INTENT, ASKED, MADE, DELIVERED], State.DELIVERED),
        ([{**INTENT, "old_hash": "b" * 64}, ASKED, MADE, DELIVERED, DISABLED], State.PENDING),
        ([ASKED], State.DAMAGED),
        ([INTENT, ASKED, {"step": "made", "hash": "a" * 64}], State.MAYBE),
    ],
)
def test_states(entries: list[dict[str, Any]], state: State) -> None:
    """The last step that is known decides, and each state says what can be done."""
    said = interpret("path", parse(b"".join(map(line_of, entries))))
    assert said.state is state
    assert said.advice


def test_what_is_damaged_may_have_been_a_request() -> None:
    """An intent with something unreadable behind it counts as a request."""
    data = line_of(INTENT) + line_of(ASKED)[:-9] + b"\n\n"
    assert interpret("path", parse(data)).state is State.MAYBE


@pytest.fixture(autouse=True)
def everything_is_closed(tmp_path: Path) -> Iterator[None]:
    """No file stays open, whatever failed."""
    yield
    assert open_below(tmp_path) == []


def test_a_torn_intent_is_no_request() -> None:
    """Whoever died while writing the intent had asked for nothing."""
    assert interpret("path", parse(line_of(INTENT)[:30] + b"\n" * 90)).state is State.UNSENT


PAGE = 4096
BEGUN = line_of(INTENT).ljust(2 * PAGE, b"\n")


@pytest.mark.parametrize(
    ("left", "state"),
    [
        (b"", State.UNSENT),
        (b"\n" * 2 * PAGE, State.UNSENT),
        (BEGUN[:PAGE], State.UNSENT),
        (bytes(PAGE) + BEGUN[PAGE:], State.UNSENT),
        # File systems that show pages before they are written: a false alarm, but never a loss.
        (BEGUN[:PAGE] + bytes(PAGE), State.MAYBE),
        (bytes(2 * PAGE), State.DAMAGED),
    ],
)
def test_a_power_cut_during_the_first_sync(left: bytes, state: State) -> None:
    """Reserved space and intent go to the disk together, in any order; nothing was sent then."""
    assert interpret("path", parse(left)).state is state


@given(st.integers(0, len(WHOLE)))
def test_cut(at: int) -> None:
    """A journal that is cut anywhere gives only steps that were written."""
    found = parse(WHOLE[:at])
    assert comparable(found.entries) == comparable(list(STEPS))[: len(found.entries)]
    interpret("path", found)


@given(st.integers(0, len(WHOLE) - 1), st.integers(1, 255))
def test_flipped(at: int, change: int) -> None:
    """With any byte changed, no step is believed that was not written; above all no plaintext."""
    data = bytearray(WHOLE)
    data[at] ^= change
    found = parse(bytes(data))
    written = comparable(list(STEPS))
    assert all(entry in written for entry in comparable(found.entries))
    said = interpret("path", found)
    assert said.secret is None or said.secret.reveal() == PLAIN
    if said.state in (State.UNSENT, State.DAMAGED):
        assert found.damaged


@given(st.binary(max_size=400))
def test_any_bytes(data: bytes) -> None:
    """Whatever is in the file, reading it gives an answer."""
    assert interpret("path", parse(data)).advice


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)
NAMES = st.sampled_from(["at", "name", "hash", "old_hash", "sink", "secret", "disabled_at"])
KINDS = st.sampled_from(["intent", "asked", "made", "doubt", "delivered", "disabled", "odd"])


@given(st.lists(st.tuples(KINDS, st.dictionaries(NAMES, JSON))))
def test_any_facts(steps: list[tuple[str, dict[str, Any]]]) -> None:
    """Facts of wrong types are ignored."""
    lines = [line_of({**facts, "step": step}) for step, facts in steps]
    assert interpret("path", parse(b"".join(lines))).advice


def test_writing(tmp_path: Path) -> None:
    """A journal is its owner's only, in a folder that is, and is read as it was written."""
    folder = tmp_path / "a" / "b"
    journal = Journal.begin(folder, name="acme")
    journal.note("asked")
    journal.note("made", secret=Secret(PLAIN))
    found = read(journal.path)
    assert comparable(found.entries) == comparable(journal.entries)
    assert [entry["step"] for entry in found.entries] == ["intent", "asked", "made"]
    assert stat.S_IMODE(journal.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert journal.path.stat().st_size == 8192
    journal.note_without_secret("disabled")
    assert PLAIN not in journal.path.read_text()
    assert stat.S_IMODE(journal.path.stat().st_mode) == 0o600
    journal.note("more")
    assert [e["step"] for e in read(journal.path).entries][-2:] == ["disabled", "more"]
    journal.remove()
    assert list(folder.iterdir()) == []


def test_a_journal_in_use_is_left_alone(tmp_path: Path) -> None:
    """Who else looks is told that somebody is at it."""
    journal = Journal.begin(tmp_path, name="acme")
    [item] = unfinished(tmp_path)
    assert (item.state, item.name) == (State.BUSY, "acme")
    with pytest.raises(BlockingIOError):
        Journal.reopen(journal.path)
    with pytest.raises(SinkError, match="another process is using it"):
        dismiss(item)
    journal.close()
    with pytest.raises(SinkError, match="changed since it was read and is now unsent"):
        dismiss(item)
    [item] = unfinished(tmp_path)
    assert item.state is State.UNSENT
    dismiss(item)
    assert unfinished(tmp_path) == []
    dismiss(item)


def test_a_rewritten_journal_stays_in_use(tmp_path: Path) -> None:
    """The file that takes a journal's place is locked before it does."""
    journal = Journal.begin(tmp_path, name="acme")
    journal.note("made", secret=Secret(PLAIN))
    journal.note_without_secret("disabled")
    with pytest.raises(BlockingIOError):
        Journal.reopen(journal.path)
    assert [item.state for item in unfinished(tmp_path)] == [State.BUSY]
    journal.close()
    assert [item.state for item in unfinished(tmp_path)] == [State.PENDING]


@pytest.mark.parametrize("change", ["rewritten", "removed"])
def test_a_journal_that_changes_before_it_is_locked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    """What was opened is not what has the name by now: nobody works on it."""
    import fcntl

    journal = Journal.begin(tmp_path, name="acme")
    journal.close()
    flock = fcntl.flock

    def late(descriptor: int, how: int) -> None:
        monkeypatch.undo()
        other = Journal.reopen(journal.path)
        other.note_without_secret("disabled") if change == "rewritten" else other.remove()
        other.close()
        flock(descriptor, how)

    monkeypatch.setattr(fcntl, "flock", late)
    with pytest.raises(BlockingIOError if change == "rewritten" else FileNotFoundError):
        Journal.reopen(journal.path)


def test_what_was_read_before_is_not_dismissed_later(tmp_path: Path) -> None:
    """A plaintext that came since then is kept."""
    journal = Journal.begin(tmp_path, name="acme")
    journal.note("asked")
    journal.close()
    [item] = unfinished(tmp_path)
    journal = Journal.reopen(journal.path)
    journal.note("made", secret=Secret(PLAIN))
    journal.close()
    with pytest.raises(SinkError, match="is now undelivered") as caught:
        dismiss(item)
    assert caught.value.journal == item.journal
    assert unfinished(tmp_path)[0].secret == Secret(PLAIN)


@pytest.mark.skipif(os.name != "posix", reason="only POSIX can tell who may write")
@pytest.mark.parametrize("who", ["group", "everybody", "another user"])
@pytest.mark.parametrize("what", ["folder", "journal"])
def test_what_others_could_have_written(tmp_path: Path, who: str, what: str) -> None:
    """It is listed as foreign, and neither believed nor removed; in such a folder none is begun."""
    folder = tmp_path / "j"
    journal = Journal.begin(folder, name="acme", old_hash="a" * 64)
    journal.note("made", secret=Secret(PLAIN))
    journal.close()
    place = folder if what == "folder" else journal.path
    if who == "another user":
        if os.geteuid() != 0:
            pytest.skip("only root can give files to others")
        os.chown(place, 65534, 65534)
    else:
        place.chmod(place.stat().st_mode | {"group": 0o020, "everybody": 0o1002}[who])
    [item] = unfinished(folder)
    assert (item.state, item.kind, item.name, item.secret) == (State.FOREIGN, "", "", None)
    assert item.advice
    problem = "belongs to another user" if who == "another user" else "writable by other users"
    with pytest.raises(SinkError, match=f"the {what} .*{problem}"):
        dismiss(item)
    assert journal.path.exists()
    if what == "folder":
        with pytest.raises(PermissionError, match=problem):
            Journal.begin(folder, name="acme")


def test_going_on_behind_a_torn_line(tmp_path: Path) -> None:
    """A step that is added behind a damaged one is whole."""
    path = tmp_path / "x.journal"
    path.write_bytes(line_of(INTENT) + line_of(ASKED)[:-5])
    journal = Journal.reopen(path)
    journal.note("made", hash="c")
    journal.close()
    assert [entry["step"] for entry in read(path).entries] == ["intent", "made"]


def test_no_plaintext_is_shown(tmp_path: Path) -> None:
    """What a journal says can be printed."""
    (tmp_path / "x.journal").write_bytes(WHOLE)
    [item] = unfinished(tmp_path)
    assert item.secret == Secret(PLAIN)
    assert PLAIN not in repr(item)
    assert item.not_before == datetime(2026, 8, 1, 10, tzinfo=UTC)


def test_no_journal_at_all(tmp_path: Path) -> None:
    """A folder that is not there has nothing unfinished; what is no journal is not read."""
    assert unfinished(tmp_path / "none") == []
    (tmp_path / "readme.txt").write_text("x")
    assert unfinished(tmp_path) == []


def test_what_cannot_be_read(tmp_path: Path) -> None:
    """A folder or a link in place of a journal is told, not followed."""
    (tmp_path / "a.journal").mkdir()
    (tmp_path / "b.journal").symlink_to("/etc/passwd")
    os.mkfifo(tmp_path / "c.journal")
    assert [item.state for item in unfinished(tmp_path)] == [State.DAMAGED] * 3


def test_default_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It is where the XDG specification has state; a relative path counts for nothing."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert default_folder() == tmp_path / "openrouter_async" / "journal"
    for value in ("", "relative"):
        monkeypatch.setenv("XDG_STATE_HOME", value)
        monkeypatch.setenv("HOME", str(tmp_path))
        assert default_folder() == tmp_path / ".local/state/openrouter_async/journal"


@pytest.mark.parametrize("call", ["open", "write", "fsync", "replace"])
@pytest.mark.parametrize("at", range(1, 9))
def test_a_journal_that_fails_is_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, at: int
) -> None:
    """Whichever step of beginning, rewriting and reopening fails, no file stays open."""
    real, left = getattr(os, call), [at]

    def failing(*given: Any) -> Any:
        left[0] -= 1
        if left[0] == 0:
            raise OSError(5, "Input/output error")
        return real(*given)

    monkeypatch.setattr(os, call, failing)
    journal = None
    try:
        journal = Journal.begin(tmp_path, name="acme")
        journal.note_without_secret("disabled")
        journal.close()
        journal = Journal.reopen(journal.path)
    except OSError:
        pass
    monkeypatch.undo()
    if journal is not None:
        journal.close()
        assert [item.name for item in unfinished(tmp_path)] == ["acme"]
    else:
        assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("wrong", ["", "a\0b", "\ud800", 7, b"x"])
def test_journal_folders_that_are_none(wrong: Any) -> None:
    """They are refused by name; a NUL is no raw ValueError."""
    with pytest.raises(ConfigurationError, match="journal_dir must be a path"):
        unfinished(wrong)


def test_no_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative path leads nowhere where the current folder was removed."""
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    for use in (lambda: unfinished("j"), lambda: FileSink("x"), lambda: DotenvSink("x", "K")):
        with pytest.raises(ConfigurationError, match="current folder no longer exists"):
            use()


def test_a_folder_that_cannot_be_read(tmp_path: Path) -> None:
    """It is no empty one."""
    (tmp_path / "j").write_text("a file")
    with pytest.raises(SinkError, match="Not a directory"):
        unfinished(tmp_path / "j")


def test_found_is_a_value() -> None:
    """An empty file is nothing, and undamaged."""
    assert parse(b"") == JournalContent(entries=[], damaged=False, end=0)
