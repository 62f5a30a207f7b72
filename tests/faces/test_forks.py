"""Processes that fork: the child works or is refused, and never touches what is its parent's."""

import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from support import certificates
from support.calls import KEY, NEW_KEY, record
from support.programs import complaints
from support.server import ThreadedServer
from support.steps import Step, delay, reply
from support.wire import Request

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")

PRELUDE = """
import asyncio, logging, multiprocessing, os, ssl, sys, threading, time, traceback, warnings
import openrouter_async as o
warnings.simplefilter("ignore", DeprecationWarning)  # of forking with threads
sys.setswitchinterval(1e-6)
logging.getLogger("asyncio").setLevel("ERROR")  # a busy machine is slow
tls = ssl.create_default_context(cafile=os.environ["CA"])
options = {"server_url": os.environ["URL"], "ssl": tls, "retries": None}

def hashes(who, count=20):
    return [f"{who}-{number:04d}-{'0' * 8}" for number in range(count)]

def get_all(client, names):
    return [client.api_keys.get(name).data.hash for name in names] == names

async def get_all_async(client, names):
    got = await asyncio.gather(*(client.api_keys.get(name) for name in names))
    return [answer.data.hash for answer in got] == names

def at_once(client, who, threads=8):
    right, start = [], threading.Barrier(threads)
    def work(number):
        start.wait()
        right.append(get_all(client, hashes(f"{who}{number}", 5)))
    workers = [threading.Thread(target=work, args=(n,), daemon=True) for n in range(threads)]
    for worker in workers: worker.start()
    for worker in workers: worker.join(10)
    return right == [True] * threads

def in_child(work):
    pid = os.fork()
    if not pid:
        status = 2
        try:
            status = 0 if work() else 1
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(status)
    return pid

def ended_well(*pids):
    deadline = time.monotonic() + 15
    codes = []
    for pid in pids:
        while not (done := os.waitpid(pid, os.WNOHANG))[0]:
            if time.monotonic() > deadline:
                os.kill(pid, 9)
            time.sleep(0.01)
        codes.append(os.waitstatus_to_exitcode(done[1]))
    return codes == [0] * len(pids) or codes
"""


def answer(request: Request) -> Step:
    """Answer with the record of the key that was asked for, or that was created, after a while."""
    if request.method == "POST":
        made = {"data": record(), "key": NEW_KEY}
        return delay(1.0, reply(201, json=made))
    name = request.target.rpartition("/")[2]
    return delay(1.0 if "slow" in name else 0.002, reply(200, json={"data": record(hash=name)}))


# Over TLS a connection has all that plain TCP has, and a state that must not be shared besides.
@pytest.fixture(params=["https", pytest.param("http", marks=pytest.mark.slow)])
def server(request: pytest.FixtureRequest) -> Iterator[ThreadedServer]:
    """A server that answers with the record of whatever key is asked for."""
    tls = certificates.good_server() if request.param == "https" else None
    with ThreadedServer(handler=answer, tls=tls) as scripted:
        yield scripted


@pytest.fixture
def env(server: ThreadedServer, tmp_path: Path) -> Mapping[str, str]:
    """What a program needs to find the server."""
    authority = tmp_path / "authority.pem"
    authority.write_bytes(certificates.authority_pem())
    return {"OPENROUTER_API_KEY": KEY, "URL": server.api_url, "CA": str(authority)}


def run(program: str, env: Mapping[str, str]) -> str:
    """Run a program to its end; what it printed, and it had no complaint."""
    ended = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", PRELUDE + textwrap.dedent(program)],
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ended.returncode, complaints(ended.stderr)) == (0, "")
    return ended.stdout


