"""Fault 32: planted keys, every path, every channel; not 12 characters of them may be found."""

import asyncio
import json
import pickle
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import attrs
import pytest
from support import certificates
from support.calls import CALLS, CREATE, GET, HASH, LIST, Call, ClientFor, problem, record
from support.clock import FakeClock
from support.ports import refused_port
from support.secrets import (
    CapturedLogs,
    assert_not_leaked,
    capture_logs,
    planted_secret,
    tracebacks_with_locals,
)
from support.server import ScriptedServer
from support.steps import (
    Step,
    cut_chunk,
    html,
    raw,
    redirect,
    reply,
    reset,
    stall_body,
    stall_head,
)

from openrouter_async import (
    AmbiguousCreateError,
    AsyncOpenRouter,
    External,
    InvalidRequestError,
    OpenRouterError,
    to_dict,
)

MANAGEMENT = planted_secret()
CREATED = planted_secret()
PARTNER = planted_secret().removeprefix("sk-or-v1-")
"""Of no shape by which it could be known."""
ECHO = f"{MANAGEMENT} {CREATED} {PARTNER}"
BEARER = {"X-Echo": f"Bearer {MANAGEMENT}", "cf-ray": CREATED, "X-Generation-Id": PARTNER}
PAGE = json.dumps({"key": CREATED, "data": record()}).encode()


def hunt(error: BaseException, client: AsyncOpenRouter, logs: CapturedLogs, *secrets: str) -> None:
    """Search every channel by which something of a call could come out."""
    here = [__file__]
    texts: list[str | bytes] = [
        logs.text,
        repr(client) + str(vars(client)) + str(vars(client._shared)),
        str(error),
        repr(error),
        json.dumps(vars(error), default=str),
        tracebacks_with_locals(error, without_locals_of=here),
        "\n".join(getattr(error, "__notes__", [])),
    ]
    with suppress(Exception):  # a client need not be picklable
        texts.append(pickle.dumps(client))
    if isinstance(error, OpenRouterError):
        texts.append(pickle.dumps(error))
        texts.append(tracebacks_with_locals(pickle.loads(pickle.dumps(error))))
    for secret in (MANAGEMENT, CREATED, *secrets):
        assert_not_leaked(secret, *texts)


def sent_by(call: Call) -> list[str]:
    """Return what a call sends beside the management key."""
    return [PARTNER] if call is CREATE else []


@pytest.fixture
def logs() -> Iterator[CapturedLogs]:
    """All that is logged during the test, asyncio's debugging of every callback included."""
    with capture_logs() as captured:
        yield captured


@pytest.fixture(autouse=True)
async def talkative_loop() -> None:
    """Have asyncio log whatever it runs."""
    loop = asyncio.get_running_loop()
    loop.set_debug(True)
    loop.slow_callback_duration = 0


EXTERNAL: list[Any] = [
    {"user": "them", "api_key": PARTNER},
    External(user="them", api_key=PARTNER),
]


def make(call: Call, client: AsyncOpenRouter, **options: Any) -> Any:
    """Make a call; a create with a partner's key in it."""
    if call is CREATE:
        return client.api_keys.create("acme", external=EXTERNAL[0], **options)
    return call(client, **options)


ECHOING: dict[str, Step] = {
    **{
        f"{status} in JSON": reply(
            status,
            json={"error": {"code": ECHO, "message": ECHO, "metadata": {ECHO: [ECHO]}},
                  "user_id": ECHO},
            headers=BEARER,
        )
        for status in (400, 401, 403, 404, 409, 413, 429, 500, 502, 503, 529)
    },
    "a word": reply(401, json={"error": ECHO}),
    "HTML": html(502, f"<html>{ECHO}</html>"),
    "text": reply(500, text=ECHO * 400),
    "cut in the key": reply(401, text="x" * 2040 + ECHO),
    "cut in the message": reply(401, json=problem(401, "x" * 290 + ECHO)),
    "redirect": redirect(307, f"https://example.com/{MANAGEMENT}?key={CREATED}&p={PARTNER}"),
    "odd redirect": reply(300, text=ECHO, headers=BEARER),
    "wrong type": reply(json={"data": record(usage=ECHO, disabled=[ECHO]), "key": 7}),
    "wrong shape": reply(json={ECHO: ECHO}, headers=BEARER),
    "no JSON": reply(text=ECHO, headers=BEARER),
    "cut JSON": reply(body=b'{"data": [{"name": "' + ECHO.encode(), headers=BEARER),
    "cut chunk": cut_chunk(b'{"data": "' + ECHO.encode(), sent=90),
    "cut in the created key": reply(201, body=PAGE, truncate=30),
    "malformed head": raw(f"HTTP/1.1 200 OK\r\nX: {ECHO}\0\r\n\r\n".encode()),
    "no HTTP": raw(ECHO.encode() + b"\r\n\r\n"),
    "reset": reset(),
    "Set-Cookie": reply(401, headers={"Set-Cookie": f"session={CREATED}"}),
}  # fmt: skip


