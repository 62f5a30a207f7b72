"""What a journal says: how far a work came, and what can be done about it. Pure but for reading."""

from __future__ import annotations

import enum
import os
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import attrs

from openrouter_async import _files
from openrouter_async.errors import SinkError
from openrouter_async.models import APIKey
from openrouter_async.provisioning._journal import (
    Entry,
    Journal,
    JournalContent,
    folder_at,
    paths,
    read,
    refuse_foreign_folder,
)
from openrouter_async.provisioning._twin import amount_in
from openrouter_async.secret import Secret

PROVISION: Final = "provision"
ROTATION: Final = "rotation"


class State(enum.StrEnum):
    """How far a work came."""

    BUSY = "busy"
    """Another process is at it; leave it alone."""
    UNSENT = "unsent"
    """No key was asked for; only cleaning is left."""
    MAYBE = "maybe"
    """A key was asked for; it may exist, and its plaintext is lost."""
    UNDELIVERED = "undelivered"
    """The plaintext is in the journal and perhaps not yet in the sink."""
    DELIVERED = "delivered"
    """The plaintext is in the sink; only cleaning is left, or the rest of a rotation."""
    PENDING = "pending"
    """A rotation of which only the old key, disabled, is left to be deleted."""
    DAMAGED = "damaged"
    """Too little of the journal can be read."""
    FOREIGN = "foreign"
    """Other users could have written the journal, so nothing in it is believed or acted on."""


_ADVICE: Final[Mapping[State, str]] = {
    State.BUSY: "another process is at work on it: wait for it",
    State.UNSENT: "no key was made: resume() cleans up",
    State.MAYBE: "a key may exist, and its plaintext is lost: find it (candidates, or by name), "
    "delete it, then dismiss() the journal",
    State.UNDELIVERED: "the plaintext is safe in the journal: resume() puts it into the sink",
    State.DELIVERED: "the plaintext is in its place: resume() does the rest",
    State.PENDING: "the old key is disabled: finish_rotations() deletes it after the grace, "
    "roll_back() enables it again",
    State.DAMAGED: "the journal cannot be read: look for keys made at about the file's time, then "
    "dismiss() it",
    State.FOREIGN: "other users could have written it: only if you know who did, give journal and "
    "folder to yourself and take write permission from others (chmod go-w); else delete it by hand",
}


@attrs.frozen(kw_only=True)
class Unfinished:
    """A work that a journal remembers and that did not come to its end."""

    journal: str
    """The journal's path."""
    kind: str
    """`provision` or `rotation`."""
    state: State
    damaged: bool = False
    """Whether a part of the journal cannot be read."""
    name: str = ""
    """The name that the new key has or would have."""
    workspace_id: str | None = None
    """None: the default workspace."""
    hash: str | None = None
    """The new key's hash, if it is known."""
    old_hash: str | None = None
    """In a rotation, the key that is replaced."""
    not_before: datetime | None = None
    """When the key was asked for (UTC, this machine's clock)."""
    not_after: datetime | None = None
    """When that was given up; None: the process ended before it knew."""
    disabled_at: datetime | None = None
    """When a rotation disabled the old key."""
    limit: float | None = None
    """USD that the new key may spend, as of then; None: unlimited, or not known."""
    left_behind: tuple[str, ...] = ()
    """See `Rotation.left_behind`; known from when the old key was disabled."""
    sink: Mapping[str, Any] | None = None
    """What the journal says of the sink; None: a function, which only the caller can give."""
    candidates: tuple[APIKey, ...] | None = None
    """Keys that could be the one, where that was looked for."""
    secret: Secret | None = attrs.field(default=None, repr=False)
    """The plaintext, where the journal has it."""

    @property
    def advice(self) -> str:
        """What can be done, in one sentence."""
        return _ADVICE[self.state]


def unfinished(journal_dir: str | os.PathLike[str] | None = None) -> list[Unfinished]:
    """Read every journal of a folder (None: the default one), oldest first; changes nothing.

    Raises `SinkError` if the folder cannot be read, `ConfigurationError` if there is no default.
    """
    folder = folder_at(journal_dir)
    try:
        found = paths(folder)
    except OSError as error:
        failure = _files.reason(error)
    else:
        return [describe(path) for path in found]
    raise SinkError(f"journal {folder}: {failure}")


