"""Commands that change keys that exist: update, delete."""

from __future__ import annotations

import enum
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Final

import attrs
import typer

from openrouter_async import _checks
from openrouter_async._converter import to_dict
from openrouter_async.cli._console import complain, is_terminal, tell, tell_details
from openrouter_async.cli._exits import CommandError, Exit, explain
from openrouter_async.cli._options import byok, either, given, workspace_id
from openrouter_async.cli._output import standard_output
from openrouter_async.cli._reads import Hash, show_record
from openrouter_async.cli._session import Connection
from openrouter_async.cli._sheet import RecordFormat, RecordOption
from openrouter_async.client import AsyncOpenRouter
from openrouter_async.errors import OpenRouterError
from openrouter_async.models import UpdateKeysResponse
from openrouter_async.report import key_facts, plain


class NewReset(enum.StrEnum):
    """When the limit starts anew."""

    DAILY = "daily"
    WEEKLY = "weekly"
    MONTHLY = "monthly"
    NONE = "none"


@attrs.frozen(kw_only=True)
class Changes:
    """What is to change; what is not given stays as it is."""

    name: Annotated[str | None, typer.Option(help="The new name.", metavar="TEXT")] = None
    limit: Annotated[
        float | None, typer.Option(help="The new limit, in place of the old.", metavar="USD")
    ] = None
    no_limit: Annotated[
        bool,
        typer.Option("--no-limit", metavar="", help="Remove the limit: it may spend anything."),
    ] = False
    limit_reset: Annotated[
        NewReset | None, typer.Option(help="daily, weekly, monthly or none.", metavar="WHEN")
    ] = None
    disable: Annotated[
        bool, typer.Option("--disable", metavar="", help="Refuse the key from now on.")
    ] = False
    enable: Annotated[bool, typer.Option("--enable", metavar="", help="Accept it again.")] = False
    include_byok_in_limit: Annotated[
        bool,
        typer.Option(
            "--include-byok-in-limit",
            metavar="",
            help="Usage of your own provider keys counts toward the limit.",
        ),
    ] = False
    no_include_byok_in_limit: Annotated[
        bool, typer.Option("--no-include-byok-in-limit", metavar="", help="It does not.")
    ] = False
    workspace: Annotated[
        str | None,
        typer.Option("--workspace", "-w", help="Move it there: id, slug or name.", metavar="ID"),
    ] = None

    def parameters(self) -> dict[str, Any]:
        """Return what to send, without the workspace; raises `CommandError`."""
        if self.no_limit and self.limit is not None:
            raise CommandError("--limit and --no-limit exclude each other")
        if self == Changes():
            raise CommandError("nothing to change: give --limit, --disable or another option")
        return {
            "name": given(self.name),
            "limit": None if self.no_limit else given(self.limit),
            "limit_reset": None if self.limit_reset is NewReset.NONE else given(self.limit_reset),
            "disabled": either("--disable", "--enable", said_yes=self.disable, said_no=self.enable),
            "include_byok_in_limit": byok(
                include=self.include_byok_in_limit, exclude=self.no_include_byok_in_limit
            ),
        }


def update(
    hash: Hash,
    changes: Changes,
    connection: Connection,
    *,
    form: RecordOption = RecordFormat.TABLE,
) -> None:
    """Change a key, and show it as it is then.

    What is not given stays as it is; a raised limit does not enable a key.

    [bold]Examples[/bold]

    openrouter-keys update HASH --limit 100 --limit-reset monthly
    openrouter-keys update HASH --no-limit
    openrouter-keys update HASH --disable
    """
    parameters = changes.parameters()
    with standard_output() as destination, connection.open() as session:
        answer = session.run(_update(session.client, hash, changes.workspace, parameters))
        tell(f"updated {plain(answer.data.name)!r}")
        facts = key_facts(answer.data, datetime.now(UTC))
        show_record(destination, form, facts, to_dict(answer))


async def _update(
    client: AsyncOpenRouter, hash: str, workspace: str | None, parameters: dict[str, Any]
) -> UpdateKeysResponse:
    _checks.key_hash("HASH", hash)
    target = await workspace_id(client, workspace) if workspace else None
    return await client.api_keys.update(hash, workspace_id=given(target), **parameters)


def delete(
    hashes: Annotated[
        list[str],
        typer.Argument(
            help="The keys' hashes, not the keys themselves.", metavar="HASH...", show_default=False
        ),
    ],
    connection: Connection,
    *,
    yes: Annotated[bool, typer.Option("--yes", "-y", metavar="", help="Do not ask.")] = False,
) -> int:
    """Delete keys for good; asks before.

    Without a terminal there is nobody to ask: it takes --yes then. A key that
    cannot be deleted does not stop the others.

    [bold]Examples[/bold]

    openrouter-keys delete HASH
    openrouter-keys delete --yes HASH1 HASH2 HASH3
    """
    hashes = [_checks.key_hash("HASH", hash) for hash in dict.fromkeys(hashes)]
    if not yes and not (is_terminal(sys.stdin) and is_terminal(sys.stderr)):
        raise CommandError("delete asks, and there is no terminal to ask: give --yes")
    with connection.open() as session:
        if not yes and not _agreed(session.run(_names(session.client, hashes))):
            tell("nothing was deleted")
            return Exit.INTERRUPTED
        return session.run(_delete(session.client, hashes, connection.verbose))


async def _names(client: AsyncOpenRouter, hashes: Sequence[str]) -> list[str]:
    """Name the keys; one that is not there stops the command before anything is deleted."""
    return [(await client.api_keys.get(hash)).data.name for hash in hashes]


_MOST_NAMES: Final = 10


def _agreed(names: Sequence[str]) -> bool:
    shown = ", ".join(repr(plain(name)) for name in names[:_MOST_NAMES])
    more = len(names) - _MOST_NAMES
    what = f"{shown} and {more} more" if more > 0 else shown
    tell(f"{what}: whoever uses {'it' if len(names) == 1 else 'them'} is refused from then on.")
    noun = "this key" if len(names) == 1 else f"these {len(names)} keys"
    sys.stderr.write(f"Delete {noun} for good? [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().casefold() in ("y", "yes")


async def _delete(client: AsyncOpenRouter, hashes: Sequence[str], verbosity: int) -> int:
    """Delete one after another; one that fails does not stop the others."""
    failed = 0
    for hash in hashes:
        try:
            answer = await client.api_keys.delete(hash)
        except OpenRouterError as error:
            failed += 1
            told = explain(error)
            complain(CommandError(f"{hash}: {told.message}"))
            tell_details(error, verbosity)
        else:
            tell(f"deleted {hash}" + (" (an earlier attempt had)" if answer.already_gone else ""))
    if failed:
        return Exit.FAILED if failed == len(hashes) else Exit.INCOMPLETE
    return Exit.DONE
