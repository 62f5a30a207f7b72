"""Turn options into params: omitted values, pairs of flags, and workspace names."""

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


def or_omitted(value: T | None) -> T | Omitted:
    """Return the value of an option, or `OMITTED` for None: the param is not sent then."""
    return OMITTED if value is None else value


def either(on_option: str, off_option: str, *, on: bool, off: bool) -> bool | Omitted:
    """Return one param for a pair of flags; raises `CommandError` if both are set."""
    if on and off:
        raise CommandError(f"{on_option} and {off_option} are mutually exclusive")
    return on if on or off else OMITTED


def byok(*, include: bool, exclude: bool) -> bool | Omitted:
    """Return `include_byok_in_limit` from its two flags; raises `CommandError` if both are set."""
    return either(
        "--include-byok-in-limit",
        "--no-include-byok-in-limit",
        on=include,
        off=exclude,
    )


async def all_workspaces(client: AsyncOpenRouter) -> list[Workspace]:
    """Return every workspace, reading page by page."""
    return [workspace async for workspace in client.workspaces.iter()]


async def workspace_ids(client: AsyncOpenRouter, words: Sequence[str]) -> list[str]:
    """Resolve ids, slugs and names to ids; raises `CommandError` naming the first unknown one.

    Sends requests only if at least one of them is not an id.
    """
    if all(_is_id(word) for word in words):
        return list(words)
    known = await all_workspaces(client)
    return [word if _is_id(word) else _find(word, known).id for word in words]


async def workspace_id(client: AsyncOpenRouter, word: str) -> str:
    """Resolve one id, slug or name to an id; see `workspace_ids`."""
    return (await workspace_ids(client, [word]))[0]


def _find(word: str, known: Sequence[Workspace]) -> Workspace:
    wanted = word.casefold()
    found = [each for each in known if each.slug and each.slug.casefold() == wanted] or [
        each for each in known if each.name.casefold() == wanted
    ]
    if len(found) == 1:
        return found[0]
    if found:
        ids = ", ".join(plain(each.id) for each in found)
        raise CommandError(f"--workspace: {word!r} is ambiguous, use an id: {ids}")
    names = ", ".join(plain(each.slug or each.name) for each in known)
    raise CommandError(f"--workspace: {plain(word)!r} does not exist; known workspaces: {names}")


def _is_id(word: str) -> bool:
    try:
        UUID(word)
    except ValueError:
        return False
    return True
