"""The blocking client: the same calls from scripts, threads, loops and callbacks."""

import asyncio
import contextvars
import gc
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from support.leaks import no_leaks_blocking
from support.server import ThreadedServer
from support.steps import reply, stall_head

from openrouter_async import (
    AmbiguousCreateError,
    APITimeoutError,
    ClientClosedError,
    InvalidRequestError,
    NotFoundResponseError,
    OpenRouter,
    RetryConfig,
    WrongLoopError,
)
from openrouter_async.sandbox import EXAMPLE_HASH, Sandbox

KEY = "sk-or-v1-" + "5" * 64


def client_for(box: Sandbox) -> OpenRouter:
    """A client with the sandbox's management key."""
    return OpenRouter(api_key=box.management_key, server_url=box.url)


def test_the_life_of_a_key() -> None:
    """All six operations work one after another, without a loop in sight, and leave nothing."""
    with no_leaks_blocking(), Sandbox() as box, client_for(box) as client:
        created = client.api_keys.create("acme", limit=50, limit_reset="monthly")
        key = created.data.hash
        assert client.api_keys.get(key).data == created.data
        assert client.api_keys.update(key, limit=None).data.limit is None
        assert [k.hash for k in client.api_keys.list().data] == [key, EXAMPLE_HASH]
        with OpenRouter(api_key=created.secret, server_url=box.url) as customer:
            assert customer.api_keys.get_current_key_metadata().data.label == created.data.label
        assert client.api_keys.delete(key).deleted
        with pytest.raises(NotFoundResponseError):
            client.api_keys.get(key)


def test_thread_starts_with_the_first_call() -> None:
    """A client that is never used costs no thread."""
    before = threading.active_count()
    with OpenRouter(api_key=KEY):
        assert threading.active_count() == before


def test_fifty_threads_share_one_client() -> None:
    """Every thread gets its own answer."""
    with Sandbox(keys=60) as box, client_for(box) as client:
        hashes = [key.hash for key in box.keys][:50]
        with ThreadPoolExecutor(50) as pool:
            answers = list(pool.map(client.api_keys.get, hashes * 4))
        assert [answer.data.hash for answer in answers] == hashes * 4


def test_iteration_crosses_pages() -> None:
    """A walk gives each key once, and tells that it was complete."""
    with Sandbox(keys=260) as box, client_for(box) as client:
        default = client.workspaces.list().data[0].id
        walk = client.api_keys.iter(include_disabled=True, include_expired=True)
        seen = [key.hash for key in walk]
        assert sorted(seen) == sorted(k.hash for k in box.keys if k.workspace_id == default)
        assert walk.complete
        assert (walk.refetched, walk.problems) == (0, [])
        assert [w.name for w in client.workspaces.iter()] == [w.name for w in box.workspaces]


def test_a_closed_walk_fetches_nothing_more() -> None:
    """`close()` ends an iteration that was left early."""
    with Sandbox(keys=10) as box, client_for(box) as client:
        walk = client.api_keys.iter()
        next(walk)
        walk.close()
        assert list(walk) == []
        assert walk.pages == 1
        assert not client.workspaces.iter().pages


async def test_it_works_where_a_loop_already_runs() -> None:
    """As in a notebook: the call blocks that loop, and answers."""
    with Sandbox() as box, client_for(box) as client:
        assert client.api_keys.get(EXAMPLE_HASH).data.hash == EXAMPLE_HASH


def test_context_variables_are_seen() -> None:
    """A key function sees the variables of the thread that calls."""
    tenant: contextvars.ContextVar[str] = contextvars.ContextVar("tenant", default="nobody")
    with ThreadedServer(default=reply(200, json={"data": []})) as server:
        with OpenRouter(
            api_key=lambda: f"key-of-{tenant.get()}", server_url=server.api_url
        ) as client:
            tenant.set("acme")
            client.api_keys.list()
        assert server.requests[0].header("Authorization") == "Bearer key-of-acme"


