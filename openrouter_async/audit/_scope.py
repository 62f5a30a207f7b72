"""Which workspaces an audit looks at."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, TypeAlias
from uuid import UUID

from openrouter_async import _checks
from openrouter_async._options import CallOptions
from openrouter_async.errors import (
    ConfigurationError,
    ForbiddenResponseError,
    InvalidRequestError,
    NotFoundResponseError,
    ResponseValidationError,
)
from openrouter_async.models import Workspace
from openrouter_async.paging import WorkspaceWalk

if TYPE_CHECKING:
    from openrouter_async._core import Caller

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
