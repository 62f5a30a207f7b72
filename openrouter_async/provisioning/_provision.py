"""A create that cannot lose the plaintext: six steps, on the disk before the next depends on them.

1. Open the journal, prepare the sink and write the intent: a full or read-only disk, an existing
   file, a symbolic link or a world-writable folder fails before a key exists.
2. Send the create request.
3. Write the plaintext to the journal.
4. Deliver it to the sink; for files: write a temporary file, fsync, rename, fsync the folder.
5. Read the file back, compare, and record the delivery in the journal.
6. Remove the journal.
"""

from __future__ import annotations

import logging
import os
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Final

import attrs

from openrouter_async import _files
from openrouter_async._caller import Caller
from openrouter_async._checks import instant
from openrouter_async._concurrency import PATIENCE, run_to_end
from openrouter_async._operations import CREATE, CreateKeys, compose
from openrouter_async._options import CallOptions
from openrouter_async.errors import (
    AmbiguousCreateError,
    InvalidRequestError,
    OpenRouterError,
    SinkError,
)
from openrouter_async.provisioning._journal import Journal, folder_at
from openrouter_async.provisioning._sinks import (
    AnySink,
    ProvisionedKey,
    Sink,
    as_sink,
    sink_from,
)
from openrouter_async.provisioning._unfinished import PROVISION, State, Unfinished, item_from
from openrouter_async.secret import scrub

_LOG: Final = logging.getLogger("openrouter_async")


async def provision(
    client: Caller,
    params: CreateKeys,
    sink: AnySink,
    journal_dir: str | os.PathLike[str] | None,
    options: CallOptions,
) -> ProvisionedKey:
    """Create a key and deliver its plaintext in the six steps; see `client.api_keys.provision`."""
    in_progress = await begin(params, as_sink(sink), folder_at(journal_dir), kind=PROVISION)
    return await in_progress.complete(client, params, options)


async def begin(params: CreateKeys, sink: Sink, folder: Path, **intent: Any) -> KeyInProgress:
    """Take step 1; raises `SinkError`. An error or a cancellation leaves nothing behind."""
    try:
        compose(CREATE, params)
    except InvalidRequestError as error:
        error.operation = CREATE.name
        raise
    opening = partial(_open, params, sink, folder, intent)
    return await run_to_end(opening, patience=PATIENCE, undo=KeyInProgress.abandon)


def _open(params: CreateKeys, sink: Sink, folder: Path, intent: dict[str, Any]) -> KeyInProgress:
    place = f"journal {folder}"
    try:
        journal = Journal.begin(folder, **intent, **_what(params), sink=sink.describe())
        place = sink.where
        try:
            sink.prepare(journal.journal_id)
        except BaseException:
            journal.remove()
            raise
        try:
            # From here on, an interruption means that a key may exist.
            journal.note("asked")
        except BaseException:
            sink.discard(journal.journal_id)
            journal.remove()
            raise
        return KeyInProgress(journal, sink)
    except OSError as error:
        failure = _files.reason(error)
    raise SinkError(f"{place}: {failure}; no key was created", operation=PROVISION)


def _what(params: CreateKeys) -> dict[str, Any]:
    """Return the facts about the requested key that go into the journal's intent."""
    expires_at = params.expires_at
    return {
        "version": 1,
        "name": params.name,
        "workspace_id": str(params.workspace_id) if params.workspace_id else None,
        "expires_at": instant("expires_at", expires_at) if expires_at else None,
    }


