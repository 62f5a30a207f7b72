"""Run an audit, with progress while it runs."""

from __future__ import annotations

import asyncio
import os
import time
import weakref
from collections.abc import Awaitable, Callable, Mapping
from copy import copy
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeAlias, Unpack

import attrs

from openrouter_async._caller import Throttle
from openrouter_async._concurrency import cancel_all
from openrouter_async._observers import notify
from openrouter_async._operations import CURRENT, NoParams
from openrouter_async._options import MAX_WAIT, CallOptions, Waiting
from openrouter_async.audit._ledger import Ledger, Totals
from openrouter_async.audit._policy import (
    FAILED_WORKSPACE,
    FOREIGN_KEY,
    HIDDEN_WORKSPACES,
    UNREADABLE_KEY,
    UNVERIFIED_WALK,
    Policy,
    Registry,
    policy_from,
    read_registry,
)
from openrouter_async.audit._report import AuditFailure, AuditReport
from openrouter_async.audit._walks import (
    Branch,
    WorkspaceNames,
    WorkspaceWalks,
    chosen,
    find_workspaces,
    names_from,
)
from openrouter_async.errors import ConfigurationError, OpenRouterError
from openrouter_async.models import APIKey
from openrouter_async.paging import Walk

if TYPE_CHECKING:
    from openrouter_async._caller import Caller, Client


@attrs.frozen(kw_only=True)
class AuditProgress:
    """Progress of an audit."""

    keys: int
    pages: int
    """Pages of keys read so far."""
    requests: int
    findings: int
    """Findings so far, excluding rules that need the whole list."""
    workspaces_done: int
    workspaces: int
    seconds: float
    waiting: Waiting | None = None
    """The wait for the service's rate limit that is slowing the audit down; None: no wait."""


Progress: TypeAlias = Callable[[AuditProgress], object]
"""The type of `progress`. An async function is awaited; its exceptions are only logged."""


