"""Carry out one item, or its dry run."""

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
"""Returns the sink of one create; its argument has the create's params and `index`."""


@attrs.frozen(kw_only=True)
class Executor:
    """The client and settings with which a bulk run carries out its items."""

    client: Throttle
    options: CallOptions
    dry_run: bool
    sink: SinkFactory | None = None
    journal_dir: Any = None
    sent: set[int] = attrs.field(factory=set, init=False)
    """Indexes of items whose request may have been sent; creates count once their sink is ready."""

    async def account(self) -> dict[str, str]:
        """Identify the account that the client's key belongs to.

        By the organization, else by the user who created the key. Only if the service names
        neither, by a digest of the key's masked label, which changes with the key.
        """
        key = (await self.client.call(CURRENT, NoParams(), self.options)).data
        account = {"server_url": self.client.server_url_for(self.options)}
        if key.organization_id:
            return {**account, "organization_id": key.organization_id}
        if key.creator_user_id:
            return {**account, "creator_user_id": key.creator_user_id}
        return {**account, "key": hashlib.sha256(key.label.encode()).hexdigest()[:12]}

    async def carry_out(self, item: Item, *, again: bool) -> Outcome:
        """Carry out an item; `again`: an earlier run may have done it.

        Errors become outcomes, including those raised by the caller's sink function.
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
            shown = error.with_traceback(None)  # whose frames hold the params, secrets included
        except Exception as error:  # noqa: BLE001  # a caller's function may raise anything
            unsure = item.action is Action.CREATE and item.index in self.sent
            status = Status.AMBIGUOUS if unsure else Status.FAILED
            return item.outcome(status, reason=_shown(error))
        return item.outcome(status, reason=str(shown), error=shown, **facts)

    async def _do(self, item: Item, *, again: bool) -> Outcome:
        if self.dry_run:
            return await self._preview(item)
        if item.action is Action.CREATE:
            made = await self._create(item)
            return item.outcome(Status.OK, hash=made.hash, key=made.data, sink=made.sink)
        # Before the call, which may be cancelled after the request has been sent.
        self.sent.add(item.index)
        if item.action is Action.DELETE:
            return await self._delete(item, again=again)
        key = (await self.client.call(UPDATE, item.params, self.options)).data
        if item.action is Action.DISABLE and not key.disabled:
            return item.outcome(Status.FAILED, key=key, reason="the service did not disable it")
        return item.outcome(Status.OK, key=key)

    async def _create(self, item: Item) -> ProvisionedKey:
        """Create one key and deliver its plaintext to its sink."""
        sink, folder = self._sink_for(item), folder_at(self.journal_dir)
        in_progress = await begin(item.params, sink, folder, kind=PROVISION)
        self.sent.add(item.index)
        try:
            return await in_progress.complete(self.client, item.params, self.options)
        except BaseException as error:
            if never_sent(error) or isinstance(error, FOR_THE_CALLER):
                self.sent.discard(item.index)
            raise

    def _sink_for(self, item: Item) -> Sink:
        """Get the sink from the caller's function; raises `SinkError` for any error of it."""
        params: CreateKeys = item.params
        known = {
            field.name: value
            for field in attrs.fields(CreateKeys)
            # `external` may contain a partner's key.
            if (value := getattr(params, field.name)) is not OMITTED and field.name != "external"
        }
        assert self.sink is not None  # noqa: S101  # creates have one
        try:
            return as_sink(self.sink({**known, "index": item.index}))
        except Exception as error:  # noqa: BLE001  # a caller's function may raise anything
            problem = _shown(error)
        raise SinkError(f"sink: {problem}; no key was created", operation=CREATE.name)

    async def _delete(self, item: Item, *, again: bool) -> Outcome:
        try:
            response = await self.client.call(DELETE, item.params, self.options)
        except NotFoundResponseError:
            # A wrong hash is an error, unless an earlier run may have deleted the key.
            if not again:
                raise
            gone = True
        else:
            gone = response.already_gone
            if not (response.deleted or gone):
                return item.outcome(Status.FAILED, reason="the service did not delete it")
        return item.outcome(Status.OK, reason="it was already gone" if gone else None)

    async def _preview(self, item: Item) -> Outcome:
        """Return the dry run's outcome: the key as it is, and what the change would widen."""
        if item.action is Action.CREATE:
            params: CreateKeys = item.params
            unlimited = params.limit is OMITTED or params.limit is None
            widens: tuple[str, ...] = ("a key without a limit",) if unlimited else ()
            return item.outcome(Status.SKIPPED, reason="dry run", widens=widens)
        response = await self.client.call(GET, KeyHash(hash=item.subject), self.options)
        widens = () if item.action is Action.DELETE else widened_by(response.data, item.params)
        return item.outcome(Status.SKIPPED, reason="dry run", key=response.data, widens=widens)


_LONGEST: Final = 200
"""Characters that are shown of an error message from a caller's function."""


def _shown(error: Exception) -> str:
    return f"{type(error).__name__}: {scrub(str(error))[:_LONGEST]}"


def _may_be_done(action: Action, error: OpenRouterError) -> bool:
    """Return whether the service may have carried out the action despite the error."""
    if action is Action.CREATE:
        made = isinstance(error, SinkError) and (error.hash or error.journal)
        return isinstance(error, AmbiguousCreateError) or bool(made)
    no_response = isinstance(error, (APIConnectionError, ResponseValidationError))
    return no_response or (error.status_code or 0) >= 500
