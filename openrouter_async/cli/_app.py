"""The app: the table of commands, and what stands around them."""

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
OPENROUTER_API_KEY: the key; a management key for all but whoami.
OPENROUTER_BASE_URL: another server, such as a sandbox.
NO_COLOR: no colours. COLUMNS: the width of tables."""
_EXIT_CODES: Final = "\n".join(
    ["[bold]Exit codes[/bold]", *(f"{code:>3}: {meaning}." for code, meaning in MEANINGS.items())]
)
_BEGINNING: Final = """\
[bold]To begin with[/bold]
openrouter-keys audit --sandbox
openrouter-keys whoami
openrouter-keys audit --fail-on critical"""

app = typer.Typer(
    name="openrouter-keys",
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,  # they would show the values of variables
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=f"{_ENVIRONMENT}\n\n{_EXIT_CODES}\n\n{_BEGINNING}",
)
for name, function in COMMANDS.items():
    command(app, name)(function)


def _show_version(wanted: bool) -> None:  # noqa: FBT001  # as typer calls it
    if wanted:
        typer.echo(f"openrouter-keys {__version__} (Python {sys.version.split()[0]})")
        raise typer.Exit


@app.callback()
def describe(
    *,
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, metavar="", help="Say the version."
        ),
    ] = False,
) -> None:
    """Audit and manage the API keys of an OpenRouter account.

    A key is never taken from the command line: set OPENROUTER_API_KEY, or give
    --key-file or --key-stdin to a command. With --sandbox, every command can be
    tried without one.
    """


def run(arguments: Sequence[str]) -> int:
    """Run the command and give its exit code; wrong arguments are one line too."""
    guard_descriptors()
    try:
        code = _dispatch(arguments)
        sys.stdout.flush()
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
    """Say in one line what is wrong with the arguments; None: something else is wrong.

    The class has another module in nearly every release of typer; its methods stay.
    """
    told: Callable[[], str] | None = getattr(error, "format_message", None)
    if told is None:
        return None
    message = plain(told().replace("Value error, ", "").replace("\n", " "))
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else "openrouter-keys"
    return f"{message.rstrip('.')} (see: {path} --help)"
