"""The command create, and the delivery of a new key's plaintext."""

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
from openrouter_async.cli._options import byok, or_omitted, workspace_id
from openrouter_async.cli._output import Destination, OutputGoneError, standard_output
from openrouter_async.cli._session import Connection
from openrouter_async.cli._sinks import HELP, rescue, sink_for
from openrouter_async.client import AsyncOpenRouter
from openrouter_async.models import APIKey, CreateKeysResponse, External, LimitReset
from openrouter_async.provisioning import ProvisionedKey, Sink
from openrouter_async.report import created_line, json_text, plain


@attrs.frozen
class Delivery:
    """Delivery of a new key to a destination that is opened before the create."""

    _destination: Destination
    _as_json: bool = attrs.field(default=False, kw_only=True, alias="as_json")

    def deliver(self, response: CreateKeysResponse) -> int:
        """Write the plaintext, report the key, return the exit code; raises `CommandError`."""
        # `.data` raises if the record could not be read; the plaintext is there all the same.
        record = None if response.problem else response.data
        self._print(response, record)
        if record is None:
            warn(f"its record could not be read ({plain(str(response.problem))})")
            return Exit.INCOMPLETE
        return Exit.DONE

    def report(self, key: ProvisionedKey) -> int:
        """Report a key whose plaintext is in its sink; returns the exit code."""
        if key.data is not None:
            tell(created_line(key.data))
        tell(f"the key is in {key.sink}; it will not be shown again")
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
            problem = OSError("its reader has gone")
        if problem is not None:
            raise problem

    def _print(self, response: CreateKeysResponse, record: APIKey | None) -> None:
        text = f"{response.key}\n"
        if self._as_json:
            text = json_text({"data": _delivered(record), "key": response.key})
        try:
            self._destination.write(text)
        except (CommandError, OutputGoneError):
            failed = True
        else:
            failed = False
        if failed:
            raise _saved_elsewhere("standard output could not be written", response, record)
        if record is not None:
            tell(created_line(record))
        tell("the key is on standard output; it will not be shown again")


def _delivered(record: APIKey | None) -> dict[str, Any] | None:
    return to_dict(record) if record else None


def _saved_elsewhere(
    failure: str, response: CreateKeysResponse, record: APIKey | None
) -> CommandError:
    """Save the plaintext to a file and return the error that names it.

    The key exists by now, and there is no other copy of its plaintext.
    """
    hash = record.hash if record else ""
    place = rescue(response.secret, hash)
    created = created_line(record) if record else "a key was created"
    if place is not None:
        advice = [created, f"the key was saved to {place}, readable only by you"]
    else:
        advice = [created, "the key could not be saved anywhere and is lost; delete it with:"]
        advice.append(f"  openrouter-keys delete {plain(hash) or 'HASH'}")
    return CommandError(failure, Exit.FAILED, advice)


class NewKeyFormat(enum.StrEnum):
    """What to write to standard output."""

    KEY = "key"
    JSON = "json"


@attrs.frozen(kw_only=True)
class NewKey:
    """Options that describe the new key."""

    limit: Annotated[
        float | None, typer.Option(help="Spending limit; none if omitted.", metavar="USD")
    ] = None
    limit_reset: Annotated[
        LimitReset | None,
        typer.Option(help="daily, weekly or monthly; never if omitted.", metavar="WHEN"),
    ] = None
    expires_at: Annotated[
        str | None,
        typer.Option(help="Such as 2026-12-31T00:00:00Z; never if omitted.", metavar="TIME"),
    ] = None
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
            "--workspace", "-w", help="Id, slug or name; the default one if omitted.", metavar="ID"
        ),
    ] = None
    creator_user_id: Annotated[
        str | None, typer.Option(help="The organization member it is for.", metavar="ID")
    ] = None
    external_user: Annotated[
        str | None, typer.Option(help="For partners: your user's id.", metavar="ID")
    ] = None
    external_key_file: Annotated[
        Path | None,
        typer.Option(help="For partners: a file with that user's own key.", metavar="PATH"),
    ] = None

    def byok(self) -> bool | Omitted:
        """Return `include_byok_in_limit`; raises `CommandError` if both flags are set."""
        return byok(include=self.include_byok_in_limit, exclude=self.no_include_byok_in_limit)

    def external(self) -> External | None:
        """Return the partner's user; None without --external-user. Raises `CommandError`."""
        if self.external_user is None:
            if self.external_key_file is not None:
                raise CommandError("--external-key-file requires --external-user")
            return None
        if self.external_key_file is None:
            return External(user=self.external_user)
        key = key_from_file(self.external_key_file, "--external-key-file")
        return External(user=self.external_user, api_key=key)


def create(
    name: Annotated[str, typer.Argument(help="The key's name.", show_default=False)],
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
            help="key: only the key; json: the record and the key.",
            metavar="FORMAT",
        ),
    ] = NewKeyFormat.KEY,
) -> int:
    """Create a key and show it, only this once, on standard output.

    All other messages go to standard error. A create that may have reached the
    service is never sent again: exit code 5 means that a key may exist.

    [bold]Examples[/bold]

    KEY=$(openrouter-keys create acme --limit 50 --limit-reset monthly)
    openrouter-keys create acme -w production --sink file:./acme.key
    openrouter-keys create acme --sink dotenv:.env:OPENROUTER_API_KEY
    openrouter-keys create acme --format json | jq -r .data.hash
    """
    external = new_key.external()
    new_key.byok()  # fails on contradicting flags before anything is opened
    with ExitStack() as stack:
        destination = stack.enter_context(standard_output())
        session = stack.enter_context(connection.open())
        delivery = Delivery(destination, as_json=form is NewKeyFormat.JSON)
        request = _CreateRequest(session.client, name, new_key, external)
        if sink is None:
            return session.run(_create(request, delivery))
        return session.run(_provision(request, sink_for(sink, delivery.print_key), delivery))


@attrs.frozen
class _CreateRequest:
    """The key to create, and the client that creates it."""

    client: AsyncOpenRouter
    name: str
    new_key: NewKey
    external: External | None

    async def params(self) -> dict[str, Any]:
        """Return the params other than the name; resolving a workspace's name sends a request."""
        key = self.new_key
        workspace = await workspace_id(self.client, key.workspace) if key.workspace else None
        return {
            "limit": or_omitted(key.limit),
            "limit_reset": or_omitted(key.limit_reset),
            "expires_at": or_omitted(key.expires_at),
            "include_byok_in_limit": key.byok(),
            "creator_user_id": or_omitted(key.creator_user_id),
            "workspace_id": or_omitted(workspace),
            "external": or_omitted(self.external),
        }


async def _create(request: _CreateRequest, delivery: Delivery) -> int:
    """Create the key and deliver its plaintext."""
    params = await request.params()
    response = await request.client.api_keys.create(request.name, **params)
    # No await from here on: Ctrl-C cannot come between the response and its delivery.
    return delivery.deliver(response)


async def _provision(request: _CreateRequest, sink: Sink, delivery: Delivery) -> int:
    """Create the key with a journal, and report it once its plaintext is in the sink."""
    params = await request.params()
    key = await request.client.api_keys.provision(request.name, sink=sink, **params)
    return delivery.report(key)
