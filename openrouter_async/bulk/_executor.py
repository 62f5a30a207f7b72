"""What is done for one item, and for its dry run."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

import attrs

from openrouter_async._caller import Throttle
from openrouter_async._operations import (
    CREATE,
    CURRENT,
    DELETE,
    GET,
    UPDATE,
    CreateKeys,
    KeyHash,
    NoParams,
)
from openrouter_async._options import OMITTED, CallOptions
from openrouter_async.bulk._get_many import FOR_THE_CALLER
from openrouter_async.bulk._outcomes import Action, Item, Outcome, Status
from openrouter_async.bulk._widening import widened_by
from openrouter_async.errors import (
    AmbiguousCreateError,
    APIConnectionError,
    NotFoundResponseError,
    OpenRouterError,
    ResponseValidationError,
    SinkError,
)
from openrouter_async.provisioning import AnySink, ProvisionedKey, Sink
from openrouter_async.provisioning._journal import folder_at
from openrouter_async.provisioning._provision import begin, never_sent
from openrouter_async.provisioning._sinks import as_sink
from openrouter_async.provisioning._unfinished import PROVISION
from openrouter_async.secret import scrub

SinkFactory: TypeAlias = Callable[[Mapping[str, Any]], AnySink]
"""Gives the sink of one create; it is told the create's parameters and `index`."""


@attrs.frozen(kw_only=True)
class Executor:
    """Does items, one at a time for each slot."""

    client: Throttle
    options: CallOptions
    dry_run: bool
    sink: SinkFactory | None = None
    journal_dir: Any = None
    sent: set[int] = attrs.field(factory=set, init=False)
    """The places of items whose request may have left, and of creates with the sink ready."""

    async def account(self) -> dict[str, str]:
        """Ask which account the key belongs to.

        That is the organization, else the user who made the key; only where the service names
        neither is it a digest of the key's masked label, which changes with the key.
        """
        key = (await self.client.call(CURRENT, NoParams(), self.options)).data
        account = {"server_url": self.client.server_url_for(self.options)}
        if key.organization_id:
            return {**account, "organization_id": key.organization_id}
        if key.creator_user_id:
            return {**account, "creator_user_id": key.creator_user_id}
        return {**account, "key": hashlib.sha256(key.label.encode()).hexdigest()[:12]}

    async def carry_out(self, item: Item, *, again: bool) -> Outcome:
        """Do an item; `again`: an earlier run may have done it.

        Errors become outcomes, also what a caller's function for the key raises.
        """
        try:
            return await self._do(item, again=again)
        except FOR_THE_CALLER:
            raise
        except OpenRouterError as error:
            unsure = _may_be_done(item.action, error)
            status = Status.AMBIGUOUS if unsure else Status.FAILED
            hash = getattr(error, "hash", None)
            facts = {"hash": hash} if hash else {}
            shown = error.with_traceback(None)
        except Exception as error:  # noqa: BLE001  # a caller's function may raise anything
            unsure = item.action is Action.CREATE and item.index in self.sent
            status = Status.AMBIGUOUS if unsure else Status.FAILED
            return item.came_to(status, reason=_shown(error))
        return item.came_to(status, reason=str(shown), error=shown, **facts)

    async def _do(self, item: Item, *, again: bool) -> Outcome:
        if self.dry_run:
            return await self._look(item)
        if item.action is Action.CREATE:
            made = await self._create(item)
            return item.came_to(Status.OK, hash=made.hash, key=made.data, sink=made.sink)
        self.sent.add(item.index)
        if item.action is Action.DELETE:
            return await self._delete(item, again=again)
        key = (await self.client.call(UPDATE, item.given, self.options)).data
        if item.action is Action.DISABLE and not key.disabled:
            return item.came_to(Status.FAILED, key=key, reason="the service left it enabled")
        return item.came_to(Status.OK, key=key)

    async def _create(self, item: Item) -> ProvisionedKey:
        """Create one key; its plaintext is in its sink before this returns."""
        sink, folder = self._sink_for(item), folder_at(self.journal_dir)
        work = await begin(item.given, sink, folder, kind=PROVISION)
        self.sent.add(item.index)
        try:
            return await work.complete(self.client, item.given, self.options)
        except BaseException as error:
            if never_sent(error) or isinstance(error, FOR_THE_CALLER):
                self.sent.discard(item.index)
            raise

    def _sink_for(self, item: Item) -> Sink:
        """Ask the caller's function for the sink; raises `SinkError`, whatever that raises."""
        given: CreateKeys = item.given
        told = {
            field.name: value
            for field in attrs.fields(CreateKeys)
            if (value := getattr(given, field.name)) is not OMITTED and field.name != "external"
        }
        assert self.sink is not None  # noqa: S101  # creates have one
        try:
            return as_sink(self.sink({**told, "index": item.index}))
        except Exception as error:  # noqa: BLE001  # a caller's function may raise anything
            problem = _shown(error)
        raise SinkError(f"sink: {problem}; no key was made", operation=CREATE.name)

    async def _delete(self, item: Item, *, again: bool) -> Outcome:
        try:
            answer = await self.client.call(DELETE, item.given, self.options)
        except NotFoundResponseError:
            if not again:
                raise
            gone = True
        else:
            gone = answer.already_gone
            if not (answer.deleted or gone):
                return item.came_to(Status.FAILED, reason="the service says it is not deleted")
        return item.came_to(Status.OK, reason="it was already gone" if gone else None)

    async def _look(self, item: Item) -> Outcome:
        """Describe what would be done, after reading the key as it is."""
        if item.action is Action.CREATE:
            given: CreateKeys = item.given
            unlimited = given.limit is OMITTED or given.limit is None
            widens: tuple[str, ...] = ("a key without a limit",) if unlimited else ()
            return item.came_to(Status.SKIPPED, reason="dry run", widens=widens)
        answer = await self.client.call(GET, KeyHash(hash=item.subject), self.options)
        widens = () if item.action is Action.DELETE else widened_by(answer.data, item.given)
        return item.came_to(Status.SKIPPED, reason="dry run", key=answer.data, widens=widens)


_LONGEST: Final = 200
"""Characters of a message that is not ours."""


def _shown(error: Exception) -> str:
    return f"{type(error).__name__}: {scrub(str(error))[:_LONGEST]}"


def _may_be_done(action: Action, error: OpenRouterError) -> bool:
    """Return whether the service may have done it all the same."""
    if action is Action.CREATE:
        made = isinstance(error, SinkError) and (error.hash or error.journal)
        return isinstance(error, AmbiguousCreateError) or bool(made)
    unanswered = isinstance(error, (APIConnectionError, ResponseValidationError))
    return unanswered or (error.status_code or 0) >= 500
