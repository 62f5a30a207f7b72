"""A create whose plaintext survives whatever happens: six steps, each on the disk before the next.

1. The journal and the sink are opened and the intent is written: a full or read-only disk, a file
   that is there, a symbolic link or a folder that anybody may write to fail before a key exists.
2. The key is asked for.
3. The plaintext goes into the journal.
4. It goes to the sink: for files a temporary one, fsync, rename, fsync of the folder.
5. What is in the file is read back and compared; the journal notes the delivery.
6. The journal is removed.
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
from openrouter_async._files import PATIENCE, run_to_end
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
from openrouter_async.provisioning._unfinished import PROVISION, State, Unfinished, said_by
from openrouter_async.secret import scrub

_LOG: Final = logging.getLogger("openrouter_async")


async def provision(
    client: Caller,
    given: CreateKeys,
    sink: AnySink,
    journal_dir: str | os.PathLike[str] | None,
    options: CallOptions,
) -> ProvisionedKey:
    """Carry out the six steps."""
    work = await begin(given, as_sink(sink), folder_at(journal_dir), kind=PROVISION)
    return await work.complete(client, given, options)


async def begin(given: CreateKeys, sink: Sink, folder: Path, **intent: Any) -> Work:
    """Take step 1; raises `SinkError` with nothing left behind, nor is there if it is cancelled."""
    try:
        compose(CREATE, given)
    except InvalidRequestError as error:
        error.operation = CREATE.name
        raise
    opening = partial(_open, given, sink, folder, intent)
    return await run_to_end(opening, patience=PATIENCE, undo=Work.abandon)


def _open(given: CreateKeys, sink: Sink, folder: Path, intent: dict[str, Any]) -> Work:
    place = f"journal {folder}"
    try:
        journal = Journal.begin(folder, **intent, **_what(given), sink=sink.describe())
        place = sink.where
        try:
            sink.prepare(journal.work)
        except BaseException:
            journal.remove()
            raise
        try:
            journal.note("asked")
        except BaseException:
            sink.discard(journal.work)
            journal.remove()
            raise
        return Work(journal, sink)
    except OSError as error:
        failure = _files.reason(error)
    raise SinkError(f"{place}: {failure}; no key was made", operation=PROVISION)


def _what(given: CreateKeys) -> dict[str, Any]:
    """Return what a journal says of the key that is asked for."""
    expires_at = given.expires_at
    return {
        "version": 1,
        "name": given.name,
        "workspace_id": str(given.workspace_id) if given.workspace_id else None,
        "expires_at": instant("expires_at", expires_at) if expires_at else None,
    }


class Work:
    """One key on its way from the intent to the sink."""

    def __init__(self, journal: Journal, sink: Sink) -> None:
        self.journal = journal
        self.sink = sink

    async def complete(
        self, client: Caller, given: CreateKeys, options: CallOptions
    ) -> ProvisionedKey:
        """Take steps 2 to 6."""
        try:
            key = await self.ask(client, given, options)
            await self.deliver(key)
            await run_to_end(self.end)
        finally:
            self.journal.close()
        return key

    async def ask(self, client: Caller, given: CreateKeys, options: CallOptions) -> ProvisionedKey:
        """Take steps 2 and 3; a definite refusal leaves nothing behind, a doubt the journal."""
        try:
            answer = await client.call(CREATE, given, options)
        except AmbiguousCreateError as error:
            await run_to_end(partial(self._remember_doubt, error))
            with suppress(OSError):
                await run_to_end(partial(self.sink.discard, self.journal.work), patience=PATIENCE)
            raise
        except OpenRouterError:
            await run_to_end(self.abandon, patience=PATIENCE)
            raise
        except BaseException as interruption:
            if never_sent(interruption):
                await run_to_end(self.abandon, patience=PATIENCE)
                raise
            interruption.add_note(f"the journal {self.journal.path} remembers the create")
            raise
        record = None if answer.problem else answer.data
        key = ProvisionedKey(
            name=given.name,
            hash=record.hash if record else None,
            secret=answer.secret,
            sink=self.sink.where,
            data=record,
        )
        await run_to_end(partial(self._save, key))
        return key

    def _save(self, key: ProvisionedKey) -> None:
        """Take step 3. If the disk fails now, the sink may still take the plaintext."""
        try:
            self.journal.note("made", hash=key.hash, secret=key.secret)
        except OSError as error:
            _LOG.warning("the journal cannot be written: %s", _files.reason(error))

    def _remember_doubt(self, error: AmbiguousCreateError) -> None:
        times = {"not_before": error.not_before, "not_after": error.not_after}
        stamps = {name: moment.isoformat() for name, moment in times.items() if moment}
        with suppress(OSError):
            self.journal.note("doubt", hash=error.hash, **stamps)
        error.add_note(f"the journal {self.journal.path} remembers it")

    async def deliver(self, key: ProvisionedKey) -> None:
        """Take steps 4 and 5; raises `SinkError` that names the journal with the plaintext."""
        failure = await self._failure(key)
        if failure is not None:
            raise SinkError(
                f"{self.sink.where}: {failure}; {self._where_it_is(key)}",
                operation=PROVISION,
                hash=key.hash,
                journal=str(self.journal.path) if self._has_secret else None,
            )
        await run_to_end(self._note_delivery)

    async def _failure(self, key: ProvisionedKey) -> str | None:
        """Deliver, and say what went wrong; it is not chained, since it may show the secret."""
        try:
            deliver = partial(self.sink.deliver, self.journal.work, key)
            waiting = await run_to_end(deliver, patience=PATIENCE)
            if waiting is not None:
                await waiting
            await run_to_end(partial(self.sink.read_back, key), patience=PATIENCE)
        except OSError as error:
            return _files.reason(error)
        except Exception as error:  # noqa: BLE001  # a caller's function may raise anything
            said = scrub(str(error), key.secret)  # first: a piece of a secret is no less secret
            return f"{type(error).__name__}: {said[:_LONGEST]}"
        return None

    def _note_delivery(self) -> None:
        with suppress(OSError):  # then it may be delivered twice, which is no harm
            self.journal.note("delivered", sink=self.sink.describe())

    @property
    def _has_secret(self) -> bool:
        return any("secret" in entry for entry in self.journal.entries)

    def _where_it_is(self, key: ProvisionedKey) -> str:
        if self._has_secret:
            return f"the plaintext is in the journal {self.journal.path}"
        return f"the journal failed too, so the plaintext is lost: delete {key.hash or 'the key'}"

    def abandon(self) -> None:
        """Leave nothing behind, since there is no key."""
        try:
            self.sink.discard(self.journal.work)
            self.journal.remove()
        except OSError as error:
            _LOG.warning("a sink or journal remains: %s", _files.reason(error))
            self.journal.close()

    def end(self) -> None:
        """Take step 6."""
        try:
            self.journal.remove()
        except OSError as error:
            path, why = self.journal.path, _files.reason(error)
            _LOG.warning("the journal %s, with a plaintext, cannot be removed: %s", path, why)


def never_sent(interruption: BaseException) -> bool:
    """Return whether a create that was ended by this is known never to have been sent."""
    return vars(interruption).get("sent") is False


_LONGEST: Final = 200
"""Characters of a function's own message."""


