"""The audit itself: walks over all workspaces at once, and rules over what they bring."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections import deque
from collections.abc import Callable, Iterable
from copy import copy
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, TypeAlias, Unpack
from uuid import UUID

import attrs

from openrouter_async import _checks
from openrouter_async._omitted import OMITTED
from openrouter_async._operations import CURRENT, ListKeys, Nothing
from openrouter_async._options import CallOptions
from openrouter_async._pages import cancel_from_anywhere
from openrouter_async.audit._ledger import Ledger
from openrouter_async.audit._policy import (
    FAILED_WORKSPACE,
    FOREIGN_KEY,
    HIDDEN_WORKSPACES,
    UNREADABLE_KEY,
    UNVERIFIED_WALK,
    Policy,
)
from openrouter_async.audit._registry import Registry, read_registry
from openrouter_async.audit._report import AuditFailure, AuditReport
from openrouter_async.audit._throttle import Throttle
from openrouter_async.audit._totals import Totals
from openrouter_async.bulk import FOR_THE_CALLER
from openrouter_async.errors import (
    ConfigurationError,
    ForbiddenResponseError,
    InvalidRequestError,
    NotFoundResponseError,
    OpenRouterError,
    ResponseValidationError,
)
from openrouter_async.models import APIKey, Workspace
from openrouter_async.paging import KeyWalk, Walk, WorkspaceWalk

if TYPE_CHECKING:
    from openrouter_async._call import Caller

_LOG: Final = logging.getLogger("openrouter_async")

WorkspaceNames: TypeAlias = str | UUID | Iterable[str | UUID]
"""Ids, slugs or names of workspaces, or one of them."""


@attrs.frozen(kw_only=True)
class AuditProgress:
    """How far an audit is."""

    keys: int
    pages: int
    """Pages of keys that were read."""
    requests: int
    findings: int
    """Findings so far, without those of rules that need the whole list."""
    workspaces_done: int
    workspaces: int | None
    """None: not known yet."""
    seconds: float


Progress: TypeAlias = Callable[[AuditProgress], object]


@attrs.define(kw_only=True, eq=False)
class _Branch:
    """The part of the audit that is one workspace."""

    id: str | None
    """None: the default workspace, asked for without its id."""
    walk: KeyWalk
    keys: list[APIKey] = attrs.field(factory=list[APIKey])
    told: int = 0
    """How many of the walk's unreadable records became findings."""
    foreign: int = 0
    """Records that say they belong to another workspace."""
    failure: OpenRouterError | None = None

    @property
    def done(self) -> bool:
        """Whether there is nothing more to ask for."""
        return self.walk.ended or self.failure is not None


