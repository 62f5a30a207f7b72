"""What is told of each attempt: to the caller's observer, and to the log."""

import asyncio
import logging
import re
from collections import Counter
from typing import Any

import pytest
from support.calls import CALLS, CREATE, GET, HASH, KEY, NEW_KEY, Call, ClientFor, problem
from support.clock import FakeClock
from support.ports import refused_port
from support.secrets import capture_logs
from support.server import ScriptedServer
from support.steps import delay, redirect, reply, reset, stall_head

from openrouter_async import (
    APIConnectionError,
    APITimeoutError,
    ConfigurationError,
    OpenRouterError,
)
from openrouter_async._observers import notify
from openrouter_async.audit import AuditProgress
from openrouter_async.sandbox import Sandbox

LOGGER = "openrouter_async"


class Observer(list[tuple[str, int, Any, float]]):
    """Remembers what it was told."""

    def __call__(self, operation: str, attempt: int, outcome: Any, seconds: float) -> None:
        """Be told of an attempt."""
        self.append((operation, attempt, outcome, seconds))

    @property
    def outcomes(self) -> list[Any]:
        """What became of each attempt."""
        return [outcome for _, _, outcome, _ in self]


@pytest.mark.parametrize("call", CALLS, ids=str)
async def test_told_of_every_attempt(call: Call, client_for: ClientFor, clock: FakeClock) -> None:
    """Operation, number of the attempt, status or class of the error, seconds."""
    told = Observer()
    async with ScriptedServer(reply(429), delay(0.05, call.ok())) as server:
        await call(client_for(server, clock=clock, on_attempt=told))
    assert [fact[:3] for fact in told] == [
        (call.operation, 1, 429),
        (call.operation, 2, call.status),
    ]
    assert 0.0 <= told[0][3] < 0.5
    assert 0.05 <= told[1][3] < 0.5


async def test_kinds_of_outcome(client_for: ClientFor, clock: FakeClock) -> None:
    """A status where there was one, else the class of what the caller would be told."""
    told = Observer()
    steps = [reset(), stall_head(), redirect(302, "/x"), reply(json=[]), reply(404)]
    async with ScriptedServer(*steps) as server:
        client = client_for(server, clock=clock, on_attempt=told, timeout=0.5, retries=None)
        for _ in steps:
            with pytest.raises(OpenRouterError):
                await GET(client)
        with refused_port() as port, pytest.raises(OpenRouterError):
            await GET(client, server_url=f"http://127.0.0.1:{port}")
    assert told.outcomes == [APIConnectionError, APITimeoutError, 302, 200, 404, APIConnectionError]
    assert {attempt for _, attempt, _, _ in told} == {1}


async def test_twins_share_the_observer(client_for: ClientFor) -> None:
    """`with_options` is observed, too."""
    told = Observer()
    async with ScriptedServer(default=GET.ok()) as server:
        await GET(client_for(server, on_attempt=told).with_options(timeout=3))
    assert told.outcomes == [200]


@pytest.mark.parametrize("call", CALLS, ids=str)
async def test_observer_that_raises(call: Call, client_for: ClientFor, clock: FakeClock) -> None:
    """An observer's failure changes nothing but the log, which names its class only."""

    def fail(*facts: object) -> None:
        raise LookupError(f"{KEY} {facts}")

    with capture_logs() as logs:
        async with ScriptedServer(reply(429), call.ok()) as server:
            result = await call(client_for(server, clock=clock, on_attempt=fail))
    assert len(server.requests) == 2
    if call is CREATE:
        assert result.key == NEW_KEY
    warned = logs.messages(logging.WARNING)
    assert [m for m in warned if "on_attempt" in m] == ["on_attempt raised LookupError"] * 2
    assert KEY not in logs.text


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, asyncio.CancelledError])
async def test_observer_that_interrupts(error: type[BaseException], client_for: ClientFor) -> None:
    """What is meant to stop the program goes on, as the same object, and frees the slot."""
    raised = error()

    def interrupt(*facts: object) -> None:
        raise raised

    async with ScriptedServer(default=GET.ok()) as server:
        client = client_for(server, on_attempt=interrupt, max_connections=1)
        for _ in range(2):
            with pytest.raises(error) as caught:
                await GET(client)
            assert caught.value is raised
    assert len(server.requests) == 2


def test_observer_must_be_callable(client_for: ClientFor) -> None:
    """Anything else is refused at once."""
    with pytest.raises(ConfigurationError, match="on_attempt"):
        client_for("http://127.0.0.1:9", on_attempt="print")


