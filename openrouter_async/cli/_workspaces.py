"""Workspaces by name: people know names, the service takes ids."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from openrouter_async.cli._exits import CommandError
from openrouter_async.client import AsyncOpenRouter
from openrouter_async.models import Workspace
from openrouter_async.report import plain


async def all_workspaces(client: AsyncOpenRouter) -> list[Workspace]:
    """Read the workspaces, page by page."""
    return [workspace async for workspace in client.workspaces.iter()]


async def workspace_ids(client: AsyncOpenRouter, given: Sequence[str]) -> list[str]:
    """Turn ids, names and slugs into ids; raises `CommandError` that names the unknown ones.

    Only names cost a request.
    """
    if all(_is_id(word) for word in given):
        return list(given)
    known = await all_workspaces(client)
    return [word if _is_id(word) else _find(word, known).id for word in given]


async def workspace_id(client: AsyncOpenRouter, given: str) -> str:
    """Turn one id, name or slug into an id."""
    return (await workspace_ids(client, [given]))[0]


def _find(word: str, known: Sequence[Workspace]) -> Workspace:
    wanted = word.casefold()
    found = [each for each in known if each.slug and each.slug.casefold() == wanted] or [
        each for each in known if each.name.casefold() == wanted
    ]
    if len(found) == 1:
        return found[0]
    if found:
        ids = ", ".join(plain(each.id) for each in found)
        raise CommandError(f"--workspace: {word!r} names several, take an id: {ids}")
    names = ", ".join(plain(each.slug or each.name) for each in known)
    raise CommandError(f"--workspace: there is no {plain(word)!r}; there are: {names}")


def _is_id(word: str) -> bool:
    try:
        UUID(word)
    except ValueError:
        return False
    return True
