"""A failed call keeps nothing alive: no circle of references waits for the garbage collector."""

import asyncio
import gc
import weakref
from collections.abc import Iterator
from contextlib import contextmanager

import attrs
import pytest
from support.calls import CREATE, LIST, Call, ClientFor
from support.server import ScriptedServer
from support.steps import Step, huge_body, raw, redirect, reply, reset, stall_body

from openrouter_async import OpenRouterError, RetryConfig, _responses, _transport

BIG = b'{"data": ["' + b"x" * 500_000 + b'", 0]}'
FAILURES: dict[str, Step] = {
    "error": reply(500, body=b"x" * 60_000),
    "wrong shape": reply(200, body=BIG),
    "no JSON": reply(200, body=BIG[:-1] + b"?"),
    "cut": reply(200, body=BIG, truncate=len(BIG) - 100),
    "cut later": reply(200, body=BIG, truncate=len(BIG) - 100, ending="reset"),
    "too large": huge_body(9),
    "no gzip": reply(200, body=b"\x1f\x8b" + BIG, headers={"Content-Encoding": "gzip"}),
    "throttled": reply(429, body=b"x" * 60_000),
    "redirect": redirect(302, "/elsewhere"),
    "lost": reset(),
    "no HTTP": raw(b"nonsense\r\n\r\n"),
    "late": stall_body(BIG, sent=400_000),
}


@contextmanager
def no_collector() -> Iterator[None]:
    """Let only the count of references free anything."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@pytest.mark.parametrize("retries", [None, RetryConfig(initial_interval=0)], ids=["once", "thrice"])
@pytest.mark.parametrize("call", [LIST, CREATE], ids=str)
@pytest.mark.parametrize("failure", FAILURES)
async def test_nothing_is_kept_alive(
    failure: str, call: Call, retries: RetryConfig | None, client_for: ClientFor,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Neither what was read, nor the answer around it, nor the error once it was handled."""
    kept: list[weakref.ref[object]] = []

    @attrs.define(kw_only=True, weakref_slot=True)
    class Response(_responses.Response):
        def __attrs_post_init__(self) -> None:
            kept.append(weakref.ref(self))

    class Body(_transport._Body):
        __slots__ = ("__weakref__",)

        def __init__(self) -> None:
            super().__init__()
            kept.append(weakref.ref(self))

    monkeypatch.setattr(_transport, "Response", Response)
    monkeypatch.setattr(_transport, "_Body", Body)
    async with ScriptedServer(default=FAILURES[failure]) as server:
        client = client_for(server, retries=retries, timeout=0.3)
        with no_collector():
            for _ in range(3):
                try:
                    await call(client)
                except OpenRouterError as error:
                    kept.append(weakref.ref(error))
            await asyncio.sleep(0.05)  # for connections to be closed
            alive = [reference() for reference in kept]
    assert len(alive) >= 3
    assert [type(thing).__name__ for thing in alive if thing is not None] == []
