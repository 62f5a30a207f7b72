"""The commands that change existing keys: update, delete."""

from __future__ import annotations

import enum
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Final

import attrs
import typer

from openrouter_async import _checks
from openrouter_async.cli._console import complain, is_terminal, tell, tell_details
from openrouter_async.cli._exits import CommandError, Exit, explain
from openrouter_async.cli._options import byok, either, or_omitted, workspace_id
from openrouter_async.cli._output import standard_output
from openrouter_async.cli._reads import Hash, show_record
from openrouter_async.cli._session import Connection
from openrouter_async.cli._sheet import RecordFormat, RecordOption
from openrouter_async.client import AsyncOpenRouter
from openrouter_async.errors import OpenRouterError
from openrouter_async.models import UpdateKeysResponse
from openrouter_async.report import key_facts, plain


class NewReset(enum.StrEnum):
    """Values of --limit-reset."""

    DAILY = "daily"
    WEEKLY = "weekly"
    MONTHLY = "monthly"
    NONE = "none"


@attrs.frozen(kw_only=True)
class Changes:
    """Options of update; a field whose option is omitted stays as it is."""

    name: Annotated[str | None, typer.Option(help="The new name.", metavar="TEXT")] = None
    limit: Annotated[float | None, typer.Option(help="The new limit.", metavar="USD")] = None
    no_limit: Annotated[
        bool,
        typer.Option("--no-limit", metavar="", help="Remove the limit: spending is unlimited."),
    ] = False
    limit_reset: Annotated[
        NewReset | None, typer.Option(help="daily, weekly, monthly or none.", metavar="WHEN")
    ] = None
    disable: Annotated[bool, typer.Option("--disable", metavar="", help="Disable the key.")] = False
    enable: Annotated[bool, typer.Option("--enable", metavar="", help="Enable it again.")] = False
    include_byok_in_limit: Annotated[
        bool,
        typer.Option(
            "--include-byok-in-limit",
            metavar="",
            help="Count usage of your own provider keys toward the limit.",
        ),
    ] = False
    no_include_byok_in_limit: Annotated[
        bool, typer.Option("--no-include-byok-in-limit", metavar="", help="Do not count it.")
    ] = False
    workspace: Annotated[
        str | None,
        typer.Option(
            "--workspace", "-w", help="Move it to this one: id, slug or name.", metavar="ID"
        ),
    ] = None

    def params(self) -> dict[str, Any]:
        """Return the params to send, except for the workspace; raises `CommandError`."""
        if self.no_limit and self.limit is not None:
            raise CommandError("--limit and --no-limit are mutually exclusive")
        if self == Changes():
            raise CommandError("nothing to change: pass --limit, --disable or another option")
        no_reset = self.limit_reset is NewReset.NONE
        return {
            "name": or_omitted(self.name),
            "limit": None if self.no_limit else or_omitted(self.limit),
            "limit_reset": None if no_reset else or_omitted(self.limit_reset),
            "disabled": either("--disable", "--enable", on=self.disable, off=self.enable),
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
    """Change a key and show the result.

    Options that you omit leave their fields as they are; raising the limit does
    not enable a disabled key.

    [bold]Examples[/bold]

    openrouter-keys update HASH --limit 100 --limit-reset monthly
    openrouter-keys update HASH --no-limit
    openrouter-keys update HASH --disable
    """
    params = changes.params()
    with standard_output() as destination, connection.open() as session:
        response = session.run(_update(session.client, hash, changes.workspace, params))
        tell(f"updated {plain(response.data.name)!r}")
        facts = key_facts(response.data, datetime.now(UTC))
        show_record(destination, form, facts, response)


async def _update(
    client: AsyncOpenRouter, hash: str, workspace: str | None, params: dict[str, Any]
) -> UpdateKeysResponse:
    _checks.key_hash("HASH", hash)
    target = await workspace_id(client, workspace) if workspace else None
    return await client.api_keys.update(hash, workspace_id=or_omitted(target), **params)


def delete(
    hashes: Annotated[
        list[str],
        typer.Argument(
            help="The keys' hashes, not the keys themselves.", metavar="HASH...", show_default=False
        ),
    ],
    connection: Connection,
    *,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", metavar="", help="Do not ask for confirmation.")
    ] = False,
) -> int:
    """Delete keys permanently, after asking for confirmation.

    Without a terminal to ask on, --yes is required. A key that cannot be deleted
    does not stop the others.

    [bold]Examples[/bold]

    openrouter-keys delete HASH
    openrouter-keys delete --yes HASH1 HASH2 HASH3
    """
    # Deleting a hash twice would fail the second time.
    hashes = [_checks.key_hash("HASH", hash) for hash in dict.fromkeys(hashes)]
    if not yes and not (is_terminal(sys.stdin) and is_terminal(sys.stderr)):
        raise CommandError("delete needs confirmation and there is no terminal: pass --yes")
    with connection.open() as session:
        if not yes and not _confirmed(session.run(_names(session.client, hashes))):
            tell("nothing was deleted")
            return Exit.INTERRUPTED
        return session.run(_delete(session.client, hashes, connection.verbose))


async def _names(client: AsyncOpenRouter, hashes: Sequence[str]) -> list[str]:
    """Return the keys' names; a missing key fails the command before anything is deleted."""
    return [(await client.api_keys.get(hash)).data.name for hash in hashes]


_MAX_NAMES: Final = 10


def _confirmed(names: Sequence[str]) -> bool:
    shown = ", ".join(repr(plain(name)) for name in names[:_MAX_NAMES])
    more = len(names) - _MAX_NAMES
    what = f"{shown} and {more} more" if more > 0 else shown
    tell(f"{what}: anything that uses {'it' if len(names) == 1 else 'them'} will be refused.")
    noun = "this key" if len(names) == 1 else f"these {len(names)} keys"
    sys.stderr.write(f"Delete {noun} permanently? [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().casefold() in ("y", "yes")


async def _delete(client: AsyncOpenRouter, hashes: Sequence[str], verbosity: int) -> int:
    """Delete the keys one by one; a failure does not stop the others."""
    failed = 0
    for hash in hashes:
        try:
            response = await client.api_keys.delete(hash)
        except OpenRouterError as error:
            failed += 1
            complain(CommandError(f"{hash}: {explain(error).message}"))
            tell_details(error, verbosity)
        else:
            earlier = " (by an earlier attempt)" if response.already_gone else ""
            tell(f"deleted {hash}{earlier}")
    if failed:
        return Exit.FAILED if failed == len(hashes) else Exit.INCOMPLETE
    return Exit.DONE