@pytest.mark.parametrize("call", CALLS, ids=str)
@pytest.mark.parametrize("case", ECHOING)
async def test_failures(
    case: str, call: Call, client_for: ClientFor, clock: FakeClock, logs: CapturedLogs
) -> None:
    """An answer that repeats every key it was told, or was to tell, shows none of them."""
    async with ScriptedServer(default=ECHOING[case]) as server:
        client = client_for(server, api_key=MANAGEMENT, clock=clock)
        try:
            await make(call, client)
        except OpenRouterError as error:
            failure = error
        else:
            assert call.name == "delete"  # whose answer may have any shape
            return
    assert server.requests[0].header("Authorization") == f"Bearer {MANAGEMENT}"
    hunt(failure, client, logs, *sent_by(call))


@pytest.mark.parametrize("external", EXTERNAL, ids=["mapping", "External"])
async def test_partners_key(
    external: Any, client_for: ClientFor, clock: FakeClock, logs: CapturedLogs
) -> None:
    """A partner's key goes out in the body, and never comes back in an error."""
    async with ScriptedServer(default=ECHOING["400 in JSON"]) as server:
        client = client_for(server, api_key=MANAGEMENT, clock=clock)
        with pytest.raises(OpenRouterError) as caught:
            await client.api_keys.create("acme", external=external)
    assert server.requests[0].json()["external"] == {"user": "them", "api_key": PARTNER}
    hunt(caught.value, client, logs, PARTNER)


SILENT: dict[str, Step] = {
    "no head": stall_head(),
    "half a body": stall_body(PAGE, sent=len(PAGE) - 1, status=201),
    "a key in the head": stall_head(
        f"HTTP/1.1 200 OK\r\nX-Echo: {MANAGEMENT}\r\nContent-Length: 9\r\n\r\n[".encode()
    ),
}


@pytest.mark.parametrize("case", SILENT)
async def test_time_outs(case: str, client_for: ClientFor, logs: CapturedLogs) -> None:
    """A call that took too long shows nothing of what it sent, or had already received."""
    async with ScriptedServer(default=SILENT[case]) as server:
        client = client_for(server, api_key=MANAGEMENT, timeout=0.3, retries=None)
        calls = (make(call, client) for call in CALLS)
        errors = await asyncio.gather(*calls, return_exceptions=True)
    for error in errors:
        assert isinstance(error, OpenRouterError)
        hunt(error, client, logs, PARTNER)


@pytest.mark.parametrize("call", CALLS, ids=str)
@pytest.mark.parametrize("case", SILENT)
async def test_cancel(case: str, call: Call, client_for: ClientFor, logs: CapturedLogs) -> None:
    """A call that is cancelled shows nothing of what it sent, or had already received."""
    async with ScriptedServer(default=SILENT[case]) as server:
        client = client_for(server, api_key=MANAGEMENT)
        task = asyncio.ensure_future(make(call, client))
        await server.arrived(1)
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError) as caught:
            await task
    hunt(caught.value, client, logs, *sent_by(call))


@pytest.mark.parametrize("call", [LIST, CREATE], ids=str)
async def test_connection_failures(
    call: Call, client_for: ClientFor, clock: FakeClock, logs: CapturedLogs
) -> None:
    """A request that never left is in no error, either."""
    with refused_port() as port:
        async with ScriptedServer(tls=certificates.self_signed_server()) as server:
            for url in (f"http://127.0.0.1:{port}", f"https://127.0.0.1:{port}", server.url):
                client = client_for(url, api_key=MANAGEMENT, clock=clock)
                with pytest.raises(OpenRouterError) as caught:
                    await make(call, client)
                hunt(caught.value, client, logs, *sent_by(call))


