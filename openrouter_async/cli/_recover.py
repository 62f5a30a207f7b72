"""The command that says what was begun and did not come to its end, and goes on with it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any

import attrs
import typer

from openrouter_async._converter import to_dict
from openrouter_async.cli._delivery import Delivery
from openrouter_async.cli._exits import CommandError, Exit, explain
from openrouter_async.cli._groups import command
from openrouter_async.cli._messages import complain, tell
from openrouter_async.cli._output import Destination, standard_output
from openrouter_async.cli._rotate import JournalOption
from openrouter_async.cli._session import Connection, Session
from openrouter_async.cli._sheet import RecordFormat, RecordOption
from openrouter_async.cli._sinks import HELP, sink_for
from openrouter_async.errors import OpenRouterError
from openrouter_async.provisioning import Sink, State, Unfinished, dismiss
from openrouter_async.report import json_text, minute, plain


@attrs.frozen(kw_only=True)
class How:
    """What to do about it."""

    resume: Annotated[
        bool,
        typer.Option("--resume", metavar="", help="Do what needs no decision."),
    ] = False
    sink: Annotated[
        str | None, typer.Option(help=f"With --resume, another sink. {HELP}", metavar="WHERE")
    ] = None
    dismiss: Annotated[
        list[str] | None,
        typer.Option(
            help="Forget this one, with a plaintext that it may have; may be repeated.",
            metavar="JOURNAL",
        ),
    ] = None
    within: Annotated[
        float, typer.Option(help="How long to look for keys.", metavar="SECONDS", min=0)
    ] = 0.0
    journal_dir: JournalOption = None


def register(app: typer.Typer) -> None:
    """Add the command."""
    command(app, "recover")(recover)


def recover(how: How, connection: Connection, *, form: RecordOption = RecordFormat.TABLE) -> int:
    """Say what creates and rotations were interrupted, and what can be done.

    Nothing is changed without --resume or --dismiss. Exit code 4 says that
    something needs a decision.

    [bold]Examples[/bold]

    openrouter-keys recover
    openrouter-keys recover --resume
    openrouter-keys recover --dismiss 20260801T100000-1a2b3c4d
    """
    if how.sink is not None and not how.resume:
        raise CommandError("--sink goes with --resume")
    with ExitStack() as stack:
        destination = stack.enter_context(standard_output())
        sink = sink_for(how.sink, Delivery(destination).print_key) if how.sink else None
        session = stack.enter_context(connection.open())
        find = session.client.api_keys.recover(journal_dir=how.journal_dir, within=how.within)
        left = _dismissed(session.run(find), how.dismiss or [])
        if how.resume:
            left = [still for item in left for still in _resumed(session, item, sink)]
        _show(destination, left, as_json=form is RecordFormat.JSON)
    return Exit.INCOMPLETE if any(item.state is not State.PENDING for item in left) else Exit.DONE


def _dismissed(items: Sequence[Unfinished], names: Sequence[str]) -> list[Unfinished]:
    """Forget those that are named; raises `CommandError` for a name that is none."""
    by_name = {_name(item): item for item in items}
    for name in names:
        if name not in by_name:
            raise CommandError(f"--dismiss: there is no {plain(name)!r}")
    for name in names:
        dismiss(by_name.pop(name))
        tell(f"forgot {name}")
    return list(by_name.values())


def _resumed(session: Session, item: Unfinished, sink: Sink | None) -> list[Unfinished]:
    """Go on with one; one that fails does not stop the others."""
    try:
        still = session.run(session.client.api_keys.resume(item, sink=sink))
    except OpenRouterError as error:
        complain(CommandError(f"{_name(item)}: {explain(error).message}"))
        return [item]
    if still is None:
        tell(f"finished {_name(item)}: {plain(item.name)!r}")
        return []
    return [attrs.evolve(still, candidates=item.candidates)]


def _show(destination: Destination, items: Sequence[Unfinished], *, as_json: bool) -> None:
    if as_json:
        destination.write(json_text({"data": [_document(item) for item in items]}))
        return
    for item in items:
        destination.show("".join(f"{line}\n" for line in _lines(item)))
    if not items:
        tell("nothing is unfinished")


def _lines(item: Unfinished) -> list[str]:
    lines = [f"{_name(item)}  {item.state}  {plain(item.name)!r}", f"  {item.advice}"]
    if item.not_before is not None:
        lines.append(f"  asked for at {minute(item.not_before)}")
    if item.hash:
        lines.append(f"  new key: {plain(item.hash)}")
    if item.old_hash:
        lines.append(f"  old key: {plain(item.old_hash)}")
    lines += [f"  not carried: {plain(sentence)}" for sentence in item.left_behind]
    for key in item.candidates or ():
        lines.append(f"  candidate: {plain(key.hash)}, created {minute(key.created_at)}")
        lines.append(f"    openrouter-keys delete {plain(key.hash)}")
    if item.state in (State.MAYBE, State.DAMAGED):
        lines.append(f"  openrouter-keys recover --dismiss {_name(item)}")
    return lines


def _document(item: Unfinished) -> dict[str, Any]:
    shown = {"kind", "state", "name", "workspace_id", "hash", "old_hash", "journal", "advice"}
    shown |= {"limit", "left_behind"}
    candidates = None if item.candidates is None else [to_dict(key) for key in item.candidates]
    return {**{name: getattr(item, name) for name in sorted(shown)}, "candidates": candidates}


def _name(item: Unfinished) -> str:
    return Path(item.journal).stem
