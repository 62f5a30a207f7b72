"""The commands rotate and recover."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Final

import attrs
import typer

from openrouter_async import _checks
from openrouter_async._converter import to_dict
from openrouter_async.cli._console import complain, tell
from openrouter_async.cli._create import Delivery
from openrouter_async.cli._exits import CommandError, Exit, explain
from openrouter_async.cli._output import Destination, standard_output
from openrouter_async.cli._session import Connection, Session
from openrouter_async.cli._sheet import RecordFormat, RecordOption
from openrouter_async.cli._sinks import HELP, sink_for
from openrouter_async.errors import OpenRouterError
from openrouter_async.provisioning import Outcome, Sink, State, Unfinished, dismiss
from openrouter_async.report import json_text, minute, plain

JournalOption = Annotated[
    Path | None,
    typer.Option(
        help="Folder that records unfinished work; defaults to "
        "$XDG_STATE_HOME/openrouter_async/journal.",
        metavar="PATH",
    ),
]
_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}


@attrs.frozen(kw_only=True)
class RotateOptions:
    """Options of rotate."""

    sink: Annotated[str | None, typer.Option(help=HELP, metavar="WHERE")] = None
    replace: Annotated[
        bool,
        typer.Option("--replace", metavar="", help="Replace the present content of the sink."),
    ] = False
    finish: Annotated[
        bool,
        typer.Option(
            "--finish",
            metavar="",
            help="Delete old keys that have been disabled for longer than --grace.",
        ),
    ] = False
    grace: Annotated[
        str, typer.Option(help="Grace period, such as 90s, 30m, 24h or 7d.", metavar="TIME")
    ] = "24h"
    roll_back: Annotated[
        bool,
        typer.Option(
            "--roll-back", metavar="", help="Enable the old key again and delete the new one."
        ),
    ] = False
    verify_within: Annotated[
        float, typer.Option(help="Time for the new key to work.", metavar="SECONDS", min=0)
    ] = 30.0
    allow_unguarded: Annotated[
        bool,
        typer.Option(
            "--allow-unguarded",
            metavar="",
            help="Rotate even if the new key will lack a guardrail.",
        ),
    ] = False
    journal_dir: JournalOption = None

    def check(self, hash: str | None) -> None:
        """Check that the options and HASH fit together; raises `CommandError`."""
        modes = [self.sink is not None, self.finish, self.roll_back]
        if sum(modes) != 1:
            raise CommandError("pass exactly one of --sink, --finish and --roll-back")
        if self.finish == (hash is not None):
            raise CommandError("--sink and --roll-back require HASH, and --finish takes none")
        if hash is not None:
            _checks.key_hash("HASH", hash)


def rotate(
    how: RotateOptions,
    connection: Connection,
    *,
    hash: Annotated[
        str | None, typer.Argument(help="The old key's hash.", metavar="HASH", show_default=False)
    ] = None,
) -> int:
    """Replace a key: create a copy, store it, check that it works, disable the old key.

    The old key is deleted later by --finish, after a day by default, and only if
    it has not been used since. Run the command again to continue a rotation that
    has stopped. The new key never has more than the old one: it gets the
    remainder of a limit that never resets, and a key with a guardrail is refused.

    [bold]Examples[/bold]

    openrouter-keys rotate HASH --sink file:./acme.key --replace
    openrouter-keys rotate HASH --sink dotenv:.env:OPENROUTER_API_KEY --replace
    openrouter-keys rotate --finish --grace 24h
    """
    how.check(hash)
    grace = _span(how.grace)
    with ExitStack() as stack:
        destination = stack.enter_context(standard_output())
        delivery = Delivery(destination)
        sink = None
        if how.sink is not None:
            sink = sink_for(how.sink, delivery.print_key, replace=how.replace)
        session = stack.enter_context(connection.open())
        if hash is None:
            return _finish(session, how, grace)
        if sink is None:
            return _roll_back(session, hash, how)
        return _rotate(session, hash, sink, how, delivery)


def _rotate(session: Session, hash: str, sink: Sink, how: RotateOptions, delivery: Delivery) -> int:
    done = session.run(
        session.client.api_keys.rotate(
            hash,
            sink=sink,
            verify_within=how.verify_within,
            journal_dir=how.journal_dir,
            allow_unguarded=how.allow_unguarded,
        )
    )
    delivery.report(done.new)
    if done.limit != done.old_limit:
        tell(f"its limit is {done.limit} USD, the remainder of {done.old_limit} USD")
    for sentence in done.left_behind:
        tell(f"not carried over: {plain(sentence)}")
    tell(f"{done.old_hash} is disabled; to delete it later: openrouter-keys rotate --finish")
    return Exit.DONE


def _roll_back(session: Session, hash: str, how: RotateOptions) -> int:
    old = session.run(session.client.api_keys.roll_back(hash, journal_dir=how.journal_dir))
    tell(f"{plain(old.name)!r} is enabled again, and its successor is deleted")
    return Exit.DONE


def _finish(session: Session, how: RotateOptions, grace: timedelta) -> int:
    rotations = session.run(
        session.client.api_keys.finish_rotations(grace=grace, journal_dir=how.journal_dir)
    )
    for each in rotations:
        tell(f"{each.outcome} {each.old_hash}: {plain(each.reason)}")
    if not rotations:
        tell("no rotation is pending")
    undone = {Outcome.KEPT, Outcome.FAILED} & {each.outcome for each in rotations}
    return Exit.INCOMPLETE if undone else Exit.DONE


def _span(text: str) -> timedelta:
    """Parse a duration such as 24h; raises `CommandError`."""
    found = re.fullmatch(r"(\d{1,6})([smhd])", text.strip())
    if found is None:
        raise CommandError(f"--grace must be a duration such as 90s, 30m, 24h or 7d: {plain(text)}")
    return timedelta(seconds=int(found[1]) * _UNITS[found[2]])


@attrs.frozen(kw_only=True)
class RecoverOptions:
    """Options of recover."""

    resume: Annotated[
        bool,
        typer.Option("--resume", metavar="", help="Continue whatever needs no decision."),
    ] = False
    sink: Annotated[
        str | None,
        typer.Option(help=f"With --resume: use another sink. {HELP}", metavar="WHERE"),
    ] = None
    dismiss: Annotated[
        list[str] | None,
        typer.Option(
            help="Discard this journal and any plaintext in it; may be repeated.",
            metavar="JOURNAL",
        ),
    ] = None
    within: Annotated[
        float,
        typer.Option(help="Time to keep looking for candidate keys.", metavar="SECONDS", min=0),
    ] = 0.0
    journal_dir: JournalOption = None


def recover(
    how: RecoverOptions, connection: Connection, *, form: RecordOption = RecordFormat.TABLE
) -> int:
    """List interrupted creates and rotations, with advice on each.

    Changes nothing without --resume or --dismiss. Exit code 4 means that
    something needs a decision.

    [bold]Examples[/bold]

    openrouter-keys recover
    openrouter-keys recover --resume
    openrouter-keys recover --dismiss 20260801T100000-1a2b3c4d
    """
    if how.sink is not None and not how.resume:
        raise CommandError("--sink requires --resume")
    with ExitStack() as stack:
        destination = stack.enter_context(standard_output())
        sink = sink_for(how.sink, Delivery(destination).print_key) if how.sink else None
        session = stack.enter_context(connection.open())
        find = session.client.api_keys.recover(journal_dir=how.journal_dir, within=how.within)
        left = _dismissed(session.run(find), how.dismiss or [])
        if how.resume:
            left = [still for item in left for still in _resumed(session, item, sink)]
        _show_interrupted(destination, left, as_json=form is RecordFormat.JSON)
    return Exit.INCOMPLETE if any(item.state is not State.PENDING for item in left) else Exit.DONE


def _dismissed(items: Sequence[Unfinished], names: Sequence[str]) -> list[Unfinished]:
    """Dismiss the named journals and return the rest; raises `CommandError` for unknown names."""
    by_name = {_name_of(item): item for item in items}
    for name in names:
        if name not in by_name:
            raise CommandError(f"--dismiss: no journal {plain(name)!r}")
    for name in names:
        dismiss(by_name.pop(name))
        tell(f"dismissed {name}")
    return list(by_name.values())


def _resumed(session: Session, item: Unfinished, sink: Sink | None) -> list[Unfinished]:
    """Resume one item and return what is left of it; a failure does not stop the others."""
    try:
        still = session.run(session.client.api_keys.resume(item, sink=sink))
    except OpenRouterError as error:
        complain(CommandError(f"{_name_of(item)}: {explain(error).message}"))
        return [item]
    if still is None:
        tell(f"finished {_name_of(item)}: {plain(item.name)!r}")
        return []
    return [attrs.evolve(still, candidates=item.candidates)]


def _show_interrupted(
    destination: Destination, items: Sequence[Unfinished], *, as_json: bool
) -> None:
    if as_json:
        destination.write(json_text({"data": [_document(item) for item in items]}))
        return
    for item in items:
        destination.show("".join(f"{line}\n" for line in _lines(item)))
    if not items:
        tell("nothing is unfinished")


def _lines(item: Unfinished) -> list[str]:
    lines = [f"{_name_of(item)}  {item.state}  {plain(item.name)!r}", f"  {item.advice}"]
    if item.not_before is not None:
        lines.append(f"  asked for at {minute(item.not_before)}")
    if item.hash:
        lines.append(f"  new key: {plain(item.hash)}")
    if item.old_hash:
        lines.append(f"  old key: {plain(item.old_hash)}")
    lines += [f"  not carried over: {plain(sentence)}" for sentence in item.left_behind]
    for key in item.candidates or ():
        lines.append(f"  candidate: {plain(key.hash)}, created {minute(key.created_at)}")
        lines.append(f"    openrouter-keys delete {plain(key.hash)}")
    if item.state in (State.MAYBE, State.DAMAGED):
        lines.append(f"  openrouter-keys recover --dismiss {_name_of(item)}")
    return lines


def _document(item: Unfinished) -> dict[str, Any]:
    shown = {"kind", "state", "name", "workspace_id", "hash", "old_hash", "journal", "advice"}
    shown |= {"limit", "left_behind"}
    candidates = None if item.candidates is None else [to_dict(key) for key in item.candidates]
    return {**{name: getattr(item, name) for name in sorted(shown)}, "candidates": candidates}


def _name_of(item: Unfinished) -> str:
    return Path(item.journal).stem