class AuditRun(Walk[APIKey]):
    """An audit that can be watched, streamed and ended early; `client.audit()` is its short form.

    ```python
    run = AuditRun(client)
    report = await run.finish()          # walk to the end
    run.report()                         # at any time, also after Ctrl-C: `partial` says so

    async for key in AuditRun(client, keep=False): ...   # as they come, at constant memory
    ```

    Keys come as they arrive, those of different workspaces in no order. When the loop is left
    early, call `aclose()`.
    """

    def __init__(
        self,
        caller: Caller,
        *,
        workspaces: WorkspaceNames | None = None,
        policy: Policy | str | os.PathLike[str] | None = None,
        concurrency: int = 16,
        rate: float | None = None,
        registry: Registry | None = None,
        progress: Progress | None = None,
        now: datetime | None = None,
        keep: bool = True,
        **options: Unpack[CallOptions],
    ) -> None:
        """Check everything and read the files; nothing is sent yet.

        All but the first and `keep` are explained at `client.audit`.

        Args:
            caller: An `AsyncOpenRouter`.
            workspaces: Ids, slugs or names. None: all.
            policy: A `Policy`, or the path of a TOML file.
            concurrency: Requests at once.
            rate: Requests a second.
            registry: Hashes that should be there, or a file of them.
            progress: Told after every page.
            now: What rules go by. None: the present.
            keep: False: neither keys nor their findings are kept, only counts and totals; rules
                that need the whole list do not run, and a key that is moved to another workspace
                meanwhile may come twice.
            **options: They apply to each request.

        Raises:
            ConfigurationError: A value is out of range, or a file cannot be used.

        """
        super().__init__()
        if now is not None and (not isinstance(now, datetime) or now.utcoffset() is None):
            raise ConfigurationError("now must be an aware datetime")
        if progress is not None and not callable(progress):
            raise ConfigurationError("progress must be callable")
        self.policy = _policy_from(policy)
        if registry is not None:
            self.policy = self.policy.with_registry(read_registry(registry))
        self.started = datetime.now(UTC)
        self.now = now.astimezone(UTC) if now else self.started
        self._began = time.monotonic()
        self._wanted = _names_from(workspaces)
        self._throttle = Throttle(caller, concurrency, rate)
        self._progress = progress
        self._options = options
        self._keep = keep
        self._ledger = Ledger(self.policy, self.now, keep=keep)
        self._branches: list[_Branch] | None = None
        self._waiting: deque[_Branch] = deque()
        self._active: dict[asyncio.Task[list[APIKey]], _Branch] = {}
        self._asking: asyncio.Task[str | None] | None = None
        self._label: str | None = None
        self._hidden = False
        self._finished = False

    async def finish(self) -> AuditReport:
        """Walk to the end and give the report."""
        while not self.ended:
            await self.next_page()
        return self.report()

    async def next_page(self) -> list[APIKey]:
        """Wait for more keys, of any workspace, and give those that are new."""
        try:
            if self._branches is None:
                await self._begin()
            new = await self._gather()
        except BaseException:
            await self.aclose()
            raise
        self._tell()
        return new

    async def aclose(self) -> None:
        """End the audit; nothing more is fetched, and `report()` says that it is partial."""
        await super().aclose()
        tasks: list[asyncio.Task[Any]] = [*self._active]
        if self._asking is not None:
            tasks.append(self._asking)
        self._active.clear()
        self._asking = None
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def report(self) -> AuditReport:
        """Give what is known by now; `partial` unless the audit has come to its end."""
        branches, ledger = self._branches or [], self._ledger
        keys = [key for branch in branches for key in branch.keys]
        complete = (
            self._finished
            and not self._hidden
            and all(branch.walk.complete and not branch.foreign for branch in branches)
        )
        verdict = ledger.verdict(keys, complete=complete)
        audited = {branch.id for branch in branches}
        return AuditReport(
            keys=keys,
            findings=verdict.findings,
            counts=verdict.counts,
            severities=verdict.severities,
            totals=Totals.merged(ledger.by_workspace.values(), self.now),
            by_workspace={space: copy(totals) for space, totals in ledger.by_workspace.items()},
            by_creator={creator: copy(totals) for creator, totals in ledger.by_creator.items()},
            workspaces={space: name for space, name in ledger.names.items() if space in audited},
            now=self.now,
            started=self.started,
            finished=datetime.now(UTC),
            seconds=time.monotonic() - self._began,
            by=self._label,
            complete=complete,
            partial=not self._finished,
            refetched=sum(branch.walk.refetched for branch in branches),
            pages=sum(branch.walk.pages for branch in branches),
            requests=self._throttle.requests,
            errors=[
                AuditFailure.of(branch.failure, branch.id, ledger.names.get(branch.id or ""))
                for branch in branches
                if branch.failure
            ],
            skipped=verdict.skipped,
        )

    def __del__(self) -> None:
        for task in getattr(self, "_active", ()):
            cancel_from_anywhere(task)

    # Workspaces

    async def _begin(self) -> None:
        """Find out which workspaces there are, and set the walks up."""
        self._asking = asyncio.create_task(_label(self._throttle, self._options))
        found, why = await self._find_workspaces()
        self._ledger.names = {workspace.id: workspace.name for workspace in found}
        if found:
            ids: list[str | None] = [*_chosen(self._wanted, found)]
        elif self._wanted is not None:
            ids = [*self._wanted]
        else:
            ids = [None]
            self._hidden = True
            self._ledger.notice(
                HIDDEN_WORKSPACES, f"Only the default workspace was audited: {why}."
            )
        self._branches = [self._branch(workspace_id) for workspace_id in ids]
        self._waiting.extend(self._branches)
        for workspace_id in filter(None, ids):
            self._ledger.by_workspace[workspace_id] = Totals(now=self.now)

    async def _find_workspaces(self) -> tuple[list[Workspace], str]:
        """List the workspaces; where they are hidden, none and the reason."""
        try:
            found = [each async for each in WorkspaceWalk(self._throttle, self._options)]
        except (ForbiddenResponseError, NotFoundResponseError) as error:
            return [], f"the service answers {error.status_code} when it is asked for all"
        except ResponseValidationError:
            return [], "the service's list of workspaces cannot be read"
        return found, "the service's list of workspaces is empty"

    def _branch(self, workspace_id: str | None) -> _Branch:
        given = ListKeys(
            include_disabled=True,
            include_expired=True,
            workspace_id=OMITTED if workspace_id is None else workspace_id,
        )
        walk = KeyWalk(self._throttle, given, self._options, lenient=True, window=self._share)
        return _Branch(id=workspace_id, walk=walk)

    # Pages

    def _share(self) -> int:
        """Give how many pages one workspace may fetch at once: all walk at the same pace."""
        return -(-self._throttle.concurrency // max(1, len(self._active)))

    async def _gather(self) -> list[APIKey]:
        """Wait until a page of any workspace is there, take it in, and ask for more."""
        self._ask_for_more()
        done, _ = await asyncio.wait(self._active, return_when=asyncio.FIRST_COMPLETED)
        new: list[APIKey] = []
        for task in done:
            branch = self._active.pop(task)
            new += self._take(branch, task)
            if not branch.done:
                self._ask(branch)
        self._ask_for_more()
        if not self._active:
            await self._end()
        return new

    def _ask_for_more(self) -> None:
        """Walk through as many workspaces at once as there may be requests."""
        while self._waiting and len(self._active) < self._throttle.concurrency:
            self._ask(self._waiting.popleft())

    def _ask(self, branch: _Branch) -> None:
        self._active[asyncio.create_task(branch.walk.next_page())] = branch

    def _take(self, branch: _Branch, task: asyncio.Task[list[APIKey]]) -> list[APIKey]:
        """Take in what the walk over one workspace has brought."""
        try:
            keys = task.result()
        except FOR_THE_CALLER:
            raise
        except OpenRouterError as error:
            branch.failure = error.with_traceback(None)
            sentence = f"The workspace could not be read to its end: {error.message}."
            self._ledger.notice(FAILED_WORKSPACE, sentence, workspace_id=branch.id)
            return []
        new = [key for key in (_at_home(key, branch) for key in keys) if self._is_new(key, branch)]
        if self._keep:
            branch.keys += new
        for problem in branch.walk.problems[branch.told :]:
            sentence = f"A key's record cannot be read: {problem.message}."
            self._ledger.notice(UNREADABLE_KEY, sentence, workspace_id=branch.id, hash=problem.hash)
        branch.told = len(branch.walk.problems)
        return new

    def _is_new(self, key: APIKey, branch: _Branch) -> bool:
        """Count the key, unless it came before or its own workspace's walk will bring it."""
        if branch.id is not None and key.workspace_id != branch.id:
            branch.foreign += 1
            if key.workspace_id in self._ledger.names:
                return False
        return self._ledger.add(key)

    async def _end(self) -> None:
        """Say what is wrong with the walks; raises if they brought nothing but errors."""
        branches = self._branches or []
        failures = [branch.failure for branch in branches if branch.failure]
        if failures and len(failures) == len(branches) and not any(b.walk.pages for b in branches):
            raise failures[0]
        if self._asking is not None:
            self._label = await self._asking
            self._asking = None
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
        self._ended = self._finished = True

    def _tell(self) -> None:
        """Tell the caller's function of the progress; what it raises must not change anything."""
        if self._progress is None:
            return
        branches = self._branches
        progress = AuditProgress(
            keys=self._ledger.keys,
            pages=sum(branch.walk.pages for branch in branches or ()),
            requests=self._throttle.requests,
            findings=self._ledger.findings,
            workspaces_done=sum(branch.done for branch in branches or ()),
            workspaces=None if branches is None else len(branches),
            seconds=time.monotonic() - self._began,
        )
        try:
            self._progress(progress)
        except Exception as error:  # noqa: BLE001  # an observer must not break an audit
            _LOG.warning("progress raised %s", type(error).__name__)


async def _label(caller: Caller, options: CallOptions) -> str | None:
    """Ask for the management key's own label; None where the service does not say."""
    try:
        return (await caller.call(CURRENT, Nothing(), options)).data.label
    except OpenRouterError:
        return None


def _at_home(key: APIKey, branch: _Branch) -> APIKey:
    """Give the key with its workspace, which older answers leave out."""
    if key.workspace_id is None and branch.id is not None:
        return attrs.evolve(key, workspace_id=branch.id)
    return key


def _chosen(wanted: list[str] | None, found: list[Workspace]) -> list[str]:
    """Give the ids of the workspaces to audit; raises `InvalidRequestError` for an unknown one."""
    if wanted is None:
        return [workspace.id for workspace in found]
    ids: dict[str, None] = {}
    for name in wanted:
        fitting = [space.id for space in found if name in (space.id, space.slug, space.name)]
        if not fitting:
            raise InvalidRequestError(
                f"workspaces: there is no workspace {name!r}", parameter="workspaces"
            )
        ids.update(dict.fromkeys(fitting))
    return list(ids)


def _names_from(workspaces: WorkspaceNames | None) -> list[str] | None:
    if workspaces is None:
        return None
    given = [workspaces] if isinstance(workspaces, (str, UUID)) else list(workspaces)
    if not given:
        raise ConfigurationError("workspaces must name at least one, or be None for all")
    return [_checks.identifier("workspaces", each) for each in given]


def _policy_from(policy: Policy | str | os.PathLike[str] | None) -> Policy:
    if policy is None:
        return Policy()
    if isinstance(policy, Policy):
        return policy
    if isinstance(policy, (str, os.PathLike)):
        return Policy.load(policy)
    raise ConfigurationError("policy must be a Policy or the path of a TOML file")