def test_many_threads_of_a_child_at_once(env: Mapping[str, str]) -> None:
    """Each gets its own record, in several children and in the parent, all at the same time."""
    assert (
        run(
            """
            client = o.OpenRouter(**options)
            client.api_keys.get("x" * 12)
            children = [in_child(lambda: at_once(client, f"child{n}")) for n in range(8)]
            print(at_once(client, "parent"), ended_well(*children), at_once(client, "after"))
            client.close()
            """,
            env,
        )
        == "True True True\n"
    )


def test_forks_in_the_midst_of_calls(env: Mapping[str, str]) -> None:
    """Whatever locks other threads hold when a thread forks, child and parent go on."""
    assert (
        run(
            """
            client = o.OpenRouter(**options)
            over, right = threading.Event(), []
            def call_on(number):
                while not over.is_set():
                    right.append(get_all(client, hashes(f"parent{number}", 5)))
            callers = [threading.Thread(target=call_on, args=(n,)) for n in range(4)]
            for caller in callers: caller.start()
            results = [
                ended_well(in_child(lambda: at_once(client, "child", 3) and not client.close()))
                for _ in range(15)
            ]
            over.set()
            for caller in callers: caller.join()
            print(results == [True] * 15, set(right))
            """,
            env,
        )
        == "True {True}\n"
    )


def test_multiprocessing(env: Mapping[str, str]) -> None:
    """A pool of forked workers uses the client that it inherits."""
    assert (
        run(
            """
            client = o.OpenRouter(**options)
            def work(number):
                return get_all(client, hashes(f"worker{number}", 5))
            client.api_keys.get("x" * 12)
            with multiprocessing.get_context("fork").Pool(3) as pool:
                print(all(pool.map(work, range(12))), get_all(client, hashes("parent")))
            """,
            env,
        )
        == "True True\n"
    )


def test_a_fork_in_the_clients_own_thread(env: Mapping[str, str]) -> None:
    """A callback that forks: the child works, ends, and the parent's calls are answered."""
    assert (
        run(
            """
            children = []
            def on_attempt(*_):
                if not children:
                    children.append(None)
                    children.append(in_child(lambda: at_once(client, "child")))
                    children.append(os.fork())  # this one returns into the loop, which ends
            client = o.OpenRouter(**options, on_attempt=on_attempt)
            print(at_once(client, "parent"), ended_well(*children[1:]), at_once(client, "after"))
            """,
            env,
        )
        == "True True True\n"
    )


def test_closing_in_a_child(env: Mapping[str, str]) -> None:
    """`close()` in a child ends the child's client, before its first call or after it."""
    assert (
        run(
            """
            client = o.OpenRouter(**options)
            def closes(first):
                if first:
                    get_all(client, hashes("child"))
                client.close()
                try:
                    client.api_keys.get("x" * 12)
                except o.ClientClosedError:
                    return True
            print(get_all(client, hashes("parent")))
            print(ended_well(*[in_child(lambda: closes(first)) for first in (False, True)]))
            print(get_all(client, hashes("after")))
            """,
            env,
        )
        == "True\nTrue\nTrue\n"
    )


def test_an_inherited_loop_is_refused(env: Mapping[str, str]) -> None:
    """Async, both go on with the same loop: the child is refused, the parent unharmed.

    Otherwise the two would read each other's responses, and take them for their own.
    """
    assert (
        run(
            """
            loop = asyncio.new_event_loop()
            client = o.AsyncOpenRouter(**options)
            new = o.AsyncOpenRouter(**options)
            def refused():
                for _ in range(30):
                    for each in (client, client.with_options(timeout=5), new):
                        try:
                            loop.run_until_complete(each.api_keys.get("x" * 12))
                        except o.WrongLoopError as error:
                            assert "forked child" in str(error)
                        else:
                            return False
                    loop.run_until_complete(asyncio.sleep(0.002))
                return True
            right = [loop.run_until_complete(get_all_async(client, hashes("before")))]
            under_way = loop.create_task(get_all_async(client, hashes("under-way", 10)))
            loop.run_until_complete(asyncio.sleep(0.001))
            children = [in_child(refused) for _ in range(2)]
            right.append(loop.run_until_complete(under_way))
            for _ in range(20):
                right.append(loop.run_until_complete(get_all_async(client, hashes("parent", 10))))
            print(set(right), ended_well(*children))
            loop.run_until_complete(client.close())
            loop.close()
            """,
            env,
        )
        == "{True} True\n"
    )


