"""The command that replaces a key by a new one, and later deletes the old."""

from __future__ import annotations

import re
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Final

import attrs
import typer

from openrouter_async import _checks
from openrouter_async.cli._delivery import Delivery
from openrouter_async.cli._exits import CommandError, Exit
from openrouter_async.cli._groups import command
from openrouter_async.cli._messages import tell
from openrouter_async.cli._output import standard_output
from openrouter_async.cli._session import Connection, Session
from openrouter_async.cli._sinks import HELP, sink_for
from openrouter_async.provisioning import Outcome, Sink
from openrouter_async.report import plain

JournalOption = Annotated[
    Path | None,
    typer.Option(
        help="Where unfinished work is remembered; else $XDG_STATE_HOME/openrouter_async/journal.",
        metavar="PATH",
    ),
]
_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}


@attrs.frozen(kw_only=True)
class How:
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
        str, typer.Option(help="How long, such as 90s, 30m, 24h or 7d.", metavar="TIME")
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


def register(app: typer.Typer) -> None:
    """Add the command."""
    command(app, "rotate")(rotate)


def rotate(
    how: How,
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


def _rotate(session: Session, hash: str, sink: Sink, how: How, delivery: Delivery) -> int:
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


def _roll_back(session: Session, hash: str, how: How) -> int:
    old = session.run(session.client.api_keys.roll_back(hash, journal_dir=how.journal_dir))
    tell(f"{plain(old.name)!r} is enabled again, and its successor deleted")
    return Exit.DONE


def _finish(session: Session, how: How, grace: timedelta) -> int:
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
