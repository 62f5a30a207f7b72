"""The command that makes a key, and sees to it that the plaintext arrives."""

from __future__ import annotations

import enum
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import attrs
import typer

from openrouter_async._omitted import Omitted
from openrouter_async.cli._choices import byok, given
from openrouter_async.cli._credentials import key_from_file
from openrouter_async.cli._delivery import Delivery
from openrouter_async.cli._exits import CommandError
from openrouter_async.cli._groups import command
from openrouter_async.cli._output import standard_output
from openrouter_async.cli._session import Connection
from openrouter_async.cli._sinks import opened_sink
from openrouter_async.cli._workspaces import workspace_id
from openrouter_async.client import AsyncOpenRouter
from openrouter_async.models import External, LimitReset


class NewKeyFormat(enum.StrEnum):
    """What standard output gets."""

    KEY = "key"
    JSON = "json"


@attrs.frozen(kw_only=True)
class NewKey:
    """What the key shall be."""

    limit: Annotated[
        float | None, typer.Option(help="What it may spend; else anything.", metavar="USD")
    ] = None
    limit_reset: Annotated[
        LimitReset | None,
        typer.Option(help="daily, weekly or monthly; else never.", metavar="WHEN"),
    ] = None
    expires_at: Annotated[
        str | None,
        typer.Option(help="Such as 2026-12-31T00:00:00Z; else never.", metavar="TIME"),
    ] = None
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
        typer.Option(
            "--workspace", "-w", help="Id, slug or name; else the default one.", metavar="ID"
        ),
    ] = None
    creator_user_id: Annotated[
        str | None, typer.Option(help="For this member of the organization.", metavar="ID")
    ] = None
    external_user: Annotated[
        str | None, typer.Option(help="Partners: your own user.", metavar="ID")
    ] = None
    external_key_file: Annotated[
        Path | None,
        typer.Option(help="Partners: the file with that user's own key.", metavar="PATH"),
    ] = None

    def byok(self) -> bool | Omitted:
        """Give what was said about own provider keys; raises `CommandError`."""
        return byok(include=self.include_byok_in_limit, exclude=self.no_include_byok_in_limit)

    def external(self) -> External | None:
        """Give the partner's identity; raises `CommandError`."""
        if (self.external_user is None) != (self.external_key_file is None):
            raise CommandError("--external-user and --external-key-file need each other")
        if self.external_user is None or self.external_key_file is None:
            return None
        key = key_from_file(self.external_key_file, "--external-key-file")
        return External(user=self.external_user, api_key=key)


def register(app: typer.Typer) -> None:
    """Add the command."""
    command(app, "create")(create)


def create(
    name: Annotated[str, typer.Argument(help="What it is called.", show_default=False)],
    new_key: NewKey,
    connection: Connection,
    *,
    sink: Annotated[
        str | None,
        typer.Option(
            help="Write the key to a new file that only you can read, as file:PATH, and its hash "
            "to standard output.",
            metavar="WHERE",
        ),
    ] = None,
    form: Annotated[
        NewKeyFormat,
        typer.Option(
            "--format",
            "-f",
            help="key: the key alone; json: the record with it.",
            metavar="FORMAT",
        ),
    ] = NewKeyFormat.KEY,
) -> int:
    """Create a key and show it, this once, on standard output.

    Everything else that is said goes to standard error. A create that may have
    arrived is never sent again: exit code 5 says that a key may exist.

    [bold]Examples[/bold]

    KEY=$(openrouter-keys create acme --limit 50 --limit-reset monthly)
    openrouter-keys create acme -w production --sink file:./acme.key
    openrouter-keys create acme --format json | jq -r .data.hash
    """
    external = new_key.external()
    new_key.byok()
    with ExitStack() as stack:
        destination = stack.enter_context(standard_output())
        session = stack.enter_context(connection.open())
        opened = stack.enter_context(opened_sink(sink)) if sink is not None else None
        delivery = Delivery(destination, opened, as_json=form is NewKeyFormat.JSON)
        return session.run(_create(session.client, name, new_key, external, delivery))


async def _create(
    client: AsyncOpenRouter,
    name: str,
    new_key: NewKey,
    external: External | None,
    delivery: Delivery,
) -> int:
    """Create and deliver; after the answer there is no wait, so Ctrl-C cannot come between."""
    workspace = await workspace_id(client, new_key.workspace) if new_key.workspace else None
    answer = await client.api_keys.create(
        name,
        limit=given(new_key.limit),
        limit_reset=given(new_key.limit_reset),
        expires_at=given(new_key.expires_at),
        include_byok_in_limit=new_key.byok(),
        creator_user_id=given(new_key.creator_user_id),
        workspace_id=given(workspace),
        external=given(external),
    )
    return delivery.deliver(answer)
