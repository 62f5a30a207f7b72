"""The command that makes a key, and how its plaintext is delivered."""

from __future__ import annotations

import enum
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any

import attrs
import typer

from openrouter_async._converter import to_dict
from openrouter_async._options import Omitted
from openrouter_async.cli._console import tell, warn
from openrouter_async.cli._credentials import key_from_file
from openrouter_async.cli._exits import CommandError, Exit
from openrouter_async.cli._options import byok, given, workspace_id
from openrouter_async.cli._output import Destination, OutputGoneError, standard_output
from openrouter_async.cli._session import Connection
from openrouter_async.cli._sinks import HELP, rescue, sink_for
from openrouter_async.client import AsyncOpenRouter
from openrouter_async.models import APIKey, CreateKeysResponse, External, LimitReset
from openrouter_async.provisioning import ProvisionedKey, Sink
from openrouter_async.report import created_line, json_text, plain


@attrs.frozen
class Delivery:
    """Where plaintext and record go; the way is open before the key exists."""

    _destination: Destination
    _as_json: bool = attrs.field(default=False, kw_only=True, alias="as_json")

    def deliver(self, answer: CreateKeysResponse) -> int:
        """Hand the plaintext over first, then tell of it; raises `CommandError`."""
        record = None if answer.problem else answer.data
        self._print(answer, record)
        if record is None:
            warn(f"its record could not be read ({plain(str(answer.problem))})")
            return Exit.INCOMPLETE
        return Exit.DONE

    def tell_of(self, key: ProvisionedKey) -> int:
        """Tell of a key whose plaintext is where it belongs."""
        if key.data is not None:
            tell(created_line(key.data))
        tell(f"the key is in {key.sink}; it is not shown again")
        if self._as_json:
            document = {"data": _delivered(key.data), "key_stored_in": key.sink}
            self._destination.write(json_text(document))
        elif key.sink != "standard output":
            self._destination.write(f"{key.hash}\n" if key.hash else "")
        return Exit.DONE if key.data else Exit.INCOMPLETE

    def print_key(self, key: ProvisionedKey) -> None:
        """Write the plaintext; raises `OSError`."""
        problem = None
        try:
            self._destination.write(f"{key.secret.reveal()}\n")
        except CommandError as error:
            problem = OSError(error.message)
        except OutputGoneError:
            problem = OSError("nobody reads it")
        if problem is not None:
            raise problem

    def _print(self, answer: CreateKeysResponse, record: APIKey | None) -> None:
        text = f"{answer.key}\n"
        if self._as_json:
            text = json_text({"data": _delivered(record), "key": answer.key})
        try:
            self._destination.write(text)
        except (CommandError, OutputGoneError):
            failed = True
        else:
            failed = False
        if failed:
            raise _saved_elsewhere("standard output could not be written", answer, record)
        if record is not None:
            tell(created_line(record))
        tell("the key is on standard output; it is not shown again")


def _delivered(record: APIKey | None) -> dict[str, Any] | None:
    return to_dict(record) if record else None


def _saved_elsewhere(
    failure: str, answer: CreateKeysResponse, record: APIKey | None
) -> CommandError:
    """Save the plaintext where it can be found; there is a key now, and no other copy."""
    hash = record.hash if record else ""
    place = rescue(answer.secret, hash)
    made = created_line(record) if record else "a key was created"
    if place is not None:
        advice = [made, f"the key was saved to {place}, which only you can read"]
    else:
        advice = [made, "the key could not be saved anywhere and is lost; end it with:"]
        advice.append(f"  openrouter-keys delete {plain(hash) or 'HASH'}")
    return CommandError(failure, Exit.FAILED, advice)


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
        """Return what was said about own provider keys; raises `CommandError`."""
        return byok(include=self.include_byok_in_limit, exclude=self.no_include_byok_in_limit)

    def external(self) -> External | None:
        """Return the partner's identity; raises `CommandError`."""
        if self.external_user is None:
            if self.external_key_file is not None:
                raise CommandError("--external-key-file needs --external-user")
            return None
        if self.external_key_file is None:
            return External(user=self.external_user)
        key = key_from_file(self.external_key_file, "--external-key-file")
        return External(user=self.external_user, api_key=key)


def create(
    name: Annotated[str, typer.Argument(help="What it is called.", show_default=False)],
    new_key: NewKey,
    connection: Connection,
    *,
    sink: Annotated[
        str | None,
        typer.Option(help=HELP, metavar="WHERE", show_default="standard output"),
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
    openrouter-keys create acme --sink dotenv:.env:OPENROUTER_API_KEY
    openrouter-keys create acme --format json | jq -r .data.hash
    """
    external = new_key.external()
    new_key.byok()
    with ExitStack() as stack:
        destination = stack.enter_context(standard_output())
        session = stack.enter_context(connection.open())
        delivery = Delivery(destination, as_json=form is NewKeyFormat.JSON)
        made = _Made(session.client, name, new_key, external)
        if sink is None:
            return session.run(_create(made, delivery))
        return session.run(_provision(made, sink_for(sink, delivery.print_key), delivery))


@attrs.frozen
class _Made:
    """What shall be made, and who makes it."""

    client: AsyncOpenRouter
    name: str
    new_key: NewKey
    external: External | None

    async def given(self) -> dict[str, Any]:
        """Return the parameters; a workspace's name costs a request."""
        key = self.new_key
        workspace = await workspace_id(self.client, key.workspace) if key.workspace else None
        return {
            "limit": given(key.limit),
            "limit_reset": given(key.limit_reset),
            "expires_at": given(key.expires_at),
            "include_byok_in_limit": key.byok(),
            "creator_user_id": given(key.creator_user_id),
            "workspace_id": given(workspace),
            "external": given(self.external),
        }


async def _create(made: _Made, delivery: Delivery) -> int:
    """Create and deliver; after the answer there is no wait, so Ctrl-C cannot come between."""
    return delivery.deliver(await made.client.api_keys.create(made.name, **await made.given()))


async def _provision(made: _Made, sink: Sink, delivery: Delivery) -> int:
    """Create with a journal, and tell of it when the plaintext is where it belongs."""
    given = await made.given()
    return delivery.tell_of(await made.client.api_keys.provision(made.name, sink=sink, **given))
