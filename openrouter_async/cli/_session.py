"""Connection options, and the session opened from them."""

from __future__ import annotations

from collections.abc import Coroutine, Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeVar

import attrs
import typer

from openrouter_async._options import OMITTED
from openrouter_async._version import __version__
from openrouter_async.cli._credentials import find_key
from openrouter_async.cli._exits import CommandError
from openrouter_async.client import AsyncOpenRouter
from openrouter_async.secret import Secret

if TYPE_CHECKING:
    import asyncio

T = TypeVar("T")

_CONNECTION: Final = "Connection"
_SANDBOX: Final = "Sandbox"


@attrs.frozen(kw_only=True)
class Connection:
    """Which service and key to use, with which timeouts and retries."""

    key_file: Annotated[
        Path | None,
        typer.Option(
            help="Read the key from this file.", metavar="PATH", rich_help_panel=_CONNECTION
        ),
    ] = None
    key_stdin: Annotated[
        bool,
        typer.Option(
            "--key-stdin",
            metavar="",
            help="Read the key from standard input.",
            rich_help_panel=_CONNECTION,
        ),
    ] = False
    server_url: Annotated[
        str | None,
        typer.Option(
            help="Base URL; defaults to OPENROUTER_BASE_URL, then to the service.",
            metavar="URL",
            rich_help_panel=_CONNECTION,
        ),
    ] = None
    timeout: Annotated[
        float,
        typer.Option(help="Limit for one attempt.", metavar="SECONDS", rich_help_panel=_CONNECTION),
    ] = 15.0
    total_timeout: Annotated[
        float,
        typer.Option(
            help="Limit for a call including its retries.",
            metavar="SECONDS",
            rich_help_panel=_CONNECTION,
        ),
    ] = 60.0
    no_retries: Annotated[
        bool,
        typer.Option(
            "--no-retries", metavar="", help="Try only once.", rich_help_panel=_CONNECTION
        ),
    ] = False
    trust_env: Annotated[
        bool,
        typer.Option(
            "--trust-env",
            metavar="",
            help="Use the proxies set in the environment.",
            rich_help_panel=_CONNECTION,
        ),
    ] = False
    allow_insecure_http: Annotated[
        bool,
        typer.Option(
            "--allow-insecure-http",
            metavar="",
            help="Allow sending the key over plain HTTP.",
            rich_help_panel=_CONNECTION,
        ),
    ] = False
    verbose: Annotated[
        int,
        typer.Option(
            "--verbose",
            "-v",
            count=True,
            help="Log attempts; -vv: error details too; -vvv: everything.",
            metavar="",
            show_default=False,
            rich_help_panel=_CONNECTION,
        ),
    ] = 0
    sandbox: Annotated[
        bool,
        typer.Option(
            "--sandbox",
            metavar="",
            help="Use a local service with made-up keys; no key needed.",
            rich_help_panel=_SANDBOX,
        ),
    ] = False
    sandbox_keys: Annotated[
        int,
        typer.Option(
            help="Number of keys in the sandbox.", metavar="N", min=0, rich_help_panel=_SANDBOX
        ),
    ] = 250
    sandbox_seed: Annotated[
        int,
        typer.Option(
            help="The same seed gives the same keys.", metavar="N", rich_help_panel=_SANDBOX
        ),
    ] = 0

    @contextmanager
    def open(self, *, max_connections: int = 100) -> Generator[Session]:
        """Open a session; raises `CommandError` or `ConfigurationError` before any request."""
        if self.sandbox and (self.key_file or self.key_stdin or self.server_url):
            raise CommandError(
                "--sandbox cannot be used with --key-file, --key-stdin or --server-url"
            )
        key = None if self.sandbox else find_key(self.key_file, from_stdin=self.key_stdin)
        import asyncio  # not for --help

        with ExitStack() as stack:
            runner = stack.enter_context(asyncio.Runner())
            url = self.server_url
            if self.sandbox:
                url, key = self._start_sandbox(runner, stack)
            client = AsyncOpenRouter(
                key,
                x_open_router_title=f"openrouter-keys {__version__}",
                server_url=url,
                retries=None if self.no_retries else OMITTED,
                timeout=self.timeout,
                total_timeout=self.total_timeout,
                trust_env=self.trust_env,
                allow_insecure_http=self.allow_insecure_http,
                max_connections=max_connections,
            )
            # The stack closes in reverse: the client, then the sandbox, then the loop of both.
            stack.callback(lambda: runner.run(client.close()))
            yield Session(client, runner)

    def _start_sandbox(self, runner: asyncio.Runner, stack: ExitStack) -> tuple[str, Secret]:
        """Serve the sandbox in the same loop until the stack is closed."""
        from openrouter_async.sandbox import Sandbox

        box = Sandbox(self.sandbox_keys, self.sandbox_seed)
        runner.run(box.__aenter__())
        stack.callback(lambda: runner.run(box.__aexit__()))
        return box.url, Secret(box.management_key)


@attrs.frozen
class Session:
    """A client, and the loop in which its calls run one at a time.

    Ctrl-C during `run` cancels the coroutine at its next await and then raises
    `KeyboardInterrupt`; whatever it does after its last await is not interrupted.
    """

    client: AsyncOpenRouter
    _runner: asyncio.Runner

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine and return its result."""
        return self._runner.run(coroutine)
