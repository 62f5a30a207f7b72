"""Twins, copies and mocks of both clients."""

import asyncio
import copy
import gc
import inspect
import pickle
from collections.abc import Callable
from typing import Any
from unittest import mock

import pytest
from support.calls import CALLS, KEY
from support.server import ScriptedServer
from support.steps import hold

from openrouter_async import (
    AsyncOpenRouter,
    ClientClosedError,
    OpenRouter,
    _sync_resources,
    api_keys,
)
from openrouter_async.sandbox import EXAMPLE_HASH, Sandbox

Duplicate = Callable[[Any], Any]
DUPLICATES: dict[str, Duplicate] = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "with_options": lambda client: client.with_options(timeout=3),
    "of a subclass": lambda client: type(client).with_options(client),
}


@pytest.mark.parametrize("duplicate", DUPLICATES.values(), ids=list(DUPLICATES))
async def test_a_dropped_duplicate_harms_nothing(
    duplicate: Duplicate, client_for: Callable[..., AsyncOpenRouter]
) -> None:
    """The original's connections live on, those in use above all."""
    go_on = asyncio.Event()
    create = next(call for call in CALLS if call.name == "create")
    async with ScriptedServer(hold(go_on, create.ok()), default=create.ok()) as server:
        client = client_for(server)
        task = asyncio.ensure_future(create(client))
        await server.arrived(1)
        duplicate(client)
        gc.collect()
        go_on.set()
        assert (await task).data.name == "acme"
        await create(duplicate(client))
        await create(client)
    assert len(server.requests) == 3


@pytest.fixture
def client_for() -> Any:
    """Clients of a scripted server, closed by the loop's end."""

    def make(server: ScriptedServer) -> AsyncOpenRouter:
        client = AsyncOpenRouter(KEY, server_url=server.api_url)
        made.append(client)
        return client

    made: list[AsyncOpenRouter] = []
    yield make
    for client in made:
        asyncio.run(client.close())


@pytest.mark.parametrize("duplicate", DUPLICATES.values(), ids=list(DUPLICATES))
def test_a_duplicate_outlives_the_original(duplicate: Duplicate) -> None:
    """Blocking: whichever is dropped first, the other works; closing one closes both."""
    with Sandbox() as box:
        client = OpenRouter(box.management_key, server_url=box.url)
        twin = duplicate(client)
        duplicate(client)
        gc.collect()
        assert client.api_keys.get(EXAMPLE_HASH)
        keys = duplicate(client).api_keys
        del client
        gc.collect()
        assert twin.api_keys.get(EXAMPLE_HASH).data == keys.get(EXAMPLE_HASH).data
        twin.close()
        with pytest.raises(ClientClosedError):
            keys.list()


@pytest.mark.parametrize("kind", [AsyncOpenRouter, OpenRouter])
def test_a_client_is_not_pickled(kind: type[Any]) -> None:
    """It says so, and no key is in what it says."""
    client = kind(KEY)
    with pytest.raises(TypeError, match="cannot be pickled") as caught:
        pickle.dumps(client)
    assert KEY not in str(caught.value)


@pytest.mark.parametrize("kind", [AsyncOpenRouter, OpenRouter])
@pytest.mark.parametrize("duplicate", DUPLICATES.values(), ids=list(DUPLICATES))
def test_a_subclass_makes_its_like(kind: Any, duplicate: Duplicate) -> None:
    """Class, methods and attributes stay; `__init__` is not called again."""
    calls: list[str] = []

    class Tenant(kind):  # type: ignore[misc, valid-type]
        def __init__(self, tenant: str) -> None:
            super().__init__(KEY)
            calls.append(tenant)
            self.tenant = tenant

        def greet(self) -> str:
            return f"{self.tenant}: {self.api_keys is not original.api_keys}"

    original = Tenant("acme")
    twin = duplicate(duplicate(original))
    assert type(twin) is Tenant
    assert twin.greet() == "acme: True"
    assert calls == ["acme"]


@pytest.mark.parametrize("kind", [AsyncOpenRouter, OpenRouter])
def test_a_twin_that_is_refused_leaves_the_original(kind: Any) -> None:
    """An unknown option makes no half twin, whose end would be the original's."""
    client = kind(KEY)
    with pytest.raises(TypeError):
        client.with_options(tiemout=1)
    gc.collect()
    core = getattr(client, "_client", client)._shared
    assert core._clients == 1


@pytest.mark.parametrize("make", [lambda kind: mock.Mock(spec=kind), mock.create_autospec])
@pytest.mark.parametrize("kind", [AsyncOpenRouter, OpenRouter])
def test_a_mock_knows_the_resources(make: Callable[[Any], Any], kind: Any) -> None:
    """`Mock(spec=...)` and `create_autospec` have them, and nothing that does not exist."""
    mocked = make(kind)
    assert mocked.api_keys.list is not None
    assert mocked.workspaces.list is not None
    with pytest.raises(AttributeError):
        _ = mocked.api_keyz


async def test_an_autospec_knows_methods_and_parameters() -> None:
    """A mocked client takes what the real methods take, and is awaited as they are."""
    client = mock.create_autospec(AsyncOpenRouter)(KEY)
    client.api_keys.get.return_value = "answer"
    assert await client.api_keys.get(EXAMPLE_HASH) == "answer"
    client.api_keys.get.assert_awaited_once_with(EXAMPLE_HASH)
    with pytest.raises(TypeError):
        client.api_keys.get(hesh=EXAMPLE_HASH)
    with pytest.raises(AttributeError):
        _ = client.api_keys.lst
    assert inspect.iscoroutinefunction(client.workspaces.list)


def test_a_blocking_autospec_knows_methods_and_parameters() -> None:
    """The same for the blocking client, with `instance=True` too."""
    for client in (
        mock.create_autospec(OpenRouter)(KEY),
        mock.create_autospec(OpenRouter, instance=True),
    ):
        client.api_keys.get.return_value = "answer"
        assert client.api_keys.get(EXAMPLE_HASH) == "answer"
        with pytest.raises(TypeError):
            client.api_keys.get()
        with pytest.raises(AttributeError):
            _ = client.workspaces.lst


def test_the_class_says_what_its_instances_have() -> None:
    """On the class stands the attribute's class; without `__init__` there is nothing."""
    assert AsyncOpenRouter.api_keys is api_keys.APIKeys  # type: ignore[comparison-overlap]
    assert OpenRouter.api_keys is _sync_resources.APIKeys  # type: ignore[comparison-overlap]
    with pytest.raises(AttributeError, match="AsyncOpenRouter was not set up"):
        _ = AsyncOpenRouter.__new__(AsyncOpenRouter).api_keys