async def test_refused_parameters(client_for: ClientFor, logs: CapturedLogs) -> None:
    """A key in the place of anything else is not repeated."""
    client = client_for("http://127.0.0.1:9", api_key=MANAGEMENT)
    for made in (
        lambda: client.api_keys.get(CREATED),
        lambda: client.api_keys.delete(f"{MANAGEMENT}/"),
        lambda: client.api_keys.list(offset=CREATED),
        lambda: client.api_keys.create("a", limit_reset=CREATED),
        lambda: client.api_keys.create("a", external={"user": "", "api_key": PARTNER}),
    ):
        with pytest.raises(InvalidRequestError) as caught:
            await made()
        texts = [str(caught.value), repr(vars(caught.value)), logs.text]
        for secret in (MANAGEMENT, CREATED, PARTNER):
            assert_not_leaked(secret, *texts)


async def test_key_function(client_for: ClientFor, clock: FakeClock, logs: CapturedLogs) -> None:
    """A key that a function gave is guarded like any other."""
    async with ScriptedServer(default=ECHOING["500 in JSON"]) as server:
        client = client_for(server, api_key=lambda: MANAGEMENT, clock=clock)
        with pytest.raises(OpenRouterError) as caught:
            await GET(client)
    hunt(caught.value, client, logs)


async def test_success(client_for: ClientFor, logs: CapturedLogs) -> None:
    """Answers that are fine show the keys in no implicit way, though they repeat them."""
    results: list[Any] = []
    async with ScriptedServer(default=reply(201, body=PAGE, headers=BEARER)) as server:
        client = client_for(server, api_key=MANAGEMENT)
        created = await make(CREATE, client)
        assert created.key == CREATED
        results.append(created)
        edge = {"cf-ray": f"{MANAGEMENT} {CREATED}"}
        server.script(*[call.ok(headers=edge) for call in CALLS if call is not CREATE])
        results += [await call(client) for call in CALLS if call is not CREATE]
        for result in results:
            asyncio.get_running_loop().call_soon(str, result)
        await asyncio.sleep(0)
    texts: list[str | bytes] = [logs.text, repr(client), str(vars(client))]
    for result in results:
        texts += [repr(result), str(result), f"{result}", json.dumps(to_dict(result))]
        texts.append(repr(attrs.asdict(result, recurse=False)))
    with pytest.raises(TypeError):
        pickle.dumps(created)
    with pytest.raises(TypeError):
        json.dumps(attrs.asdict(created))
    for secret in (MANAGEMENT, CREATED, PARTNER):
        assert_not_leaked(secret, *texts)


async def test_rescued_key(client_for: ClientFor, logs: CapturedLogs) -> None:
    """A key beside a record that cannot be read is handed out, and shown nowhere."""
    document = {"data": record(usage=ECHO, name=[CREATED]), "key": CREATED}
    async with ScriptedServer(default=reply(201, json=document, headers=BEARER)) as server:
        client = client_for(server, api_key=MANAGEMENT)
        created = await make(CREATE, client)
    assert created.key == CREATED
    with pytest.raises(OpenRouterError) as caught:
        _ = created.data
    hunt(caught.value, client, logs)
    assert_not_leaked(CREATED, repr(created), str(vars(caught.value)))


async def test_ambiguous_create_keeps_the_hash_not_the_key(
    client_for: ClientFor, clock: FakeClock, logs: CapturedLogs
) -> None:
    """What a lost create may tell is its hash; the piece of its key stays out."""
    body = json.dumps({"data": record(), "key": CREATED}).encode()
    async with ScriptedServer(default=reply(201, body=body, truncate=len(body) - 20)) as server:
        client = client_for(server, api_key=MANAGEMENT, clock=clock)
        with pytest.raises(AmbiguousCreateError) as caught:
            await make(CREATE, client)
    assert caught.value.hash == HASH
    hunt(caught.value, client, logs, PARTNER)
