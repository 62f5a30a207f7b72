"""Answers that are small enough to be read and made to exhaust who reads them."""

import json
import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.calls import GET, LIST, Call, ClientFor, record
from support.server import ScriptedServer, ThreadedServer
from support.steps import reply

from openrouter_async import (
    AsyncOpenRouter,
    ConfigurationError,
    OpenRouter,
    ResponseValidationError,
)
from openrouter_async._json import DEEPEST
from openrouter_async.audit import AuditReport
from openrouter_async.models import MOST_ROWS
from openrouter_async.sandbox import Sandbox

MANY = 300_000
"""Of these each used to take 10 µs and 1.6 kB, in one piece."""
LONG: dict[str, tuple[bytes, str]] = {
    "numbers": (b'{"data":[' + b"0," * (MANY * 4) + b"0]}", "made of too many values"),
    "objects": (b'{"data":[' + b"{}," * MANY + b"{}]}", "made of too many values"),
    "fields": (
        b"{" + b",".join(b'"%d":0' % number for number in range(MANY * 2)) + b"}",
        "made of too many values",
    ),
    "rows": (b'{"data":[' + b"0," * MOST_ROWS + b"0]}", "a list of at most 10,000 items"),
    "good rows": (
        json.dumps({"data": [record()] * (MOST_ROWS + 1)}).encode(),
        "a list of at most 10,000 items",
    ),
    "the same field": (
        b'{"data":[],' + b'"data":0,' * MANY + b'"data":[0]}',
        r"response\.data\[0\]: expected an object, got a number",
    ),
    "a string": (
        b'{"data":["' + b"x" * (MANY * 10) + b'"]}',
        r"response\.data\[0\]: expected an object, got a string",
    ),
}


async def _walk(client: AsyncOpenRouter) -> Any:
    return await client.api_keys.iter(lenient=True).next_page()


async def _workspaces(client: AsyncOpenRouter) -> Any:
    return await client.workspaces.list()


READERS: dict[str, Callable[[AsyncOpenRouter], Any]] = {
    "list": LIST,
    "lenient": _walk,
    "workspaces": _workspaces,
}


@pytest.mark.parametrize(
    ("case", "reader"),
    [
        *((case, reader) for case in LONG for reader in ("list", "workspaces")),
        *((case, "lenient") for case in ("numbers", "objects", "fields", "rows", "good rows")),
    ],
)
async def test_long_list(case: str, reader: str, client_for: ClientFor) -> None:
    """A list that no page can be is refused at once; it used to hold the loop for half a minute."""
    body, message = LONG[case]
    if reader == "workspaces" and case == "good rows":
        body = json.dumps({"data": [{"id": "i", "name": "n"}] * (MOST_ROWS + 1)}).encode()
    async with ScriptedServer(default=reply(body=body)) as server:
        began = time.process_time()
        with pytest.raises(ResponseValidationError, match=message):
            await READERS[reader](client_for(server))
    assert time.process_time() - began < 5
    assert len(server.requests) == 1


async def test_the_longest_page(client_for: ClientFor) -> None:
    """Up to the bound, a page is read, however many rows the service puts on it."""
    rows = [record(hash=f"{number:064x}") for number in range(MOST_ROWS)]
    body = json.dumps({"data": rows}, separators=(",", ":")).encode()
    async with ScriptedServer(default=reply(body=body)) as server:
        assert len((await LIST(client_for(server))).data) == MOST_ROWS


@pytest.mark.parametrize("row", ["0", "{}", "[]", '{"limit":[0,0]}'])
def test_long_saved_report(row: str, tmp_path: Path) -> None:
    """A saved report may be of any length; reading it stops at what the message has room for."""
    with (
        Sandbox(keys=1) as box,
        OpenRouter(api_key=box.management_key, server_url=box.url) as client,
    ):
        document = client.audit().to_dict()
    path = tmp_path / "report.json"
    text = json.dumps({**document, "keys": "@"}).replace('"@"', f"[{','.join([row] * MANY)}]")
    path.write_text(text)
    began = time.process_time()
    with pytest.raises(ConfigurationError, match=r"report\.keys\[0\].*; and more$"):
        AuditReport.load(path)
    assert time.process_time() - began < 5


DEEP = {
    "lists": b"[" * 100_000,
    "objects": b'{"a":' * 100_000,
    "both": b'{"a":[' * 100_000 + b"]}" * 100_000,
    "in a field": b'{"data":{"new":' + b"[" * 100_000 + b"]" * 100_000 + b"}}",
    "in an error": b'{"error":{"message":"no","metadata":' + b"[" * 60_000,
}
ON_A_SMALL_STACK = """
import asyncio, os, sys, threading
import openrouter_async as o

async def main():
    client = o.AsyncOpenRouter(
        api_key="sk-or-v1-" + "0" * 64, server_url=os.environ["URL"], retries=None
    )
    async with client:
        calls = [
            client.api_keys.list, lambda: client.api_keys.get("0" * 64),
            lambda: client.api_keys.create(name="n"), client.api_keys.get_current_key_metadata,
            client.api_keys.iter(lenient=True).next_page,
        ]
        for call in calls:
            try:
                await call()
            except o.OpenRouterError as error:
                print(type(error).__name__)

threading.stack_size(1024 * 1024)
thread = threading.Thread(target=asyncio.run, args=[main()])
thread.start()
thread.join()
"""


@pytest.mark.parametrize("status", [200, 500])
@pytest.mark.parametrize("case", DEEP)
def test_deep_document_on_a_small_stack(case: str, status: int) -> None:
    """Python 3.12 and 3.13 used to die of it in a thread with the stack that musl gives."""
    with ThreadedServer(default=reply(status, body=DEEP[case])) as server:
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(ON_A_SMALL_STACK)],
            env={**os.environ, "URL": server.api_url},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout.split()) == len(server.requests) == 5


@pytest.mark.parametrize("call", [LIST, GET], ids=str)
async def test_as_deep_as_it_may_be(call: Call, client_for: ClientFor) -> None:
    """Nesting in a field that nobody reads is no fault, and brackets in a text are no nesting."""
    many = DEEPEST - 10
    row = record(name="[{" * 5_000, new=json.loads("[" * many + "]" * many), created_at=ZONED)
    document = {"data": [row] if call.name == "list" else row}
    async with ScriptedServer(default=reply(json=document)) as server:
        await call(client_for(server))


ZONED = "2026-07-01T11:30:00+02:00"
"""Only the careful road reads another zone than UTC."""
