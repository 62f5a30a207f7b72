"""The read-only commands: list, get, whoami, workspaces."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from typing import Annotated, Any, Final

import attrs
import typer

from openrouter_async import _checks
from openrouter_async._converter import to_dict
from openrouter_async._operations import PAGE_SIZE, ListKeys
from openrouter_async._prefetch import LENIENT_LIST
from openrouter_async.cli._console import tell, warn
from openrouter_async.cli._exits import CommandError, Exit
from openrouter_async.cli._options import all_workspaces, workspace_id
from openrouter_async.cli._output import Destination, standard_output
from openrouter_async.cli._session import Connection
from openrouter_async.cli._sheet import RecordFormat, RecordOption, Sheet, Sorted, Writer, opened
from openrouter_async.client import AsyncOpenRouter
from openrouter_async.errors import InvalidRequestError, ResponseValidationError
from openrouter_async.models import APIKey
from openrouter_async.report import (
    KeyRow,
    count,
    current_facts,
    json_text,
    key_facts,
    plain,
    workspace_facts,
)

Hash = Annotated[
    str,
    typer.Argument(help="The key's hash, not the key itself.", metavar="HASH", show_default=False),
]


@attrs.frozen(kw_only=True)
class Which:
    """Options that select the keys to list."""

    all: Annotated[
        bool, typer.Option("--all", "-a", metavar="", help="All pages, not just one of 100 keys.")
    ] = False
    workspace: Annotated[
        str | None,
        typer.Option(
            "--workspace", "-w", help="Id, slug or name; the default one if omitted.", metavar="ID"
        ),
    ] = None
    include_disabled: Annotated[
        bool, typer.Option("--include-disabled", metavar="", help="Include disabled keys.")
    ] = False
    include_expired: Annotated[
        bool, typer.Option("--include-expired", metavar="", help="Include expired keys.")
    ] = False
    offset: Annotated[
        int | None, typer.Option(help="Number of keys to skip.", metavar="N", show_default=False)
    ] = None
    name: Annotated[
        str | None,
        typer.Option(
            help="Only keys whose name matches; * and ? are wildcards.", metavar="PATTERN"
        ),
    ] = None
    created_after: Annotated[
        str | None, typer.Option(help="Only keys created at or after this time.", metavar="TIME")
    ] = None

    def filter(self) -> Callable[[APIKey], bool]:
        """Return the predicate for --name and --created-after; raises `CommandError`."""
        since = _moment("--created-after", self.created_after) if self.created_after else None
        pattern = self.name.casefold() if self.name is not None else None
        return lambda key: (
            (since is None or key.created_at >= since)
            and (pattern is None or fnmatchcase(key.name.casefold(), pattern))
        )


def list_keys(which: Which, sheet: Sheet, connection: Connection) -> int:
    """List the keys of one workspace, newest first.

    [bold]Examples[/]

    openrouter-keys list --all
    openrouter-keys list -w production --sort usage_monthly
    openrouter-keys list --all --columns name,hash,limit --format csv
    """
    if which.all and which.offset is not None:
        raise CommandError("--all and --offset are mutually exclusive")
    passes = which.filter()
    column = sheet.sort_column()
    sheet.chosen()  # fails on unknown columns before the output is opened
    with opened(sheet.output) as destination, connection.open() as session:
        writer = sheet.writer(destination)
        writer = Sorted(writer, column) if column else writer
        return session.run(_list(session.client, which, passes, writer))


async def _list(
    client: AsyncOpenRouter, which: Which, passes: Callable[[APIKey], bool], writer: Writer
) -> int:
    filters: dict[str, Any] = {
        "include_disabled": which.include_disabled,
        "include_expired": which.include_expired,
        "workspace_id": await workspace_id(client, which.workspace) if which.workspace else None,
    }
    now = datetime.now(UTC)

    def take(keys: list[APIKey]) -> None:
        writer.add([KeyRow(key=key, now=now) for key in keys if passes(key)])

    if not which.all:
        page = await client.call(LENIENT_LIST, ListKeys(offset=which.offset, **filters), {})
        take(page.data)
        writer.finish()
        if page.length >= PAGE_SIZE:
            next_offset = (which.offset or 0) + page.length
            tell(f"there may be more keys: use --all or --offset {next_offset}")
        return _after(page.problems)
    walk = client.api_keys.iter(lenient=True, **filters)
    while not walk.ended:
        take(await walk.next_page())
    writer.finish()
    ending = _after(walk.problems)
    if not walk.complete:
        warn("keys were deleted during the listing: some may be missing")
        return Exit.INCOMPLETE
    return ending


def _after(problems: Sequence[ResponseValidationError]) -> Exit:
    """Warn about unreadable records and return the exit code."""
    for problem in problems[:_MAX_WARNINGS]:
        whose = f" (hash {plain(problem.hash)})" if problem.hash else ""
        warn(f"record {problem.row} of its page{whose} cannot be read: {plain(problem.message)}")
    if len(problems) > _MAX_WARNINGS:
        warn(f"{len(problems) - _MAX_WARNINGS} more records cannot be read")
    return Exit.INCOMPLETE if problems else Exit.DONE


_MAX_WARNINGS: Final = 20


def get_key(hash: Hash, connection: Connection, *, form: RecordOption = RecordFormat.TABLE) -> None:
    """Show one key.

    [bold]Examples[/]

    openrouter-keys get f01d52606dc8f0a8303a7b5cc3fa07109c2e346cec7c0a16b40de462992ce943
    openrouter-keys get HASH --format json | jq .data.limit_remaining
    """
    with standard_output() as destination, connection.open() as session:
        response = session.run(session.client.api_keys.get(hash))
        facts = key_facts(response.data, datetime.now(UTC))
        show_record(destination, form, facts, response)


def whoami(connection: Connection, *, form: RecordOption = RecordFormat.TABLE) -> None:
    """Show the key in use. Any key will do, not only a management key.

    [bold]Examples[/]

    openrouter-keys whoami
    openrouter-keys whoami --key-file ./customer.key --format json
    """
    with standard_output() as destination, connection.open() as session:
        response = session.run(session.client.api_keys.get_current_key_metadata())
        facts = current_facts(response.data, datetime.now(UTC))
        show_record(destination, form, facts, response)


def show_workspaces(
    connection: Connection,
    which: Annotated[
        str | None,
        typer.Argument(
            help="Show only this one: id, slug or name.", metavar="WORKSPACE", show_default=False
        ),
    ] = None,
    *,
    form: RecordOption = RecordFormat.TABLE,
) -> None:
    """List the workspaces, or show one. Other commands accept their ids, slugs or names.

    [bold]Examples[/]

    openrouter-keys workspaces
    openrouter-keys workspaces production
    openrouter-keys workspaces --format json | jq -r '.data[].id'
    """
    with standard_output() as destination, connection.open() as session:
        if which is not None:
            found = session.run(workspace_id(session.client, which))
            response = session.run(session.client.workspaces.get(found))
            facts = workspace_facts(response.data, datetime.now(UTC))
            show_record(destination, form, facts, response)
            return
        workspaces = session.run(all_workspaces(session.client))
        if form is RecordFormat.JSON:
            destination.write(json_text({"data": [to_dict(each) for each in workspaces]}))
            return
        from openrouter_async.report._tables import render, workspace_grid

        parts: list[Any] = [workspace_grid(workspaces), "", count(len(workspaces), "workspace")]
        destination.show(render(parts, width=destination.width, colour=destination.colour))


def show_record(
    destination: Destination, form: RecordFormat, facts: dict[str, str], response: object
) -> None:
    """Write one record: the response as JSON, or the facts as a table."""
    if form is RecordFormat.JSON:
        destination.write(json_text(to_dict(response)))
        return
    from openrouter_async.report._tables import details, render

    width = destination.width
    destination.show(render([details(facts)], width=width, colour=destination.colour))


def _moment(option: str, text: str) -> datetime:
    try:
        return datetime.fromisoformat(_checks.instant(option, text))
    except InvalidRequestError:
        pass
    raise CommandError(
        f"{option} must be a time with a time zone, such as 2026-08-01T00:00:00Z: {plain(text)}"
    )
