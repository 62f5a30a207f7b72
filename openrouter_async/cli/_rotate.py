"""The commands that replace a key, and that go on with what was interrupted."""

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
        help="Where unfinished work is remembered; else $XDG_STATE_HOME/openrouter_async/journal.",
        metavar="PATH",
    ),
]
_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}


@attrs.frozen(kw_only=True)
class RotateOptions:
    """What to do with a rotation."""

    sink: Annotated[str | None, typer.Option(help=HELP, metavar="WHERE")] = None
    replace: Annotated[
        bool,
        typer.Option("--replace", metavar="", help="Put it in place of what the sink has now."),
    ] = False
    finish: Annotated[
        bool,
        typer.Option(
            "--finish", metavar="", help="Delete old keys that are disabled longer than the grace."
        ),
    ] = False
    grace: Annotated[
        str, typer.Option(help="RotateOptions long, such as 90s, 30m, 24h or 7d.", metavar="TIME")
    ] = "24h"
    roll_back: Annotated[
        bool,
        typer.Option("--roll-back", metavar="", help="Enable the old key, delete the new one."),
    ] = False
    verify_within: Annotated[
        float, typer.Option(help="Until the new key must answer.", metavar="SECONDS", min=0)
    ] = 30.0
    allow_unguarded: Annotated[
        bool,
        typer.Option(
            "--allow-unguarded", metavar="", help="Rotate even if the new key lacks a guardrail."
        ),
    ] = False
    journal_dir: JournalOption = None

    def check(self, hash: str | None) -> None:
        """Refuse what does not go together; raises `CommandError`."""
        ways = [self.sink is not None, self.finish, self.roll_back]
        if sum(ways) != 1:
            raise CommandError("give one of --sink, --finish and --roll-back")
        if self.finish == (hash is not None):
            raise CommandError("--finish takes no HASH; --sink and --roll-back do")
        if hash is not None:
            _checks.key_hash("HASH", hash)


def rotate(
    how: RotateOptions,
    connection: Connection,
    *,
    hash: Annotated[
        str | None, typer.Argument(help="The old key's hash.", metavar="[HASH]", show_default=False)
    ] = None,
) -> int:
    """Replace a key: make a twin, store it, see that it works, disable the old one.

    The old key is deleted by --finish, a day later by default, and only if it was
    not used since. A rotation that stopped goes on when it is called again.
    The new key never has more than the old one: of a limit that never resets it
    gets what is left, and a key with a guardrail is refused.

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
    delivery.tell_of(done.new)
    if done.limit != done.old_limit:
        tell(f"its limit is {done.limit} USD: what was left of {done.old_limit}")
    for sentence in done.left_behind:
        tell(f"not carried: {plain(sentence)}")
    tell(f"{done.old_hash} is disabled; to delete it later: openrouter-keys rotate --finish")
    return Exit.DONE


def _roll_back(session: Session, hash: str, how: RotateOptions) -> int:
    old = session.run(session.client.api_keys.roll_back(hash, journal_dir=how.journal_dir))
    tell(f"{plain(old.name)!r} is enabled again, and its successor deleted")
    return Exit.DONE


def _finish(session: Session, how: RotateOptions, grace: timedelta) -> int:
    told = session.run(
        session.client.api_keys.finish_rotations(grace=grace, journal_dir=how.journal_dir)
    )
    for each in told:
        tell(f"{each.outcome} {each.old_hash}: {plain(each.reason)}")
    if not told:
        tell("no rotation is pending")
    odd = {Outcome.KEPT, Outcome.FAILED} & {each.outcome for each in told}
    return Exit.INCOMPLETE if odd else Exit.DONE


def _span(text: str) -> timedelta:
    """Read a time such as 24h; raises `CommandError`."""
    found = re.fullmatch(r"(\d{1,6})([smhd])", text.strip())
    if found is None:
        raise CommandError(f"--grace must be a time such as 90s, 30m, 24h or 7d: {plain(text)}")
    return timedelta(seconds=int(found[1]) * _UNITS[found[2]])


@attrs.frozen(kw_only=True)
class RecoverOptions:
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
        float, typer.Option(help="RecoverOptions long to look for keys.", metavar="SECONDS", min=0)
    ] = 0.0
    journal_dir: JournalOption = None


def recover(
    how: RecoverOptions, connection: Connection, *, form: RecordOption = RecordFormat.TABLE
) -> int:
    """List interrupted creates and rotations, and what can be done about them.

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
        _show_interrupted(destination, left, as_json=form is RecordFormat.JSON)
    return Exit.INCOMPLETE if any(item.state is not State.PENDING for item in left) else Exit.DONE


def _dismissed(items: Sequence[Unfinished], names: Sequence[str]) -> list[Unfinished]:
    """Forget those that are named; raises `CommandError` for a name that is none."""
    by_name = {_name_of(item): item for item in items}
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
    lines += [f"  not carried: {plain(sentence)}" for sentence in item.left_behind]
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
