"""An answer that has arrived is read, although the loop comes to it after the time-out."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time

import pytest
from support import certificates
from support.calls import CREATE, GET, KEY, NEW_KEY, Call, ClientFor, record
from support.server import ThreadedServer
from support.steps import hold

from openrouter_async import AmbiguousCreateError, APITimeoutError

TIMEOUT = 0.2  # seconds
PAGE = {"data": [record(hash=f"{number:064x}") for number in range(100)]}
LARGE_PAGE = {"data": [record(name="x" * 20_000) for number in range(100)]}


def be_busy() -> None:
    """Keep the loop from running until every time-out of these tests has passed, and longer."""
    time.sleep(3 * TIMEOUT)


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize(
    "call",
    [CREATE, GET, Call("list", "GET", "/keys", PAGE), Call("list", "GET", "/keys", LARGE_PAGE)],
    ids=["create", "get", "page of 70 kB", "page of 2 MB"],
)
@pytest.mark.parametrize("limit", ["timeout", "total_timeout"])
async def test_the_loop_was_busy(
    limit: str, call: Call, *, tls: bool, client_for: ClientFor
) -> None:
    """The bytes and the timer are handled in one round of the loop; the bytes count."""
    answer = threading.Event()
    context = certificates.good_server() if tls else None
    with ThreadedServer(default=hold(answer, call.ok()), tls=context) as server:
        client = client_for(
            server.api_url, ssl=certificates.trusting_client(), retries=None, **{limit: TIMEOUT}
        )
        task = asyncio.ensure_future(call(client))
        while not server.requests:
            await asyncio.sleep(0.001)
        answer.set()
        be_busy()
        await task
    assert len(server.requests) == 1


@pytest.mark.parametrize("call", [CREATE, GET], ids=str)
async def test_without_an_answer_it_is_a_time_out(call: Call, client_for: ClientFor) -> None:
    """What has not come by then is not waited for."""
    never = threading.Event()
    with ThreadedServer(default=hold(never, call.ok())) as server:
        client = client_for(server.api_url, retries=None, timeout=TIMEOUT)
        task = asyncio.ensure_future(call(client))
        while not server.requests:
            await asyncio.sleep(0.001)
        be_busy()
        with pytest.raises(AmbiguousCreateError if call is CREATE else APITimeoutError):
            await asyncio.wait_for(task, 2)
        never.set()


@pytest.mark.parametrize("call", [CREATE, GET], ids=str)
async def test_nothing_is_sent_after_the_limit(call: Call, client_for: ClientFor) -> None:
    """A connection that was made meanwhile is of no use: nothing was sent, and nothing will be."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/api/v1"
        client = client_for(url, retries=None, timeout=TIMEOUT)
        task = asyncio.ensure_future(call(client))
        await asyncio.sleep(0)  # until it waits for its connection
        be_busy()
        with pytest.raises(APITimeoutError, match="no connection"):
            await task
        listener.settimeout(2)
        accepted, _ = listener.accept()
        with accepted:
            accepted.settimeout(2)
            assert accepted.recv(1) == b""


async def test_many_calls_at_once(client_for: ClientFor) -> None:
    """All of those that were answered get their answers."""
    answer = threading.Event()
    with ThreadedServer(default=hold(answer, CREATE.ok())) as server:
        client = client_for(server.api_url, retries=None, timeout=TIMEOUT)
        tasks = [asyncio.ensure_future(CREATE(client)) for _ in range(50)]
        while len(server.requests) < 50:
            await asyncio.sleep(0.001)
        answer.set()
        be_busy()
        created = await asyncio.gather(*tasks)
    assert [answer.key for answer in created] == [NEW_KEY] * 50


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="only POSIX stops processes")
@pytest.mark.parametrize("kind", ["async", "blocking"])
def test_the_process_was_stopped(kind: str) -> None:
    """As by Ctrl-Z, a debugger, a suspended machine: what came meanwhile is read on waking up."""
    program = {
        "async": """
            import asyncio, sys
            from openrouter_async import AsyncOpenRouter

            async def main():
                client = AsyncOpenRouter(sys.argv[1], server_url=sys.argv[2], timeout=1)
                async with client:
                    print((await client.api_keys.create(name="acme")).key)

            asyncio.run(main())
        """,
        "blocking": """
            import sys
            from openrouter_async import OpenRouter

            with OpenRouter(sys.argv[1], server_url=sys.argv[2], timeout=1) as client:
                print(client.api_keys.create(name="acme").key)
        """,
    }[kind]
    answer = threading.Event()
    with ThreadedServer(default=hold(answer, CREATE.ok())) as server:
        command = [sys.executable, "-c", textwrap.dedent(program), KEY, server.api_url]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            server.arrived(1, within=30)
            os.kill(process.pid, signal.SIGSTOP)
            answer.set()
            server.until(lambda: server.requests[0].outcome == "done")
            time.sleep(1.5)  # the stopped process's own time-out passes
            os.kill(process.pid, signal.SIGCONT)
            said, _ = process.communicate(timeout=20)
    assert (said.strip(), process.returncode) == (NEW_KEY, 0)
