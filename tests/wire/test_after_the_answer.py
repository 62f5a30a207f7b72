"""A create was answered: whatever goes wrong then, the key or the knowledge of it is kept."""

import asyncio
import logging
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.calls import CREATE, GET, HASH, KEY, NEW_KEY, UPDATE, ClientFor, record
from support.secrets import capture_logs
from support.server import ScriptedServer, ThreadedServer
from support.steps import Step, reply, stall_head

from openrouter_async import AmbiguousCreateError, OpenRouter
from openrouter_async.provisioning import FileSink

DRIFTED = {"data": record(disabled="no", limit="much"), "key": NEW_KEY}
CUT = b'{"key": "' + NEW_KEY.encode() + b'", "data": {"hash": "b01d52'

IMPORTS_FAIL = """
    import asyncio, builtins, os, sys
    from openrouter_async import AsyncOpenRouter, OpenRouter, OpenRouterError, RetryConfig

    class Gone:
        # What a replaced installation, or used up descriptors, make of an import.
        def find_spec(self, name, *_):
            raise eval(kind)

    url, kind, face, hash = sys.argv[1:]
    options = dict(server_url=url, retries=RetryConfig(initial_interval=0))
    client = (AsyncOpenRouter if face == "async" else OpenRouter)("sk-or-v1-none", **options)
    sys.meta_path.insert(0, Gone())
    sys.path_importer_cache.clear()

    def told(answer):
        print(type(answer).__name__, getattr(answer, "key", ""))

    async def main():
        for method, given in CALLS:
            try:
                told(await getattr(client.api_keys, method)(**given))
            except OpenRouterError as error:
                told(error)
        await client.close()

    def blocking():
        for method, given in CALLS:
            try:
                told(getattr(client.api_keys, method)(**given))
            except OpenRouterError as error:
                told(error)
        client.close()

    new = ("create", {"name": "acme"})
    one = ("get", {"hash": hash})
    CALLS = [new, new, new, new, one, one, one, one, ("list", {}), ("delete", {"hash": hash})]
    asyncio.run(main()) if face == "async" else blocking()
"""
SOON = {"Retry-After": "Fri, 21 Nov 2025 00:00:00 GMT", "Date": "Fri, 21 Nov 2025 00:00:00 GMT"}


@pytest.mark.parametrize("face", ["async", "blocking"])
@pytest.mark.parametrize("kind", ["ImportError(name)", "OSError(24, 'Too many open files')"])
def test_nothing_can_be_imported_any_more(kind: str, face: str) -> None:
    """Keys are handed out, failures are repeated, and everything raised is one of ours."""
    steps = [
        CREATE.ok(),
        reply(201, json=DRIFTED),
        reply(201, body=CUT),
        reply(429, headers=SOON), CREATE.ok(),
        GET.ok(),
        reply(503), reply(429, headers=SOON), GET.ok(),
        reply(200, json={"data": record(disabled="no")}),
        reply(404, json={"error": {"code": 404, "message": "nö"}}),
        reply(200, text="no JSON"),
        reply(200, json={"deleted": True}),
    ]  # fmt: skip
    with ThreadedServer(*steps) as server:
        command = [
            sys.executable,
            "-c",
            textwrap.dedent(IMPORTS_FAIL),
            server.api_url,
            kind,
            face,
            HASH,
        ]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        *[f"CreateKeysResponse {NEW_KEY}"] * 4,
        "GetKeyResponse ",
        "GetKeyResponse ",
        "ResponseValidationError ",
        "NotFoundResponseError ",
        "ResponseValidationError ",
        "DeleteKeysResponse ",
    ]
    assert len(server.requests) == len(steps)


STRIKES = [KeyboardInterrupt(), SystemExit(3), asyncio.CancelledError()]
FATES: dict[str, tuple[Step, bool]] = {
    "made": (CREATE.ok(), True),
    "made, of a wrong shape": (reply(201, json=DRIFTED), True),
    "nobody knows": (reply(500), True),
    "refused": (reply(403), False),
    "throttled": (reply(429), False),
}


