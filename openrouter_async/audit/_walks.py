"""Which workspaces an audit looks at, and the walks over all of them at once."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable
from typing import TYPE_CHECKING, TypeAlias
from uuid import UUID

import attrs

from openrouter_async import _checks
from openrouter_async._caller import Throttle
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
    """The part of an audit that is one workspace."""

    id: str | None
    """None: the default workspace, asked for without its id."""
    walk: KeyWalk
    keys: list[APIKey] = attrs.field(factory=list[APIKey])
    """What was taken of the walk, if keys are kept."""
    told: int = 0
    """How many of the walk's unreadable records became findings."""
    foreign: int = 0
    """Records that say they belong to another workspace."""
    failure: OpenRouterError | None = None

    @property
    def done(self) -> bool:
        """Whether there is nothing more to ask for."""
        return self.walk.ended or self.failure is not None


class WorkspaceWalks:
    """Asks all branches for pages, and gives them as they come."""

    def __init__(self, throttle: Throttle, options: CallOptions) -> None:
        self.branches: list[Branch] = []
        self._throttle = throttle
        self._options = options
        self._waiting: deque[Branch] = deque()
        self._active: dict[asyncio.Task[list[APIKey]], Branch] = {}

    def add(self, workspace_id: str | None) -> None:
        """Walk over one more workspace, as soon as may be; None: the default one."""
        given = ListKeys(
            include_disabled=True,
            include_expired=True,
            workspace_id=OMITTED if workspace_id is None else workspace_id,
        )
        window = self._throttle.share
        walk = KeyWalk(self._throttle, given, self._options, lenient=True, window=window)
        branch = Branch(id=workspace_id, walk=walk)
        self.branches.append(branch)
        self._waiting.append(branch)
        self._ask()

    async def find_home(self) -> str | None:
        """Find out which workspace the default one is, from the first page of its walk.

        None if that has no key to tell it by, or fails: then the walk is given up.
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
        """Wait until some branch has new keys, or failed, and ask for more already."""
        done, _ = await asyncio.wait(self._active, return_when=asyncio.FIRST_COMPLETED)
        pages = [(self._active[task], self._result(task)) for task in done]
        for task in done:
            branch = self._active.pop(task)
            if not branch.done:
                self._waiting.appendleft(branch)
        self._ask()
        return pages

    def _ask(self) -> None:
        """Walk through as many workspaces at once as there may be requests."""
        while self._waiting and len(self._active) < self._throttle.concurrency:
            branch = self._waiting.popleft()
            self._active[asyncio.create_task(branch.walk.next_page())] = branch
        self._throttle.sharers = len(self._active)

    def _result(self, task: asyncio.Task[list[APIKey]]) -> list[APIKey]:
        try:
            return task.result()
        except FOR_THE_CALLER:
            raise
        except OpenRouterError as error:
            self._active[task].failure = error.with_traceback(None)
            return []

    async def close(self) -> None:
        """End all walks, and wait until nothing is under way."""
        await cancel(self._active)
        self._active.clear()
        self._waiting.clear()
        for branch in self.branches:
            await branch.walk.aclose()

    def __del__(self) -> None:
        for task in self._active:
            cancel_from_anywhere(task)


async def cancel(tasks: Iterable[asyncio.Task[object]]) -> None:
    """Cancel tasks and wait until they have ended, however they do."""
    tasks = list(tasks)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


WorkspaceNames: TypeAlias = str | UUID | Iterable[str | UUID]
"""Ids, slugs or names of workspaces, or one of them."""


def chosen(wanted: list[str] | None, found: list[Workspace]) -> list[str]:
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


def names_from(workspaces: WorkspaceNames | None) -> list[str] | None:
    """Check what the caller named; None: all workspaces."""
    if workspaces is None:
        return None
    if not isinstance(workspaces, Iterable) and not isinstance(workspaces, UUID):
        raise ConfigurationError("workspaces must be ids, slugs or names, or None for all")
    given = [workspaces] if isinstance(workspaces, (str, UUID)) else list(workspaces)
    if not given:
        raise ConfigurationError("workspaces must name at least one, or be None for all")
    return [_checks.identifier("workspaces", each) for each in given]


async def find_workspaces(caller: Caller, options: CallOptions) -> tuple[list[Workspace], str]:
    """List the workspaces; where they are hidden, none and the reason."""
    try:
        found = [each async for each in WorkspaceWalk(caller, options)]
    except (ForbiddenResponseError, NotFoundResponseError) as error:
        return [], f"the service answers {error.status_code} when it is asked for all"
    except ResponseValidationError:
        return [], "the service's list of workspaces cannot be read"
    return found, "the service's list of workspaces is empty"
