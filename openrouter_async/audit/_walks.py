"""The workspaces of an audit, and the concurrent walks over them."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable
from typing import TYPE_CHECKING, TypeAlias
from uuid import UUID

import attrs

from openrouter_async import _checks
from openrouter_async._caller import Throttle
from openrouter_async._concurrency import cancel_all
from openrouter_async._operations import ListKeys
from openrouter_async._options import OMITTED, CallOptions
from openrouter_async._prefetch import cancel_from_anywhere
from openrouter_async.bulk._get_many import FOR_THE_CALLER
from openrouter_async.errors import (
    ConfigurationError,
    ForbiddenResponseError,
    InvalidRequestError,
    NotFoundResponseError,
    OpenRouterError,
    ResponseValidationError,
)
from openrouter_async.models import APIKey, Workspace
from openrouter_async.paging import KeyWalk, WorkspaceWalk

if TYPE_CHECKING:
    from openrouter_async._caller import Caller


@attrs.define(kw_only=True, eq=False)
class Branch:
    """The part of an audit that covers one workspace."""

    id: str | None
    """None: the default workspace, requested without an id."""
    walk: KeyWalk
    keys: list[APIKey] = attrs.field(factory=list[APIKey])
    """Keys taken from the walk, if they are kept."""
    told: int = 0
    """How many of the walk's unreadable records have become findings."""
    foreign: int = 0
    """Records that claim to belong to another workspace."""
    failure: OpenRouterError | None = None

    @property
    def done(self) -> bool:
        """Whether there is nothing more to fetch."""
        return self.walk.ended or self.failure is not None


class WorkspaceWalks:
    """Concurrent walks over workspaces; their pages are returned as they arrive."""

    def __init__(self, throttle: Throttle, options: CallOptions) -> None:
        self.branches: list[Branch] = []
        self._throttle = throttle
        self._options = options
        self._waiting: deque[Branch] = deque()
        self._active: dict[asyncio.Task[list[APIKey]], Branch] = {}

    def add(self, workspace_id: str | None) -> None:
        """Walk over one more workspace as soon as there is room; None: the default one."""
        params = ListKeys(
            include_disabled=True,
            include_expired=True,
            workspace_id=OMITTED if workspace_id is None else workspace_id,
        )
        window = self._throttle.share
        walk = KeyWalk(self._throttle, params, self._options, lenient=True, window=window)
        branch = Branch(id=workspace_id, walk=walk)
        self.branches.append(branch)
        self._waiting.append(branch)
        self._ask()

    async def find_home(self) -> str | None:
        """Return the id of the default workspace, from the first page of its walk.

        None if that page has no keys or fails: then the walk is abandoned.
        """
        [(task, branch)] = self._active.items()
        await asyncio.wait([task])
        keys = [] if task.cancelled() or task.exception() else task.result()
        branch.id = keys[0].workspace_id if keys else None
        if branch.id is None:
            await self.close()
            self.branches.clear()
        return branch.id

    @property
    def done(self) -> bool:
        """Whether every walk is over."""
        return not (self._active or self._waiting)

    async def pages(self) -> list[tuple[Branch, list[APIKey]]]:
        """Wait until a branch has new keys or has failed, and start fetching more."""
        done, _ = await asyncio.wait(self._active, return_when=asyncio.FIRST_COMPLETED)
        pages = [(self._active[task], self._result(task)) for task in done]
        for task in done:
            branch = self._active.pop(task)
            if not branch.done:
                self._waiting.appendleft(branch)
        self._ask()
        return pages

    def _ask(self) -> None:
        """Walk over as many workspaces at once as requests may be in flight."""
        while self._waiting and len(self._active) < self._throttle.concurrency:
            branch = self._waiting.popleft()
            self._active[asyncio.create_task(branch.walk.next_page())] = branch
        sharers, self._throttle.sharers = self._throttle.sharers, len(self._active)
        if len(self._active) < sharers:
            for branch in self._active.values():
                branch.walk.fetch_ahead()  # with the share of those that have ended

    def _result(self, task: asyncio.Task[list[APIKey]]) -> list[APIKey]:
        try:
            return task.result()
        except FOR_THE_CALLER:
            raise
        except OpenRouterError as error:
            self._active[task].failure = error.with_traceback(None)
            return []

    async def close(self) -> None:
        """End all walks, and wait until no request is in flight."""
        await cancel_all(self._active)
        self._active.clear()
        self._waiting.clear()
        for branch in self.branches:
            await branch.walk.aclose()

    def __del__(self) -> None:
        for task in self._active:
            cancel_from_anywhere(task)


WorkspaceNames: TypeAlias = str | UUID | Iterable[str | UUID]
"""Ids, slugs or names of workspaces, or one of them."""


def chosen(wanted: list[str] | None, found: list[Workspace]) -> list[str]:
    """Return the ids of the workspaces to audit; raise `InvalidRequestError` for an unknown one."""
    if wanted is None:
        return [workspace.id for workspace in found]
    ids: dict[str, None] = {}
    for name in wanted:
        matching = [each.id for each in found if name in (each.id, each.slug, each.name)]
        if not matching:
            raise InvalidRequestError(
                f"workspaces: there is no workspace {name!r}", parameter="workspaces"
            )
        ids.update(dict.fromkeys(matching))
    return list(ids)


def names_from(workspaces: WorkspaceNames | None) -> list[str] | None:
    """Return the checked names of the caller's workspaces; None: all workspaces."""
    if workspaces is None:
        return None
    if not isinstance(workspaces, Iterable) and not isinstance(workspaces, UUID):
        raise ConfigurationError("workspaces must be ids, slugs or names, or None for all")
    names = [workspaces] if isinstance(workspaces, (str, UUID)) else list(workspaces)
    if not names:
        raise ConfigurationError("workspaces must name at least one, or be None for all")
    return [_checks.identifier("workspaces", each) for each in names]


async def find_workspaces(caller: Caller, options: CallOptions) -> tuple[list[Workspace], str]:
    """Return the workspaces, or an empty list and the reason if they are hidden."""
    try:
        found = [each async for each in WorkspaceWalk(caller, options)]
    except (ForbiddenResponseError, NotFoundResponseError) as error:
        return [], f"the service responds with {error.status_code} to the request for all"
    except ResponseValidationError:
        return [], "the service's list of workspaces cannot be read"
    return found, "the service's list of workspaces is empty"