async def deliver_again(journal: Journal, said: Unfinished, sink: Sink | None) -> ProvisionedKey:
    """Put the plaintext that a journal has into the sink, if it is not known to be there.

    Without a `sink` the one that the journal describes is made. Raises `SinkError`.
    """
    described = sink_from(said.sink)
    sink = sink or described
    delivered = said.state is State.DELIVERED
    if said.secret is None or (sink is None and not delivered):
        problem = "the key was meant for a function: give it as sink="
        if said.secret is None:
            problem = "the plaintext is in the journal no more"
        raise SinkError(problem, operation=said.kind, hash=said.hash, journal=said.journal)
    where = sink.where if sink else "the function that it was meant for"
    key = ProvisionedKey(name=said.name, hash=said.hash, secret=said.secret, sink=where)
    if sink is not None and not delivered:
        await Work(journal, sink).deliver(key)
        if described is not None and described.where != sink.where:
            with suppress(OSError):  # the plaintext is where it belongs
                await run_to_end(partial(described.discard, journal.work), patience=PATIENCE)
    return key


def clean_up(journal: Journal, said: Unfinished) -> None:
    """Remove a journal, and what was reserved but never filled; raises `OSError`."""
    sink = sink_from(said.sink)
    if sink is not None:
        sink.discard(journal.work)
    journal.remove()


def dismiss(item: Unfinished) -> None:
    """Remove a journal, and what was reserved for it, since people know better.

    A plaintext in it is gone then. Raises `SinkError` if another process is at it, it says
    something else by now, others could have written it, or it cannot be removed.
    """
    try:
        journal = Journal.reopen(Path(item.journal))
        try:
            said = said_by(journal)
            if said == attrs.evolve(item, candidates=None):
                clean_up(journal, said)
                return
            failure = f"it has changed since it was read and is {said.state} now"
        finally:
            journal.close()
    except FileNotFoundError:
        return
    except OSError as error:
        failure = _files.reason(error)
    raise SinkError(f"{item.journal}: {failure}", journal=item.journal)