def test_a_child_with_a_loop_of_its_own(env: Mapping[str, str]) -> None:
    """Async, the child runs a new loop: it has connections of its own."""
    assert (
        run(
            """
            loop = asyncio.new_event_loop()
            client = o.AsyncOpenRouter(**options)
            def anew():
                async def main():
                    async with client:
                        return all([await get_all_async(client, hashes("child")) for _ in "123"])
                return asyncio.run(main())
            right = [loop.run_until_complete(get_all_async(client, hashes("before")))]
            children = [in_child(anew) for _ in range(3)]
            for _ in range(10):
                right.append(loop.run_until_complete(get_all_async(client, hashes("parent"))))
            print(set(right), ended_well(*children))
            loop.run_until_complete(client.close())
            loop.close()
            """,
            env,
        )
        == "{True} True\n"
    )


def test_a_fork_in_a_coroutine(env: Mapping[str, str]) -> None:
    """In the child of a task no loop runs, as asyncio sees it: an error of ours says so."""
    assert (
        run(
            """
            async def refused(client):
                for call in (client.api_keys.get("x" * 12), client.__aenter__()):
                    try:
                        await call
                    except o.WrongLoopError as error:
                        assert "no asyncio event loop" in str(error)
                    else:
                        return False
                await client.close()
                return True
            async def main():
                async with o.AsyncOpenRouter(**options) as client:
                    right = [await get_all_async(client, hashes("before"))]
                    pid = os.fork()
                    if not pid:
                        status = 1
                        try:
                            status = 0 if await refused(client) else 1
                        finally:
                            os._exit(status)
                    for _ in range(5):
                        right.append(await get_all_async(client, hashes("parent")))
                    print(set(right), await asyncio.to_thread(ended_well, pid))
            asyncio.run(main())
            """,
            env,
        )
        == "{True} True\n"
    )


@pytest.mark.parametrize("turns", [2, 6, 0], ids=["connecting", "in the handshake", "sent"])
def test_what_is_under_way_is_not_done_by_the_child_too(
    turns: int, server: ThreadedServer, env: Mapping[str, str]
) -> None:
    """A child that runs on with its parent's tasks sends nothing and gets none of the answers."""
    program = """
        loop = asyncio.new_event_loop()
        again = o.RetryConfig(initial_interval=0.01)
        client = o.AsyncOpenRouter(**{**options, "retries": again}, timeout=3)
        tasks = [loop.create_task(client.api_keys.get(name)) for name in hashes("slow", 4)]
        tasks.append(loop.create_task(client.api_keys.create("acme")))
        for _ in range(int(os.environ["TURNS"])):
            loop.run_until_complete(asyncio.sleep(0))
        if os.environ["TURNS"] == "0":
            loop.run_until_complete(asyncio.sleep(0.3))
        def fails():
            loop.run_until_complete(asyncio.wait(tasks, timeout=10))
            errors = [task.exception() for task in tasks]
            expected = o.WrongLoopError, o.AmbiguousCreateError, o.APIConnectionError
            return all(isinstance(error, expected) for error in errors) or print(errors)
        children = [in_child(fails), in_child(fails)]
        *gets, create = loop.run_until_complete(asyncio.gather(*tasks))
        print([get.data.hash for get in gets] == hashes("slow", 4), create.data.name)
        print(ended_well(*children))
        loop.run_until_complete(client.close())
        loop.close()
        """
    assert run(program, {**env, "TURNS": str(turns)}) == "True acme\nTrue\n"
    assert len({request.target for request in server.requests}) == len(server.requests) == 5