class KeyInProgress:
    """A key between its intent and its delivery to the sink."""

    def __init__(self, journal: Journal, sink: Sink) -> None:
        self.journal = journal
        self.sink = sink

    async def complete(
        self, client: Caller, params: CreateKeys, options: CallOptions
    ) -> ProvisionedKey:
        """Take steps 2 to 6."""
        try:
            key = await self.create(client, params, options)
            # Unsynced, because the journal is removed next. If a power cut undoes both, the key is
            # delivered again, which is harmless.
            await self.deliver(key, synced=False)
            await run_to_end(self.end)
        finally:
            self.journal.close()
        return key

    async def create(
        self, client: Caller, params: CreateKeys, options: CallOptions
    ) -> ProvisionedKey:
        """Take steps 2 and 3. A definite failure leaves nothing behind, a doubt the journal."""
        try:
            response = await client.call(CREATE, params, options)
        except AmbiguousCreateError as error:
            await run_to_end(partial(self._record_doubt, error))
            with suppress(OSError):  # the plaintext is lost, so nothing can be delivered
                discard = partial(self.sink.discard, self.journal.journal_id)
                await run_to_end(discard, patience=PATIENCE)
            raise
        except OpenRouterError:
            # Any other error is definite: no key was created.
            await run_to_end(self.abandon, patience=PATIENCE)
            raise
        except BaseException as interruption:
            if never_sent(interruption):
                await run_to_end(self.abandon, patience=PATIENCE)
                raise
            interruption.add_note(f"the create is recorded in the journal {self.journal.path}")
            raise
        # Keep the plaintext even if the record beside it cannot be read.
        record = None if response.problem else response.data
        key = ProvisionedKey(
            name=params.name,
            hash=record.hash if record else None,
            secret=response.secret,
            sink=self.sink.where,
            data=record,
        )
        await run_to_end(partial(self._save_secret, key))
        return key

    def _save_secret(self, key: ProvisionedKey) -> None:
        """Take step 3. A failing disk is only logged: the sink may still accept the plaintext."""
        try:
            self.journal.note("made", hash=key.hash, secret=key.secret)
        except OSError as error:
            _LOG.warning("the journal cannot be written: %s", _files.reason(error))

    def _record_doubt(self, error: AmbiguousCreateError) -> None:
        times = {"not_before": error.not_before, "not_after": error.not_after}
        stamps: dict[str, Any] = {
            name: moment.isoformat() for name, moment in times.items() if moment
        }
        with suppress(OSError):
            self.journal.note("doubt", hash=error.hash, **stamps)
        error.add_note(f"it is recorded in the journal {self.journal.path}")

    async def deliver(self, key: ProvisionedKey, *, synced: bool = True) -> None:
        """Take steps 4 and 5; raises `SinkError`, which names the journal with the plaintext."""
        failure = await self._try_to_deliver(key)
        if failure is not None:
            raise SinkError(
                f"{self.sink.where}: {failure}; {self._location_of(key)}",
                operation=PROVISION,
                hash=key.hash,
                journal=str(self.journal.path) if self._has_secret else None,
            )
        await run_to_end(partial(self._note_delivery, synced=synced))

    async def _try_to_deliver(self, key: ProvisionedKey) -> str | None:
        """Deliver the key and return what went wrong, or None.

        The exception itself is not passed on, since it may contain the secret.
        """
        try:
            deliver = partial(self.sink.deliver, self.journal.journal_id, key)
            waiting = await run_to_end(deliver, patience=PATIENCE)
            if waiting is not None:
                await waiting
            await run_to_end(partial(self.sink.read_back, key), patience=PATIENCE)
        except OSError as error:
            return _files.reason(error)
        except Exception as error:  # noqa: BLE001  # a caller's function may raise anything
            text = scrub(str(error), key.secret)  # before the cut, which could leave half a secret
            return f"{type(error).__name__}: {text[:_LONGEST]}"
        return None

    def _note_delivery(self, *, synced: bool) -> None:
        with suppress(OSError):  # at worst the key is delivered again, which is harmless
            self.journal.note("delivered", synced=synced, sink=self.sink.describe())

    @property
    def _has_secret(self) -> bool:
        return any("secret" in entry for entry in self.journal.entries)

    def _location_of(self, key: ProvisionedKey) -> str:
        if self._has_secret:
            return f"the plaintext is in the journal {self.journal.path}"
        return f"the journal failed too and the plaintext is lost: delete {key.hash or 'the key'}"

    def abandon(self) -> None:
        """Discard the reserved files and the journal, because no key exists."""
        try:
            self.sink.discard(self.journal.journal_id)
            self.journal.remove()
        except OSError as error:
            _LOG.warning("a reserved file or journal remains: %s", _files.reason(error))
            self.journal.close()

    def end(self) -> None:
        """Take step 6."""
        try:
            self.journal.remove()
        except OSError as error:
            path, reason = self.journal.path, _files.reason(error)
            _LOG.warning(
                "the journal %s, which contains a plaintext, cannot be removed: %s", path, reason
            )


def never_sent(interruption: BaseException) -> bool:
    """Return whether the create that this exception ended is known not to have been sent."""
    # `_call` sets the attribute.
    return vars(interruption).get("sent") is False


_LONGEST: Final = 200
"""Characters that are shown of an error message from a caller's function."""


async def deliver_again(journal: Journal, item: Unfinished, sink: Sink | None) -> ProvisionedKey:
    """Deliver the plaintext in a journal to the sink, unless that is known to be done.

    `sink` None: the one that the journal describes. Raises `SinkError`.
    """
    described = sink_from(item.sink)
    sink = sink or described
    delivered = item.state is State.DELIVERED
    if item.secret is None or (sink is None and not delivered):
        problem = "the key was to be delivered to a function: pass the function as sink="
        if item.secret is None:
            problem = "the plaintext is no longer in the journal"
        raise SinkError(problem, operation=item.kind, hash=item.hash, journal=item.journal)
    where = sink.where if sink else "the function passed as sink"
    key = ProvisionedKey(name=item.name, hash=item.hash, secret=item.secret, sink=where)
    if sink is not None and not delivered:
        await KeyInProgress(journal, sink).deliver(key)
        if described is not None and described.where != sink.where:
            # Another sink has the plaintext now; what the first one reserved is only litter.
            with suppress(OSError):
                await run_to_end(partial(described.discard, journal.journal_id), patience=PATIENCE)
    return key


def clean_up(journal: Journal, item: Unfinished) -> None:
    """Remove a journal and its reserved but unused files; raises `OSError`."""
    sink = sink_from(item.sink)
    if sink is not None:
        sink.discard(journal.journal_id)
    journal.remove()


def dismiss(item: Unfinished) -> None:
    """Discard a journal and its reserved files: the caller has decided that none are needed.

    A plaintext in the journal is lost. Raises `SinkError` if another process is using the journal,
    it has changed since it was read, other users could have written it, or it cannot be removed.
    """
    try:
        journal = Journal.reopen(Path(item.journal))
        try:
            current = item_from(journal)
            if current == attrs.evolve(item, candidates=None):
                clean_up(journal, current)
                return
            failure = f"it has changed since it was read and is now {current.state}"
        finally:
            journal.close()
    except FileNotFoundError:
        return
    except OSError as error:
        failure = _files.reason(error)
    raise SinkError(f"{item.journal}: {failure}", journal=item.journal)
