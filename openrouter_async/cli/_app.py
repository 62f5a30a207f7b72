"""The typer app: the table of commands, the top-level help and the handling of usage errors."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Annotated, Any, Final

import typer

from openrouter_async.cli._about import version_line
from openrouter_async.cli._console import complain, mute
from openrouter_async.cli._exits import MEANINGS, CommandError, Exit
from openrouter_async.cli._output import guard_descriptors
from openrouter_async.cli._values import QuickGroup
from openrouter_async.report import plain

COMMANDS: Final[Mapping[str, tuple[str, str]]] = {
    "audit": (
        "_audit.audit",
        "Audit every key of every workspace: totals, and findings by severity.",
    ),
    "diff": ("_audit.diff", "Compare two saved audits: keys, limits, spend and findings."),
    "list": ("_reads.list_keys", "List the keys of one workspace, newest first."),
    "get": ("_reads.get_key", "Show one key."),
    "whoami": ("_reads.whoami", "Show the key in use. Any key will do, not only a management key."),
    "workspaces": (
        "_reads.show_workspaces",
        "List the workspaces, or show one. Other commands accept their ids, slugs or names.",
    ),
    "create": ("_create.create", "Create a key and show it, only this once, on standard output."),
    "update": ("_changes.update", "Change a key and show the result."),
    "delete": ("_changes.delete", "Delete keys permanently, after asking for confirmation."),
    "rotate": (
        "_rotate.rotate",
        "Replace a key: create a copy, store it, check that it works, disable the old key.",
    ),
    "recover": ("_rotate.recover", "List interrupted creates and rotations, with advice on each."),
    "bulk": ("_bulk.bulk", "Create, update, disable or delete many keys."),
    "sandbox": (
        "_sandbox.sandbox",
        "Serve the API on this machine with made-up keys, until Ctrl-C.",
    ),
}
"""Each command's function, which is imported when the command is chosen, and the first line of its
docstring, which --help shows."""


class _Commands(QuickGroup):
    """The commands of the table, of which only the chosen one is imported."""

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """Return the name, the command and its arguments; a typer method."""
        name, found, rest = super().resolve_command(ctx, args)
        return name, found and _loaded(name or ""), rest


def _loaded(name: str) -> Any:
    """Import a command and return it as typer's."""
    from openrouter_async.cli._run import typer_command

    module, _, function = COMMANDS[name][0].partition(".")
    return typer_command(name, getattr(import_module(f"{__package__}.{module}"), function))


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
    cls=_Commands,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,  # they would show local variables, and so secrets
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=f"{_ENVIRONMENT}\n\n{_EXIT_CODES}\n\n{_BEGINNING}",
)
for _name, (_, _line) in COMMANDS.items():
    app.command(_name, help=_line)(lambda: None)


def _show_version(requested: bool) -> None:  # noqa: FBT001  # typer passes it by position
    if requested:
        typer.echo(version_line())
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