class AuditRun(Walk[APIKey]):
    """An audit that can be monitored, streamed and ended early; its short form is `client.audit()`.

    ```python
    run = AuditRun(client)
    report = await run.finish()          # walk to the end
    run.report()                         # at any time, even after Ctrl-C; see its `partial`

    async for key in AuditRun(client, keep=False): ...   # streamed, with constant memory
    ```

    Keys are yielded as they arrive; workspaces are interleaved in no particular order. After
    leaving the loop early, call `aclose()`.
    """

    def __init__(
        self,
        caller: Client,
        *,
        workspaces: WorkspaceNames | None = None,
        policy: Policy | str | os.PathLike[str] | None = None,
        concurrency: int = 16,
        rate: float | None = None,
        max_wait: float = MAX_WAIT,
        registry: Registry | None = None,
        progress: Progress | None = None,
        now: datetime | None = None,
        keep: bool = True,
        **options: Unpack[CallOptions],
    ) -> None:
        """Check all arguments and read the files; no request is sent yet.

        See `client.audit` for details of all but `caller` and `keep`.

        Args:
            caller: An `AsyncOpenRouter`.
            workspaces: IDs, slugs or names. None: all.
            policy: A `Policy`, or the path of a TOML file.
            concurrency: Maximum number of concurrent requests.
            rate: Maximum number of requests per second, retries included.
            max_wait: Seconds that each request may wait for the service's rate limit.
            registry: The expected hashes, or a file of them.
            progress: Called after every page; an async function is awaited.
            now: The time that rules use. None: the present.
            keep: False: keep neither keys nor their findings, only counts and totals; rules that
                need the whole list do not run, and a key that is moved to another workspace during
                the audit may be yielded twice.
            **options: Apply to each request.

        Raises:
            ConfigurationError: A value is out of range, or a file cannot be used.

        """
        super().__init__()
        if now is not None and (not isinstance(now, datetime) or now.utcoffset() is None):
            raise ConfigurationError("now must be an aware datetime")
        if progress is not None and not callable(progress):
            raise ConfigurationError("progress must be callable")
        self.policy = policy_from(policy)
        if registry is not None:
            self.policy = self.policy.with_registry(read_registry(registry))
        self.started = datetime.now(UTC)
        self.now = now.astimezone(UTC) if now else self.started
        self._began = time.monotonic()
        self._wanted = names_from(workspaces)
        self._throttle = Throttle(
            caller,
            concurrency=concurrency,
            rate=rate,
            max_wait=max_wait,
            on_wait=_wait_observer(self),
        )
        self._progress = progress
        self._options = options
        self._keep = keep
        self._ledger = Ledger(self.policy, self.now, keep=keep)
        self._walks = WorkspaceWalks(self._throttle, options)
        self._label_request: asyncio.Task[str | None] | None = None
        self._label: str | None = None
        self._scope = "all" if self._wanted is None else "chosen"
        self._finished: tuple[datetime, float] | None = None
        """When the audit ended, and its duration in seconds; None: it has not ended."""

    async def finish(self) -> AuditReport:
        """Walk to the end and return the report."""
        while not self.ended:
            await self.next_page()
        return self.report()

    async def _read_page(self) -> list[APIKey]:
        """Wait for more keys of any workspace and return the new ones."""
        try:
            if self._label_request is None:
                await self._begin()
            pages = await self._walks.pages()
            new = [key for branch, keys in pages for key in self._take_page(branch, keys)]
            if self._walks.done:
                await self._finish_walks()
        except BaseException:
            await self._release()
            raise
        await self.tell()
        return new

    async def aclose(self) -> None:
        """End the audit; nothing more is fetched, and the report is `partial`."""
        await super().aclose()

    async def _release(self) -> None:
        self._closed = True
        await self._walks.close()
        if self._label_request is not None:
            await cancel_all([self._label_request])

    @property
    def workspaces(self) -> Mapping[str, str]:
        """The names of all workspaces by ID; empty before the first page, or if they are hidden."""
        return self._ledger.names

    def report(self) -> AuditReport:
        """Return the report so far; it is `partial` unless the audit has ended."""
        branches, ledger = self._walks.branches, self._ledger
        keys = [key for branch in branches for key in branch.keys]
        finished, seconds = self._finished or self._time()
        complete = (
            self._finished is not None
            and self._scope != "default"
            and all(branch.walk.complete and not branch.foreign for branch in branches)
        )
        result = ledger.summarize(keys, complete=complete)
        audited = {branch.id for branch in branches}
        return AuditReport(
            keys=keys,
            findings=result.findings,
            counts=result.counts,
            severities=result.severities,
            totals=Totals.merged(ledger.by_workspace.values(), self.now),
            # Copies, since the ledger goes on counting.
            by_workspace={id_: copy(totals) for id_, totals in ledger.by_workspace.items()},
            by_creator={creator: copy(totals) for creator, totals in ledger.by_creator.items()},
            scope=self._scope,
            workspaces={id_: name for id_, name in ledger.names.items() if id_ in audited},
            now=self.now,
            started=self.started,
            finished=finished,
            seconds=seconds,
            by=self._label,
            complete=complete,
            partial=self._finished is None,
            refetched=sum(branch.walk.refetched for branch in branches),
            pages=sum(branch.walk.pages for branch in branches),
            requests=self._throttle.requests,
            errors=[
                AuditFailure.of(branch.failure, branch.id, ledger.names.get(branch.id or ""))
                for branch in branches
                if branch.failure
            ],
            skipped=result.skipped,
        )

    # Workspaces

    async def _begin(self) -> None:
        """List the workspaces and set up their walks."""
        # In parallel, since only the report needs the label.
        self._label_request = asyncio.create_task(_label(self._throttle, self._options))
        if self._wanted is None:
            # Start with the default workspace, which needs no ID and is the only one most have.
            self._walks.add(None)
        found, why = await find_workspaces(self._throttle, self._options)
        self._ledger.names = {workspace.id: workspace.name for workspace in found}
        if not found and self._wanted is None:
            self._scope = "default"
            self._ledger.notice(
                HIDDEN_WORKSPACES, f"Only the default workspace was audited: {why}."
            )
            return
        ids = chosen(self._wanted, found) if found else self._wanted or []
        home = await self._walks.find_home() if self._wanted is None else None
        for workspace_id in ids:
            # A workspace without keys has its row of zeros, too.
            self._ledger.by_workspace[workspace_id] = Totals(now=self.now)
            # The default workspace is being read already, without its ID.
            if workspace_id != home:
                self._walks.add(workspace_id)

    # Pages

    def _take_page(self, branch: Branch, keys: list[APIKey]) -> list[APIKey]:
        """Record a page of one workspace and return its new keys."""
        if branch.failure is not None:
            sentence = f"The workspace could not be read to its end: {branch.failure.message}."
            self._ledger.notice(FAILED_WORKSPACE, sentence, workspace_id=branch.id)
        new = [
            key
            for key in (_with_workspace(key, branch) for key in keys)
            if self._is_new(key, branch)
        ]
        if self._keep:
            branch.keys += new
        for problem in branch.walk.problems[branch.told :]:
            sentence = f"A key's record cannot be read: {problem.message}."
            self._ledger.notice(UNREADABLE_KEY, sentence, workspace_id=branch.id, hash=problem.hash)
        branch.told = len(branch.walk.problems)
        return new

    def _is_new(self, key: APIKey, branch: Branch) -> bool:
        """Count the key unless it was seen before or its own workspace's walk will yield it."""
        if branch.id is not None and key.workspace_id != branch.id:
            branch.foreign += 1
            if key.workspace_id in self._ledger.names:
                return False
        return self._ledger.add(key)

    async def _finish_walks(self) -> None:
        """Add notices about incomplete walks; raise the first error if no page was read at all."""
        branches = self._walks.branches
        failures = [branch.failure for branch in branches if branch.failure]
        if failures and len(failures) == len(branches) and not any(b.walk.pages for b in branches):
            raise failures[0]
        if self._label_request is not None:
            self._label = await self._label_request
        for branch in branches:
            if branch.foreign:
                self._ledger.notice(
                    FOREIGN_KEY,
                    f"{branch.foreign} keys were listed that say they belong elsewhere.",
                    workspace_id=branch.id,
                    keys=branch.foreign,
                )
            if branch.walk.ended and not branch.walk.complete:
                sentence = "Its list changed too much to be sure that no key was missed."
                self._ledger.notice(UNVERIFIED_WALK, sentence, workspace_id=branch.id)
        self._at_end = True
        self._finished = self._time()

    def _time(self) -> tuple[datetime, float]:
        return datetime.now(UTC), time.monotonic() - self._began

    async def tell(self, waiting: Waiting | None = None) -> None:
        """Call the caller's `progress`."""
        if self._progress is None:
            return
        branches = self._walks.branches
        progress = AuditProgress(
            keys=self._ledger.keys,
            pages=sum(branch.walk.pages for branch in branches),
            requests=self._throttle.requests,
            findings=self._ledger.findings,
            workspaces_done=sum(branch.done for branch in branches),
            workspaces=len(branches),
            seconds=self._time()[1],
            waiting=waiting,
        )
        await notify("progress", self._progress, progress)


def _wait_observer(run: AuditRun) -> Callable[[Waiting], Awaitable[None]]:
    """Return a function that reports a wait as the run's progress; it holds the run weakly."""
    reference = weakref.ref(run)

    async def tell(waiting: Waiting) -> None:
        run = reference()
        if run is not None:
            await run.tell(waiting)

    return tell


async def _label(caller: Caller, options: CallOptions) -> str | None:
    """Return the management key's own label; None if the request fails."""
    try:
        return (await caller.call(CURRENT, NoParams(), options)).data.label
    except OpenRouterError:
        return None


def _with_workspace(key: APIKey, branch: Branch) -> APIKey:
    """Return the key with its workspace, which older responses omit."""
    if key.workspace_id is None and branch.id is not None:
        return attrs.evolve(key, workspace_id=branch.id)
    return key