LINE = r"{method} {route} \({name}\): attempt {attempt}, {outcome}, \d+ ms, request {request}"
ROUTES = {
    "list": "/keys", "create": "/keys", "get": "/keys/{hash}", "update": "/keys/{hash}",
    "delete": "/keys/{hash}", "get_current_key_metadata": "/key", "list_workspaces": "/workspaces",
    "get_workspace": "/workspaces/{id}", "list_key_assignments": "/guardrails/assignments/keys",
}  # fmt: skip


@pytest.mark.parametrize("call", CALLS, ids=str)
async def test_log_lines(call: Call, client_for: ClientFor, clock: FakeClock) -> None:
    """One line at DEBUG for each attempt: method, route template, status, time, request id."""
    first = reply(429, json=problem(429, "slow down"), headers={"cf-ray": "1-FRA"})
    with capture_logs() as logs:
        async with ScriptedServer(first, call.ok(headers={"cf-ray": "2-FRA"})) as server:
            await call(client_for(server, clock=clock))
    ours = [record for record in logs.records if record.name.startswith(LOGGER)]
    assert {record.levelno for record in ours} == {logging.DEBUG}
    known = {
        "method": call.method,
        "route": re.escape(ROUTES[call.operation]),
        "name": call.operation,
    }
    expected = [
        LINE.format(attempt=1, outcome=429, request="1-FRA", **known),
        LINE.format(attempt=2, outcome=call.status, request="2-FRA", **known),
    ]
    for record, pattern in zip(ours, expected, strict=True):
        assert re.fullmatch(pattern, record.getMessage())
    assert HASH not in "".join(record.getMessage() for record in ours)


async def test_log_of_what_was_not_answered(client_for: ClientFor, clock: FakeClock) -> None:
    """Without an answer the line has the class of the error."""
    with capture_logs() as logs:
        async with ScriptedServer(default=reset()) as server:
            with pytest.raises(APIConnectionError):
                await GET(client_for(server, clock=clock, retries=None))
    ours = [r.getMessage() for r in logs.records if r.name.startswith(LOGGER)]
    assert len(ours) == 1
    assert re.fullmatch(
        r"GET /keys/\{hash\} \(get\): attempt 1, APIConnectionError, \d+ ms, request None", ours[0]
    )


async def test_nothing_above_debug(client_for: ClientFor, clock: FakeClock) -> None:
    """Calls that fail and are repeated are the caller's to report: the log stays quiet."""
    with capture_logs() as logs:
        async with ScriptedServer(default=reply(503)) as server:
            for call in CALLS:
                with pytest.raises(OpenRouterError):
                    await call(client_for(server, clock=clock))
    assert logs.messages(logging.INFO) == []


async def test_async_functions_are_awaited(
    client_for: ClientFor, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    """Each observer may be one, and what it raises changes nothing but the log."""
    told: list[str] = []

    def observer(name: str) -> Any:
        async def observe(*_: object) -> None:
            await asyncio.sleep(0)
            told.append(name)
            raise ValueError("an observer's own mistake")

        return observe

    async with Sandbox(keys=30) as box:
        client = client_for(
            box.url, api_key=box.management_key, clock=clock, on_attempt=observer("on_attempt")
        )
        hashes = [key.hash for key in box.keys]
        keys = client.api_keys
        await keys.get_many(hashes[:2], progress=observer("progress of get_many"))
        await keys.disable_many(hashes[:2], progress=observer("progress of disable_many"))
        await client.audit(progress=observer("progress of audit"))
        box.fail("get", status=429, retry_after=1)
        await keys.get_many(hashes[:1], on_wait=observer("on_wait"))
        box.fail("list", status=429, retry_after=1)
        waiting: list[object] = []

        async def watch(progress: AuditProgress) -> None:
            await asyncio.sleep(0)
            waiting.append(progress.waiting)

        await client.audit(progress=watch)
    assert any(waiting)
    assert Counter(told) >= Counter(
        {
            "on_attempt": len(box.requests),
            "progress of get_many": 2,
            "progress of disable_many": 2,
            "progress of audit": 1,
            "on_wait": 1,
        }
    )
    assert {record.message for record in caplog.records if record.levelno == logging.WARNING} == {
        f"{name} raised ValueError" for name in ("on_attempt", "progress", "on_wait")
    }


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
async def test_what_is_no_mistake_passes(error: type[BaseException]) -> None:
    """An observer may end the program."""

    def sync(*_: object) -> None:
        raise error

    async def later(*_: object) -> None:
        raise error

    for observer in (sync, later):
        with pytest.raises(error):
            await notify("progress", observer)
