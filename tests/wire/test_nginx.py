"""The client through a real proxy, nginx, in front of the sandbox; skipped where there is none."""

import asyncio
import shutil
import socket
import subprocess
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest

from openrouter_async import (
    AmbiguousCreateError,
    APIConnectionError,
    AsyncOpenRouter,
    OpenRouterDefaultError,
    RetryConfig,
)
from openrouter_async.sandbox import Sandbox

NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
pytestmark = pytest.mark.skipif(NGINX is None, reason="nginx is not installed")
QUICK = RetryConfig(initial_interval=0.01, max_interval=0.02)
CONFIG = """
daemon off;
master_process off;
pid {folder}/pid;
error_log {folder}/error.log;
events {{}}
http {{
    access_log {folder}/access.log;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    limit_req_zone $binary_remote_addr zone=slow:1m rate=10r/s;
    limit_req_status 429;
    client_max_body_size 1k;
    proxy_read_timeout 300ms;
    server {{
        listen 127.0.0.1:{port};
        location /fine/ {{ proxy_pass {upstream}/; }}
        location /limited/ {{ limit_req zone=slow; proxy_pass {upstream}/; }}
        location /gone/ {{ proxy_pass http://127.0.0.1:9/; }}
        location /silent/ {{ return 444; }}
    }}
}}
"""


def free_port() -> int:
    """A port that was free a moment ago."""
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture
async def box() -> AsyncIterator[Sandbox]:
    """What stands behind the proxy."""
    async with Sandbox(keys=5) as box:
        yield box


@pytest.fixture
async def proxy(box: Sandbox, tmp_path: Path) -> AsyncIterator[str]:
    """The proxy's address; its locations are named after what they do."""
    port = free_port()
    config = tmp_path / "nginx.conf"
    config.write_text(CONFIG.format(folder=tmp_path, port=port, upstream=box.url))
    process = subprocess.Popen(  # noqa: ASYNC220  # it is there at once
        [str(NGINX), "-p", str(tmp_path), "-c", str(config)], stderr=subprocess.DEVNULL
    )
    try:
        for _ in range(200):
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.02)
            else:
                writer.close()
                break
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(timeout=5)


def client_of(box: Sandbox, url: str) -> AsyncOpenRouter:
    """A client that waits little between attempts."""
    return AsyncOpenRouter(box.management_key, server_url=url, retries=QUICK)


async def test_everything_works_through_it(box: Sandbox, proxy: str) -> None:
    """The six operations, with the proxy's own headers and connections in between."""
    async with client_of(box, f"{proxy}/fine") as client:
        created = await client.api_keys.create("through nginx", limit=1)
        key = created.data.hash
        assert (await client.api_keys.get(key)).data.name == "through nginx"
        assert (await client.api_keys.update(key, limit=None)).data.limit is None
        assert len((await client.api_keys.list(include_disabled=True)).data) > 1
        assert (await client.api_keys.get_current_key_metadata()).data.is_management_key
        assert (await client.api_keys.delete(key)).deleted


async def test_its_rate_limit_is_waited_out(box: Sandbox, proxy: str) -> None:
    """429 as HTML and without Retry-After: every call succeeds in the end, creates once each."""
    patient = RetryConfig(max_attempts=20, initial_interval=0.2, max_interval=0.5)
    async with client_of(box, f"{proxy}/limited") as client:
        before = len(box.keys)
        creates = [client.api_keys.create(f"n{n}", retries=patient) for n in range(5)]
        made = await asyncio.gather(*creates)
    assert len({each.data.hash for each in made}) == 5
    assert len(box.keys) == before + 5


async def test_502_when_nothing_is_behind_it(box: Sandbox, proxy: str) -> None:
    """A read is repeated and fails by status; a create is ambiguous, though it never arrived."""
    async with client_of(box, f"{proxy}/gone") as client:
        with pytest.raises(OpenRouterDefaultError) as caught:
            await client.api_keys.list()
        assert (caught.value.status_code, caught.value.attempts) == (502, 3)
        with pytest.raises(AmbiguousCreateError) as ambiguous:
            await client.api_keys.create("acme")
        assert (ambiguous.value.status_code, ambiguous.value.attempts) == (502, 1)


async def test_504_when_the_service_is_slow(box: Sandbox, proxy: str) -> None:
    """The proxy gives up on a create that works: one key, and an error that says so."""
    box.fail("create", delay=0.6)
    before = len(box.keys)
    async with client_of(box, f"{proxy}/fine") as client:
        with pytest.raises(AmbiguousCreateError) as caught:
            await client.api_keys.create("slow")
        assert caught.value.status_code == 504
        found = await client.api_keys.find_candidates(caught.value, within=5)
    assert [key.name for key in found] == ["slow"]
    assert len(box.keys) == before + 1


async def test_413_is_definite(box: Sandbox, proxy: str) -> None:
    """A body that the proxy refuses never reached the service: no ambiguity, no repeat."""
    async with client_of(box, f"{proxy}/fine") as client:
        with pytest.raises(OpenRouterDefaultError) as caught:
            await client.api_keys.create("n" * 2000)
    assert (caught.value.status_code, caught.value.attempts) == (413, 1)
    assert not isinstance(caught.value, AmbiguousCreateError)
    assert box.requests == []


async def test_444_closes_without_a_word(box: Sandbox, proxy: str) -> None:
    """No answer at all: repeated for a read, ambiguous for a create."""
    async with client_of(box, f"{proxy}/silent") as client:
        with pytest.raises(APIConnectionError) as caught:
            await client.api_keys.list()
        assert caught.value.attempts == 3
        with pytest.raises(AmbiguousCreateError):
            await client.api_keys.create("acme")
