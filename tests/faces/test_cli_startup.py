"""What the command imports: a command waits for no module that it does not use."""

import inspect
import subprocess
import sys
from importlib import import_module

import pytest
from support.command import environment

from openrouter_async.cli._app import COMMANDS
from openrouter_async.sandbox import Sandbox

PROGRAM = """
import sys
from openrouter_async.cli import main
try:
    code = main()
finally:
    print(*sys.modules, file=sys.stderr)
sys.exit(code)
"""
HTTP = {"aiohttp", "asyncio", "openrouter_async.client"}
TYPER = {"typer", "rich", "attr", "msgspec", "pydantic"}
MODULES = {f"openrouter_async.cli.{place.partition('.')[0]}" for place, _ in COMMANDS.values()}


def start(*arguments: str, **settings: str) -> tuple[str, set[str]]:
    """The output of the command into a pipe, and the modules that it has loaded at its end."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments],
        capture_output=True,
        check=True,
        env=environment(**settings),
    )
    return done.stdout.decode(), {*done.stderr.decode().splitlines()[-1].split()}


def test_the_version_needs_nothing() -> None:
    """Neither typer, nor attrs, nor the client; `logging` stands for what is merely usual."""
    out, loaded = start("--version")
    assert out.startswith("openrouter-keys ")
    assert not loaded & {*HTTP, *TYPER, *MODULES, "logging", "openrouter_async.errors"}


def test_a_version_that_cannot_be_written_is_an_error() -> None:
    """The short way leaves that to the long one."""
    with open("/dev/full", "wb") as full:  # noqa: PTH123  # a device
        command = [sys.executable, "-m", "openrouter_async.cli", "--version"]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, check=False)
    assert done.returncode == 3
    assert done.stderr.startswith(b"error: standard output: ")


@pytest.mark.parametrize(
    ("arguments", "settings", "expected"),
    [
        (["--help"], {}, "Delete keys permanently"),
        ([], {}, "Delete keys permanently"),
        (
            [],
            {
                "_OPENROUTER_KEYS_COMPLETE": "complete_bash",
                "COMP_WORDS": "openrouter-keys d",
                "COMP_CWORD": "1",
            },
            "diff\ndelete",
        ),
    ],
    ids=["help", "nothing", "completion"],
)
def test_help_and_completion_import_no_command(
    arguments: list[str], settings: dict[str, str], expected: str
) -> None:
    """The table of commands has what they show."""
    out, loaded = start(*arguments, **settings)
    assert expected in out
    assert not loaded & {*HTTP, *MODULES, "msgspec", "pydantic", "openrouter_async.models"}


def test_an_option_is_completed_from_its_command() -> None:
    """Only that command is imported, and no client is made."""
    settings = {"COMP_WORDS": "openrouter-keys list --off", "COMP_CWORD": "2"}
    out, loaded = start(_OPENROUTER_KEYS_COMPLETE="complete_bash", **settings)
    assert out == "--offset\n"
    assert loaded & MODULES == {"openrouter_async.cli._reads"}
    assert "aiohttp" not in loaded


@pytest.mark.parametrize("arguments", ["list", "list --format json", "whoami", "get HASH"])
def test_a_command_imports_only_what_it_uses(arguments: str) -> None:
    """No other command, nothing for several steps, no console of rich's, and no pydantic."""
    with Sandbox(keys=3) as box:
        hash = box.keys[0].hash
        settings = {"OPENROUTER_BASE_URL": box.url, "OPENROUTER_API_KEY": box.management_key}
        out, loaded = start(*arguments.replace("HASH", hash).split(), **settings)
    assert out
    assert "aiohttp" in loaded
    assert loaded & MODULES == {"openrouter_async.cli._reads"}
    unused = {"provisioning", "bulk", "audit._report", "report._html", "sandbox"}
    assert not loaded & {f"openrouter_async.{name}" for name in unused}
    assert not loaded & {"pydantic", "jinja2"}
    assert ("cattrs" in loaded) == ("json" in arguments)
    assert ("rich.console" in loaded) == (arguments in ("whoami", "get HASH"))  # they wrap lines


@pytest.mark.parametrize("name", COMMANDS)
def test_the_table_says_what_the_command_says(name: str) -> None:
    """The line in `openrouter-keys --help` is the first one of the command's own help."""
    place, line = COMMANDS[name]
    module, _, function = place.partition(".")
    found = getattr(import_module(f"openrouter_async.cli.{module}"), function)
    assert " ".join((inspect.getdoc(found) or "").split("\n\n")[0].split()) == line
