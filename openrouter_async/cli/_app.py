"""The typer app: the table of commands, the top-level help and the handling of usage errors."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Final

import typer

from openrouter_async._version import __version__
from openrouter_async.cli._audit import audit, diff
from openrouter_async.cli._bulk import bulk
from openrouter_async.cli._changes import delete, update
from openrouter_async.cli._console import complain, mute
from openrouter_async.cli._create import create
from openrouter_async.cli._exits import MEANINGS, CommandError, Exit
from openrouter_async.cli._output import guard_descriptors
from openrouter_async.cli._reads import get_key, list_keys, show_workspaces, whoami
from openrouter_async.cli._rotate import recover, rotate
from openrouter_async.cli._run import Command, command
from openrouter_async.cli._sandbox import sandbox
from openrouter_async.report import plain

COMMANDS: Final[Mapping[str, Command]] = {
    "audit": audit,
    "diff": diff,
    "list": list_keys,
    "get": get_key,
    "whoami": whoami,
    "workspaces": show_workspaces,
    "create": create,
    "update": update,
    "delete": delete,
    "rotate": rotate,
    "recover": recover,
    "bulk": bulk,
    "sandbox": sandbox,
}

_ENVIRONMENT: Final = """\
[bold]Environment[/bold]
OPENROUTER_API_KEY: the key; every command but whoami needs a management key.
OPENROUTER_BASE_URL: another server, such as a sandbox.
NO_COLOR: disables colours. COLUMNS: the width of tables."""
_EXIT_CODES: Final = "\n".join(
    ["[bold]Exit codes[/bold]", *(f"{code:>3}: {meaning}." for code, meaning in MEANINGS.items())]
)
_BEGINNING: Final = """\
[bold]Getting started[/bold]
openrouter-keys audit --sandbox
openrouter-keys whoami
openrouter-keys audit --fail-on critical"""

app = typer.Typer(
    name="openrouter-keys",
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,  # they would show local variables, and so secrets
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=f"{_ENVIRONMENT}\n\n{_EXIT_CODES}\n\n{_BEGINNING}",
)
for name, function in COMMANDS.items():
    command(app, name)(function)


def _show_version(requested: bool) -> None:  # noqa: FBT001  # typer passes it by position
    if requested:
        typer.echo(f"openrouter-keys {__version__} (Python {sys.version.split()[0]})")
        raise typer.Exit


@app.callback()
def describe(
    *,
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, metavar="", help="Show the version."
        ),
    ] = False,
) -> None:
    """Audit and manage the API keys of an OpenRouter account.

    A key is never read from the command line: set OPENROUTER_API_KEY, or pass
    --key-file or --key-stdin to a command. Use --sandbox to try any command
    without a key.
    """


def run(arguments: Sequence[str]) -> int:
    """Run the command and return its exit code; usage errors are reported in one line too."""
    guard_descriptors()
    try:
        code = _dispatch(arguments)
        sys.stdout.flush()  # here a failure can still be reported
    except BrokenPipeError:
        mute(sys.stdout)
        return Exit.BROKEN_PIPE
    except OSError as error:
        mute(sys.stdout)
        complain(CommandError(f"standard output: {error.strerror}"))
        return Exit.FAILED
    return code


def _dispatch(arguments: Sequence[str]) -> int:
    command = typer.main.get_command(app)
    try:
        code = command.main(
            list(arguments) or ["--help"], prog_name="openrouter-keys", standalone_mode=False
        )
    except typer.Abort:
        return Exit.INTERRUPTED
    except Exception as error:
        problem = _usage_problem(error)
        if problem is None:
            raise
    else:
        return code or Exit.DONE
    complain(CommandError(problem))
    return Exit.USAGE


def _usage_problem(error: Exception) -> str | None:
    """Return a usage error as one line; None if the error is of another kind."""
    # Recognized by its method: typer moves the class in nearly every release.
    format_message: Callable[[], str] | None = getattr(error, "format_message", None)
    if format_message is None:
        return None
    message = plain(format_message().replace("Value error, ", "").replace("\n", " "))
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else "openrouter-keys"
    return f"{message.rstrip('.')} (see: {path} --help)"