@pytest.mark.parametrize("strike", STRIKES, ids=lambda strike: type(strike).__name__)
@pytest.mark.parametrize("fate", FATES)
async def test_an_observer_that_interrupts(
    fate: str, strike: BaseException, client_for: ClientFor
) -> None:
    """A note and one WARNING where a key may exist, as for a create that was interrupted itself."""
    step, may_exist = FATES[fate]

    def on_attempt(*_: Any) -> None:
        raise strike

    async def run() -> BaseException:
        try:
            await CREATE(client)
        except BaseException as error:  # noqa: BLE001 - a task must not raise SystemExit
            return error
        raise AssertionError

    async with ScriptedServer(step) as server:
        client = client_for(server, on_attempt=on_attempt)
        with capture_logs() as logs:
            error = await asyncio.create_task(run())
    assert error is strike
    noted = [note for note in getattr(strike, "__notes__", ()) if "may have made a key" in note]
    strike.__notes__ = []
    assert len(noted) == may_exist
    assert len(logs.messages(logging.WARNING)) == may_exist


class Breaking(logging.Handler):
    """A log handler that raises, as one with a broken network does."""

    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self.error = error

    def handle(self, log_record: logging.LogRecord) -> bool:
        """Raise."""
        raise self.error


@pytest.fixture
def breaking() -> Iterator[Breaking]:
    """Such a handler at work."""
    handler = Breaking(OSError(24, "Too many open files"))
    logger = logging.getLogger("openrouter_async")
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    yield handler
    logger.removeHandler(handler)
    logger.setLevel(logging.NOTSET)


async def test_a_log_handler_that_fails(breaking: Breaking, client_for: ClientFor) -> None:
    """It costs nobody an answer, an observer its news, or an interruption its note."""
    told: list[object] = []
    async with ScriptedServer(CREATE.ok(), UPDATE.ok(), reply(500), stall_head()) as server:
        client = client_for(server, retries=None, on_attempt=lambda *facts: told.append(facts[2]))
        assert (await CREATE(client)).key == NEW_KEY
        await UPDATE(client)
        with pytest.raises(AmbiguousCreateError):
            await CREATE(client)
        task = asyncio.create_task(CREATE(client))
        await server.arrived(4)
        task.cancel()
        with pytest.raises(asyncio.CancelledError) as caught:
            await task
    assert "may have made a key" in caught.value.__notes__[0]
    assert told == [201, 200, 500]


async def test_a_log_handler_that_interrupts(breaking: Breaking, client_for: ClientFor) -> None:
    """The interruption goes on, with the note."""
    breaking.error = KeyboardInterrupt()

    async def run() -> BaseException:
        try:
            await CREATE(client)
        except KeyboardInterrupt as error:
            return error
        raise AssertionError

    async with ScriptedServer(CREATE.ok()) as server:
        client = client_for(server)
        error = await asyncio.create_task(run())
    assert "may have made a key" in error.__notes__[0]


@pytest.mark.parametrize("moment", ["before its connection", "when it was sent"])
async def test_a_cancelled_provision(moment: str, client_for: ClientFor, tmp_path: Path) -> None:
    """The journal stays exactly where a key may exist; else nothing is left of the work."""
    folder, target = tmp_path / "journal", tmp_path / "key"
    asked = asyncio.Event()

    async def key() -> str:
        asked.set()
        if moment == "before its connection":
            await asyncio.sleep(60)
        return KEY

    async with ScriptedServer(default=stall_head()) as server:
        client = client_for(server, api_key=key)
        work = client.api_keys.provision(name="acme", sink=FileSink(target), journal_dir=folder)
        task = asyncio.ensure_future(work)
        await asyncio.wait_for(asked.wait(), 10)
        if moment == "when it was sent":
            await server.arrived(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError) as caught:
            await task
    notes = getattr(caught.value, "__notes__", [])
    if moment == "when it was sent":
        assert any("may have made a key" in note for note in notes)
        assert any("the create is recorded in the journal" in note for note in notes)
        assert len(list(folder.iterdir())) == 1
    else:
        assert (notes, list(folder.iterdir()), target.exists()) == ([], [], False)


def test_a_key_function_that_fails_leaves_no_journal(tmp_path: Path) -> None:
    """The blocking client too: whatever it raises, nothing was sent."""
    folder, target = tmp_path / "journal", tmp_path / "key"

    def key() -> str:
        raise LookupError("no key today")

    client = OpenRouter(key, server_url="http://127.0.0.1:9/api/v1")
    with client, pytest.raises(LookupError):
        client.api_keys.provision(name="acme", sink=FileSink(target), journal_dir=folder)
    assert (list(folder.iterdir()), target.exists()) == ([], False)