def test_a_call_from_its_own_thread_is_refused() -> None:
    """It would wait for itself for ever; it is an error at once instead."""
    errors: list[BaseException] = []

    def observe(*_: object) -> None:
        try:
            client.api_keys.list()
        except WrongLoopError as error:
            errors.append(error)

    with Sandbox() as box:
        client = OpenRouter(api_key=box.management_key, server_url=box.url, on_attempt=observe)
        with client:
            client.api_keys.list()
    assert len(errors) == 1


def test_after_close() -> None:
    """Closing twice is fine; a call after it is an error at once, also from a twin."""
    with Sandbox() as box:
        client = client_for(box)
        twin = client.with_options(timeout=3)
        assert twin.api_keys.list().data
        client.close()
        client.close()
        for closed in (client, twin):
            with pytest.raises(ClientClosedError):
                closed.api_keys.list()
            with pytest.raises(ClientClosedError):
                next(closed.api_keys.iter())


def test_closing_ends_calls_under_way() -> None:
    """A call that waits in another thread ends with an error of ours when the client is closed."""
    with ThreadedServer(default=stall_head()) as server:
        client = OpenRouter(api_key=KEY, server_url=server.api_url, retries=None)
        with ThreadPoolExecutor(1) as pool:
            call = pool.submit(client.api_keys.list)
            server.arrived(1)
            client.close()
            with pytest.raises(ClientClosedError):
                call.result(timeout=5)


def test_closing_during_a_create_that_was_sent_is_ambiguous() -> None:
    """As for the async client: nobody knows whether there is a key."""
    with ThreadedServer(default=stall_head()) as server, ThreadPoolExecutor(1) as pool:
        client = OpenRouter(KEY, server_url=server.api_url)
        create = pool.submit(client.api_keys.create, "acme")
        server.arrived(1)
        client.close()
        error = create.exception(timeout=5)
    assert isinstance(error, AmbiguousCreateError)
    assert error.name == "acme"


def test_a_client_that_only_its_parts_hold_lives_on() -> None:
    """`OpenRouter(…).api_keys` keeps its client, and a walk does too."""
    with Sandbox(keys=5) as box:
        keys = client_for(box).api_keys
        gc.collect()
        walk = keys.iter(include_disabled=True, include_expired=True)
        del keys
        gc.collect()
        assert len(list(walk)) >= 1


def test_a_forgotten_client_ends_its_thread() -> None:
    """Losing the last reference closes it in silence."""
    with Sandbox() as box, no_leaks_blocking():
        client_for(box).api_keys.list()
        gc.collect()


def test_options_of_one_call_and_of_a_twin() -> None:
    """`retries`, time-outs and headers are the async client's."""
    script = reply(503), reply(200, json={"data": []})
    with (
        ThreadedServer(*script, default=stall_head()) as server,
        OpenRouter(api_key=KEY, server_url=server.api_url, x_open_router_title="a") as client,
    ):
        quick = client.with_options(retries=RetryConfig(initial_interval=0), http_referer="b")
        assert quick.api_keys.list(x_open_router_title="c").data == []
        assert {r.header("X-OpenRouter-Title") for r in server.requests} == {"c"}
        assert {r.header("HTTP-Referer") for r in server.requests} == {"b"}
        with pytest.raises(APITimeoutError):
            client.api_keys.list(timeout=0.1, retries=None)
        with pytest.raises(TypeError, match="tiemout"):
            client.api_keys.list(tiemout=1)  # type: ignore[call-arg]


def test_errors_arrive_unchained() -> None:
    """What crosses the threads is the async client's own error, without cause or context."""
    with OpenRouter(api_key=KEY, server_url="http://127.0.0.1:9") as client:
        with pytest.raises(InvalidRequestError) as caught:
            client.api_keys.get("../x")
        assert caught.value.parameter == "hash"
        assert (caught.value.__cause__, caught.value.__context__) == (None, None)


def test_two_loops_in_turn_may_share_a_blocking_client() -> None:
    """It belongs to no loop of its callers."""
    with Sandbox() as box, client_for(box) as client:

        async def call() -> int:
            return len(client.api_keys.list().data)

        assert [asyncio.run(call()), asyncio.run(call())] == [1, 1]
