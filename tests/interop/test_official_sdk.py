"""The official SDK, which nobody here wrote, works against the sandbox and reads what we read."""

import datetime as dt
from collections.abc import Iterator
from typing import Any

import openrouter
import openrouter.errors
import pytest
from openrouter.utils import BackoffStrategy, RetryConfig

import openrouter_async as ours
from openrouter_async.sandbox import EXAMPLE_HASH, Sandbox

# Its models warn of their own deprecated fields.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
ONCE = RetryConfig("none", BackoffStrategy(1, 1, 1, 1), retry_connection_errors=False)


@pytest.fixture
def box() -> Iterator[Sandbox]:
    """An account as large as two pages of its default workspace."""
    with Sandbox(keys=250) as box:
        yield box


def theirs(box: Sandbox, **options: Any) -> openrouter.OpenRouter:
    """The official client, told not to repeat."""
    return openrouter.OpenRouter(
        api_key=box.management_key, server_url=box.url, retry_config=ONCE, **options
    )


def plain(model: Any) -> Any:
    """The official SDK's model as JSON-ready data, timestamps as ours write them."""
    return normal(model.model_dump(mode="json", by_alias=False))


def normal(value: Any, name: str = "") -> Any:
    """Bring timestamps, which one side may hold as text, to one form."""
    if isinstance(value, dict):
        return {key: normal(item, key) for key, item in value.items()}
    if isinstance(value, list):
        return [normal(item, name) for item in value]
    if name.endswith("_at") and isinstance(value, str):
        return dt.datetime.fromisoformat(value)
    return value


def assert_same(official: Any, response: Any) -> None:
    """Each field that the official model has is one of ours, with an equal value."""
    expected, found = plain(official), normal(ours.to_dict(response))
    assert_within(expected, found, "answer")


def assert_within(expected: Any, found: Any, path: str) -> None:
    """Compare what both know; where something differs, name it."""
    if isinstance(expected, dict):
        for key, value in expected.items():
            if value is not None or key in found:
                assert_within(value, found[key], f"{path}.{key}")
    elif isinstance(expected, list):
        assert len(expected) == len(found), path
        for number, (one, other) in enumerate(zip(expected, found, strict=True)):
            assert_within(one, other, f"{path}[{number}]")
    else:
        assert expected == found, path


def test_blocking_clients_read_the_same(box: Sandbox) -> None:
    """list, get, update and the current key come out equal; create and delete do their work."""
    with theirs(box) as official, ours.OpenRouter(box.management_key, server_url=box.url) as client:
        pages = {"include_disabled": True, "include_expired": True, "offset": 20}
        assert_same(official.api_keys.list(**pages), client.api_keys.list(**pages))
        for key in box.keys[:20]:
            assert_same(official.api_keys.get(hash=key.hash), client.api_keys.get(key.hash))
        created = official.api_keys.create(
            name="acme",
            limit=50,
            limit_reset="monthly",
            include_byok_in_limit=True,
            expires_at=dt.datetime(2030, 1, 1, tzinfo=dt.UTC),
        )
        key = created.data.hash
        assert client.api_keys.get(key).data.expires_at == created.data.expires_at
        updated = official.api_keys.update(hash=key, name="new", limit=None, disabled=True)
        assert_same(updated, client.api_keys.get(key))
        assert official.api_keys.delete(hash=key).DELETED is True
        with pytest.raises(ours.NotFoundResponseError):
            client.api_keys.get(key)
        assert_same(
            official.api_keys.get_current_key_metadata(),
            client.api_keys.get_current_key_metadata(),
        )


async def test_async_clients_read_the_same(box: Sandbox) -> None:
    """The same six operations, both sides async."""
    async with (
        theirs(box) as official,
        ours.AsyncOpenRouter(box.management_key, server_url=box.url) as client,
    ):
        assert_same(await official.api_keys.list_async(), await client.api_keys.list())
        created = await official.api_keys.create_async(name="acme", limit=1.5)
        key = created.data.hash
        assert_same(await official.api_keys.get_async(hash=key), await client.api_keys.get(key))
        updated = await official.api_keys.update_async(hash=key, limit_reset="daily")
        assert_same(updated, await client.api_keys.get(key))
        assert (await official.api_keys.delete_async(hash=key)).DELETED is True
        with pytest.raises(ours.NotFoundResponseError):
            await client.api_keys.get(key)
        assert_same(
            await official.api_keys.get_current_key_metadata_async(),
            await client.api_keys.get_current_key_metadata(),
        )


def test_the_key_of_either_works_for_the_other(box: Sandbox) -> None:
    """A plaintext that one client got describes the same key through the other."""
    with theirs(box) as official, ours.OpenRouter(box.management_key, server_url=box.url) as client:
        secrets = [official.api_keys.create(name="a").key, client.api_keys.create("b").key]
    for secret in secrets:
        with (
            openrouter.OpenRouter(api_key=secret, server_url=box.url) as one,
            ours.OpenRouter(secret, server_url=box.url) as other,
        ):
            assert_same(
                one.api_keys.get_current_key_metadata(), other.api_keys.get_current_key_metadata()
            )


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 429, 500, 502])
def test_errors_have_the_same_names(box: Sandbox, status: int) -> None:
    """Where both have a class for a status of `update`, it has the same name."""
    box.fail("update", status=status, times=2)
    with (
        theirs(box) as official,
        ours.OpenRouter(box.management_key, server_url=box.url, retries=None) as client,
    ):
        with pytest.raises(openrouter.errors.OpenRouterError) as expected:
            official.api_keys.update(hash=EXAMPLE_HASH, name="x")
        with pytest.raises(ours.OpenRouterError) as found:
            client.api_keys.update(EXAMPLE_HASH, name="x")
    assert type(found.value).__name__ == type(expected.value).__name__
    assert found.value.status_code == expected.value.status_code == status


def test_a_failing_create_tells_the_clients_apart(box: Sandbox) -> None:
    """The official SDK repeats a POST that may have worked, by default; this client never does."""
    before = len(box.keys)
    box.fail("create", status=500, after_effect=True, times=1)
    with openrouter.OpenRouter(api_key=box.management_key, server_url=box.url) as official:
        official.api_keys.create(name="twice")
    assert len(box.keys) == before + 2
    box.fail("create", status=500, after_effect=True, times=1)
    with (
        ours.OpenRouter(box.management_key, server_url=box.url) as client,
        pytest.raises(ours.AmbiguousCreateError),
    ):
        client.api_keys.create("once")
    assert len(box.keys) == before + 3
