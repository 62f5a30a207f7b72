"""From options to parameters: three states, flags in pairs, and names of workspaces."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar
from uuid import UUID

from openrouter_async._options import OMITTED, Omitted
from openrouter_async.cli._exits import CommandError
from openrouter_async.client import AsyncOpenRouter
from openrouter_async.models import Workspace
from openrouter_async.report import plain

T = TypeVar("T")


def given(value: T | None) -> T | Omitted:
    """Turn an option that was not given into a parameter that is not sent."""
    return OMITTED if value is None else value


def either(yes: str, no: str, *, said_yes: bool, said_no: bool) -> bool | Omitted:
    """Make one parameter of two flags; raises `CommandError` for both at once."""
    if said_yes and said_no:
        raise CommandError(f"{yes} and {no} exclude each other")
    return said_yes if said_yes or said_no else OMITTED


def byok(*, include: bool, exclude: bool) -> bool | Omitted:
    """Make `include_byok_in_limit` of its two flags."""
    return either(
        "--include-byok-in-limit",
        "--no-include-byok-in-limit",
        said_yes=include,
        said_no=exclude,
    )


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