def trusted(folder: Path) -> list[Unfinished]:
    """Read every journal of a folder; raises `SinkError` if others can write to the folder."""
    failure = None
    try:
        refuse_foreign_folder(folder)
    except FileNotFoundError:
        return []
    except OSError as error:
        failure = _files.reason(error)
    if failure is not None:
        raise SinkError(f"journal {folder}: {failure}")
    return unfinished(folder)


def describe(path: Path) -> Unfinished:
    """Return what a journal says, even while another process is at work on it."""
    try:
        journal = Journal.reopen(path)
    except BlockingIOError:
        return _busy(path)
    except FileNotFoundError:  # finished meanwhile
        return Unfinished(journal=str(path), kind="", state=State.BUSY)
    except _files.ForeignFileError:
        return Unfinished(journal=str(path), kind="", state=State.FOREIGN)
    except OSError:
        return Unfinished(journal=str(path), kind="", state=State.DAMAGED, damaged=True)
    journal.close()
    return said_by(journal)


def _busy(path: Path) -> Unfinished:
    try:
        said = interpret(str(path), read(path))
    except OSError:
        said = Unfinished(journal=str(path), kind="", state=State.BUSY)
    return attrs.evolve(said, state=State.BUSY)


def said_by(journal: Journal) -> Unfinished:
    """Return what a journal says that this process holds."""
    return interpret(str(journal.path), journal.found())


def interpret(path: str, found: JournalContent) -> Unfinished:
    """Describe what a journal's entries mean; whatever they are, this does not fail."""
    steps = {entry["step"]: entry for entry in found.entries}
    intent = steps.get("intent", {})
    made, doubt = steps.get("made", {}), steps.get("doubt", {})
    disabled = steps.get("disabled", {})
    secret = made.get("secret")
    return Unfinished(
        journal=path,
        kind=ROTATION if _text(intent, "old_hash") else PROVISION if intent else "",
        state=_state(steps, found),
        damaged=found.damaged,
        name=_text(intent, "name") or "",
        workspace_id=_text(intent, "workspace_id"),
        hash=_text(made, "hash") or _text(doubt, "hash"),
        old_hash=_text(intent, "old_hash"),
        not_before=_time(doubt, "not_before") or _time(intent, "at"),
        not_after=_time(doubt, "not_after"),
        disabled_at=_time(disabled, "disabled_at"),
        limit=amount_in(disabled, "limit"),
        left_behind=_texts(disabled, "left_behind"),
        sink=_mapping(steps.get("delivered", {}), "sink") or _mapping(intent, "sink"),
        secret=secret if isinstance(secret, Secret) else None,
    )


def _state(steps: Mapping[str, Entry], found: JournalContent) -> State:
    if "intent" not in steps:
        # Nothing whole: its writer died before the intent was on the disk, and so before a request.
        whole = not (found.damaged or steps)
        return State.UNSENT if whole or found.torn else State.DAMAGED
    if "disabled" in steps:
        return State.PENDING
    if "delivered" in steps:
        return State.DELIVERED
    if isinstance(steps.get("made", {}).get("secret"), Secret):
        return State.UNDELIVERED
    if "asked" in steps or found.damaged:
        return State.MAYBE
    return State.UNSENT


def _text(entry: Mapping[str, Any], name: str) -> str | None:
    value = entry.get(name)
    return value if isinstance(value, str) and value else None


def _texts(entry: Mapping[str, Any], name: str) -> tuple[str, ...]:
    value = entry.get(name)
    return tuple(map(str, value)) if isinstance(value, list) else ()


def _mapping(entry: Mapping[str, Any], name: str) -> Mapping[str, Any] | None:
    value = entry.get(name)
    return value if isinstance(value, dict) else None


def _time(entry: Mapping[str, Any], name: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(_text(entry, name) or "")
    except ValueError:
        return None
    return moment if moment.tzinfo else None
