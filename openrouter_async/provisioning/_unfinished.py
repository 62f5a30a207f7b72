"""Interpret journals: how far a provision or rotation got, and what can be done about it."""

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
    """How far a provision or rotation got."""

    BUSY = "busy"
    """Another process is working on it; leave it alone."""
    UNSENT = "unsent"
    """No create request was sent; only cleanup is left."""
    MAYBE = "maybe"
    """A create request may have been sent: the key may exist, and its plaintext is lost."""
    UNDELIVERED = "undelivered"
    """The plaintext is in the journal and may not be in the sink yet."""
    DELIVERED = "delivered"
    """The plaintext is in the sink; only cleanup, or the rest of a rotation, is left."""
    PENDING = "pending"
    """A rotation whose old key is disabled and only needs to be deleted."""
    DAMAGED = "damaged"
    """Too little of the journal can be read."""
    FOREIGN = "foreign"
    """Other users could have written the journal, so nothing in it is trusted or acted on."""


_ADVICE: Final[Mapping[State, str]] = {
    State.BUSY: "another process is working on it: wait for it to finish",
    State.UNSENT: "no key was created: resume() cleans up",
    State.MAYBE: "a key may exist, and its plaintext is lost: find it (candidates, or by name), "
    "delete it, then dismiss() the journal",
    State.UNDELIVERED: "the plaintext is safe in the journal: resume() delivers it to the sink",
    State.DELIVERED: "the plaintext has been delivered: resume() does the rest",
    State.PENDING: "the old key is disabled: finish_rotations() deletes it after the grace period, "
    "roll_back() enables it again",
    State.DAMAGED: "the journal cannot be read: look for keys created around the file's time, then "
    "dismiss() it",
    State.FOREIGN: "other users could have written it: only if you know who did, make yourself the "
    "owner of journal and folder and remove write permission from others (chmod go-w); "
    "otherwise delete it by hand",
}


@attrs.frozen(kw_only=True)
class Unfinished:
    """An unfinished provision or rotation, as its journal records it."""

    journal: str
    """The journal's path."""
    kind: str
    """`provision` or `rotation`."""
    state: State
    damaged: bool = False
    """Whether part of the journal cannot be read."""
    name: str = ""
    """The name that the new key has or would have."""
    workspace_id: str | None = None
    """None: the default workspace."""
    hash: str | None = None
    """The new key's hash; None if it is unknown."""
    old_hash: str | None = None
    """In a rotation, the hash of the key to be replaced."""
    not_before: datetime | None = None
    """When the create began (UTC, this machine's clock)."""
    not_after: datetime | None = None
    """When the client gave up on the create; None: the process ended before that."""
    disabled_at: datetime | None = None
    """When a rotation disabled the old key."""
    limit: float | None = None
    """The new key's limit at that time (USD); None: unlimited or unknown."""
    left_behind: tuple[str, ...] = ()
    """See `Rotation.left_behind`; empty until the old key has been disabled."""
    sink: Mapping[str, Any] | None = None
    """The journal's description of the sink; None: a function, which only the caller can pass."""
    candidates: tuple[APIKey, ...] | None = None
    """Keys that may be the new one; None if there was no search."""
    secret: Secret | None = attrs.field(default=None, repr=False)
    """The plaintext; None if the journal does not have it."""

    @property
    def advice(self) -> str:
        """What can be done, in one sentence."""
        return _ADVICE[self.state]


def unfinished(journal_dir: str | os.PathLike[str] | None = None) -> list[Unfinished]:
    """Read every journal in a folder (None: the default one), oldest first; changes nothing.

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
    """Read every journal in a folder; raises `SinkError` if others can write to the folder."""
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
    """Return what a journal records, even while another process is using it."""
    try:
        journal = Journal.reopen(path)
    except BlockingIOError:
        return _busy(path)
    except FileNotFoundError:  # another process has just finished it
        return Unfinished(journal=str(path), kind="", state=State.BUSY)
    except _files.ForeignFileError:
        return Unfinished(journal=str(path), kind="", state=State.FOREIGN)
    except OSError:
        return Unfinished(journal=str(path), kind="", state=State.DAMAGED, damaged=True)
    journal.close()
    return item_from(journal)


def _busy(path: Path) -> Unfinished:
    try:
        item = interpret(str(path), read(path))
    except OSError:
        item = Unfinished(journal=str(path), kind="", state=State.BUSY)
    return attrs.evolve(item, state=State.BUSY)


def item_from(journal: Journal) -> Unfinished:
    """Return what a journal that this process has open records."""
    return interpret(str(journal.path), journal.content())


def interpret(path: str, content: JournalContent) -> Unfinished:
    """Return the meaning of a journal's entries; arbitrary entries raise no error."""
    steps = {entry["step"]: entry for entry in content.entries}
    intent = steps.get("intent", {})
    made, doubt = steps.get("made", {}), steps.get("doubt", {})
    disabled = steps.get("disabled", {})
    secret = made.get("secret")
    return Unfinished(
        journal=path,
        kind=ROTATION if _text(intent, "old_hash") else PROVISION if intent else "",
        state=_state(steps, content),
        damaged=content.damaged,
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


def _state(steps: Mapping[str, Entry], content: JournalContent) -> State:
    if "intent" not in steps:
        # Empty or torn: the writer died before the intent was on disk, hence before any request.
        empty = not (content.damaged or steps)
        return State.UNSENT if empty or content.torn else State.DAMAGED
    # The latest step decides.
    if "disabled" in steps:
        return State.PENDING
    if "delivered" in steps:
        return State.DELIVERED
    if isinstance(steps.get("made", {}).get("secret"), Secret):
        return State.UNDELIVERED
    # The line that cannot be read may have been "asked".
    if "asked" in steps or content.damaged:
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
