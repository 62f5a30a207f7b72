"""The blocking client where only a process of its own can tell: Ctrl-C, fork, exit."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from support.programs import complaints
from support.server import ThreadedServer
from support.steps import reply, stall_head

from openrouter_async.sandbox import EXAMPLE_HASH, Sandbox

PRELUDE = """
import logging, os, sys, signal, threading, time
logging.getLogger("asyncio").setLevel("ERROR")  # a busy machine is slow
import openrouter_async as o
client = o.OpenRouter(api_key=os.environ["KEY"], server_url=os.environ["URL"])
"""


def start(code: str, env: Mapping[str, str], before: str = "") -> subprocess.Popen[str]:
    """Run a program in the strictest Python there is; `before`: ahead of what all have."""
    program = textwrap.dedent(before) + PRELUDE + textwrap.dedent(code)
    return subprocess.Popen(
        [sys.executable, "-X", "dev", "-W", "error", "-c", program],
        env={**os.environ, **env},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(
    code: str,
    env: Mapping[str, str],
    *,
    before: str = "",
    said: Callable[[], object] | None = None,
) -> tuple[int, str, str]:
    """Run a program to its end: exit code, stdout, stderr. After `said` it is told to go on."""
    process = start(code, env, before)
    try:
        if said:
            said()
        out, err = process.communicate("go\n", timeout=30)
    finally:
        process.kill()
    return process.returncode, out, complaints(err)


@pytest.fixture
def env() -> Mapping[str, str]:
    """What a program needs to find a sandbox."""
    with Sandbox(keys=3) as box:
        yield {"KEY": box.management_key, "URL": box.url}


def test_exit_with_an_open_client_is_silent(env: Mapping[str, str]) -> None:
    """Fault 29: exit code 0 and nothing on stderr, although nobody closed the client."""
    assert run("print(len(client.api_keys.list().data) > 0)", env) == (0, "True\n", "")


def test_exit_from_a_failing_script_shows_only_its_error(env: Mapping[str, str]) -> None:
    """Fault 29: the script's own error is all that stderr has."""
    code, _, err = run("client.api_keys.list(); raise SystemExit('mine')", env)
    assert (code, err) == (1, "mine\n")


def test_a_call_at_exit_is_refused_or_answered_but_never_hangs(env: Mapping[str, str]) -> None:
    """Fault 28: an `atexit` function that calls a closed client gets an error of ours."""
    code, out, err = run(
        """
        import atexit
        def last():
            try:
                print(len(client.api_keys.list().data) > 0)
            except o.ClientClosedError as error:
                print(error)
        atexit.register(last)
        client.api_keys.list()
        """,
        env,
    )
    assert (code, err) == (0, "")
    assert out in {"True\n", "the client is closed\n"}


@pytest.mark.parametrize("ending", ["os._exit(0)", "sys.exit(0)"])
def test_a_forked_child_and_its_parent_both_go_on(env: Mapping[str, str], ending: str) -> None:
    """Fault 28: after a fork each has a thread and connections of its own."""
    code, out, err = run(
        f"""
        import warnings; warnings.simplefilter("ignore", DeprecationWarning)
        first = client.api_keys.list().data
        pid = os.fork()
        if not pid:
            print("child", client.api_keys.list().data == first, flush=True)
            client.close()
            {ending}
        print(os.waitpid(pid, 0)[1], client.api_keys.list().data == first)
        client.close()
        """,
        env,
    )
    assert (code, out, err) == (0, "child True\n0 True\n", "")


def test_a_fork_before_the_first_call(env: Mapping[str, str]) -> None:
    """Fault 28: a client that was made before the fork works on both sides."""
    code, out, err = run(
        """
        pid = os.fork()
        print("child" if not pid else os.waitpid(pid, 0)[1], len(client.api_keys.list().data) > 0)
        """,
        env,
    )
    assert (code, out, err) == (0, "child True\n0 True\n", "")


def interrupt(process: subprocess.Popen[str]) -> tuple[float, str, str]:
    """Send Ctrl-C; give the seconds until the end, and what was printed."""
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=40)
    return time.monotonic() - began, out, err


def test_ctrl_c_during_a_get() -> None:
    """Fault 27: the request is cancelled, its connection closed, and KeyboardInterrupt goes on."""
    with ThreadedServer(default=stall_head()) as server:
        process = start("client.api_keys.list()", {"KEY": "k", "URL": server.api_url})
        server.arrived(1)
        seconds, _, err = interrupt(process)
        assert seconds < 15
        assert err.splitlines()[-1] == "KeyboardInterrupt"
        server.until(lambda: server.requests[0].client_closed_early)
        assert len(server.requests) == 1


def test_ctrl_c_during_a_create_says_that_a_key_may_exist() -> None:
    """Fault 27: a create that had left carries a note with the name, and is not sent again."""
    with ThreadedServer(default=stall_head()) as server:
        process = start("client.api_keys.create('acme')", {"KEY": "k", "URL": server.api_url})
        server.arrived(1)
        _, _, err = interrupt(process)
        assert "may have made a key named 'acme'" in err
        assert len(server.requests) == 1


def test_ctrl_c_before_the_request_left_sends_nothing() -> None:
    """Fault 27: a call that waits for its key is cancelled before anything was sent."""
    with ThreadedServer(default=reply(200, json={"data": []})) as server:
        process = start(
            """
            import asyncio
            async def slow():
                print("asked", flush=True)
                await asyncio.sleep(60)
            o.OpenRouter(api_key=slow, server_url=os.environ["URL"]).api_keys.create("acme")
            """,
            {"KEY": "k", "URL": server.api_url},
        )
        assert process.stdout is not None
        assert process.stdout.readline() == "asked\n"
        _, _, err = interrupt(process)
        assert "may have made a key" not in err
        assert server.requests == []


def test_the_client_works_after_ctrl_c(env: Mapping[str, str]) -> None:
    """Fault 27: a caught interrupt leaves a client that answers the next call."""
    with ThreadedServer(stall_head(), default=reply(200, json={"data": []})) as server:
        process = start(
            """
            try:
                client.api_keys.list()
            except KeyboardInterrupt:
                print(client.api_keys.list().data, flush=True)
            """,
            {"KEY": "k", "URL": server.api_url},
        )
        server.arrived(1)
        _, out, err = interrupt(process)
        assert (out, err) == ("[]\n", "")


HANGS = {
    "sink": "client.api_keys.provision('a', sink=hang)",
    "async sink": "client.api_keys.provision('a', sink=hang_async)",
    "key function": "again(api_key=hang).api_keys.list()",
    "executor": "again(api_key=hang_in_executor).api_keys.list()",
    "progress": "client.api_keys.get_many([HASH], progress=hang)",
    "on_attempt": "again(on_attempt=hang).api_keys.list()",
    "resolver": "again(server_url='https://any.example').api_keys.list()",
}
HANGING = f"""
HASH = {EXAMPLE_HASH!r}
import asyncio, socket
def hang(*_, **__):
    print("hangs", flush=True)
    time.sleep(60)
async def hang_async(*_):
    hang()
async def hang_in_executor():
    await asyncio.to_thread(hang)
socket.getaddrinfo = hang
def again(**options):
    options = {{"api_key": os.environ["KEY"], "server_url": os.environ["URL"], **options}}
    return o.OpenRouter(**options)
"""


@pytest.mark.parametrize("what", HANGS)
def test_ctrl_c_ends_a_program_whatever_hangs(
    what: str, env: Mapping[str, str], tmp_path: Path
) -> None:
    """Neither a function of the caller's nor a resolver holds the end of the program back."""
    process = start(HANGING + HANGS[what], {**env, "XDG_STATE_HOME": str(tmp_path)})
    assert process.stdout is not None
    assert process.stdout.readline() == "hangs\n"
    seconds, _, err = interrupt(process)
    assert seconds < 15  # not the 60 s of the function
    assert "KeyboardInterrupt" in err


@pytest.mark.parametrize("what", HANGS)
def test_a_program_ends_whatever_hangs(what: str, env: Mapping[str, str], tmp_path: Path) -> None:
    """The same at a normal exit, with the call in a daemon thread."""
    process = start(
        f"""{HANGING}
def call():
    try:
        {HANGS[what]}
    except o.OpenRouterError:
        pass
threading.Thread(target=call, daemon=True).start()
sys.stdin.readline()
""",
        {**env, "XDG_STATE_HOME": str(tmp_path)},
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "hangs\n"
    began = time.monotonic()
    _, err = process.communicate("go\n", timeout=40)
    assert (process.returncode, err) == (0, "")
    assert time.monotonic() - began < 15


SHORTAGES = {
    "files": (
        """
        import resource
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        room = int(os.environ["ROOM"])
        files = os.dup(0)
        os.close(files)  # the lowest one that is free
        def shortage(): resource.setrlimit(resource.RLIMIT_NOFILE, (files + room, hard))
        def relief(): resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        """,
        "Too many open files",
    ),
    "threads": (
        """
        import resource
        soft, hard = resource.getrlimit(resource.RLIMIT_AS)
        with open("/proc/self/statm") as statm:
            size = int(statm.read().split()[0]) * os.sysconf("SC_PAGESIZE")
        def shortage():
            threading.stack_size(256 * 1024 * 1024)
            resource.setrlimit(resource.RLIMIT_AS, (size + 64 * 1024 * 1024, hard))
        def relief():
            threading.stack_size(0)
            resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
        """,
        "can't start new thread",
    ),
}


@pytest.mark.skipif(sys.platform != "linux", reason="limits are not the same elsewhere")
@pytest.mark.parametrize("room", [0, 1, 2])
@pytest.mark.parametrize("what", SHORTAGES)
def test_a_thread_that_cannot_be_started(what: str, room: int, env: Mapping[str, str]) -> None:
    """An error of ours says so, nothing is left open, and a later call works."""
    limits, words = SHORTAGES[what]
    code, out, err = run(
        f"""
        {limits}
        import gc
        def descriptors(): return sorted(os.listdir("/proc/self/fd"))
        before = descriptors()
        for _ in range(3):
            shortage()
            try:
                client.api_keys.list()
            except o.APIConnectionError as error:
                print({words!r} in str(error), error.attempts, error.__context__)
            relief()
        gc.collect()
        print(descriptors() == before)
        print(len(client.api_keys.list().data) > 0)
        client.close()
        """,
        {**env, "ROOM": str(room)},
    )
    assert (code, err) == (0, "")
    assert out == "True 0 None\n" * 3 + "True\nTrue\n"


def test_calls_while_python_shuts_down(env: Mapping[str, str]) -> None:
    """A finalizer that calls a client when no thread would run any more is told so.

    One client was closed at the exit; the other was made after that.
    """
    code, out, err = run(
        """
        class Late:
            def __init__(self, *clients):
                self.clients, self.os, self.error = clients, os, o.ClientClosedError
            def __del__(self):
                for each in self.clients:
                    try:
                        each.api_keys.list()
                    except self.error as error:
                        self.os.write(1, f"{error}\\n".encode())
        def at_exit():
            globals()["late"] = Late(client, another())
        client.api_keys.list()
        """,
        env,
        before="""
        import atexit
        atexit.register(lambda: at_exit())  # runs after whatever is registered later
        def another(): return o.OpenRouter(api_key=os.environ["KEY"], server_url=os.environ["URL"])
        """,
    )
    assert (code, err) == (0, "")
    assert out == "the client is closed\nPython is shutting down\n"


def test_a_loop_that_breaks_fails_every_open_call(env: Mapping[str, str]) -> None:
    """As where somebody closes all descriptors: open calls fail, the next one has a new loop."""
    with ThreadedServer(default=stall_head()) as silent:
        code, out, _ = run(  # stderr has what asyncio says of a broken loop
            """
            import asyncio
            loops, errors = [], []
            def on_attempt(*_):
                if not loops:
                    loops.append(asyncio.get_running_loop())
                    os.close(loops[0]._selector.fileno())
            client = o.OpenRouter(
                os.environ["KEY"], server_url=os.environ["URL"], on_attempt=on_attempt
            )
            silent = client.with_options(server_url=os.environ["SILENT"])
            def stalled():
                try:
                    silent.api_keys.list()
                except o.ClientClosedError as error:
                    errors.append(str(error))
            threads = [threading.Thread(target=stalled, daemon=True) for _ in range(2)]
            for thread in threads: thread.start()
            sys.stdin.readline()
            client.api_keys.list()
            for thread in threads: thread.join(10)
            print(["event loop failed" in error for error in errors])
            print(len(client.api_keys.list().data) > 0)
            """,
            {**env, "SILENT": silent.api_url},
            said=lambda: silent.arrived(2, within=20),
        )
    assert (code, out) == (0, "[True, True]\nTrue\n")


ASYNC_EXITS = {
    "on_attempt": "client(on_attempt=leave).api_keys.get_many(HASHES)",
    "on_attempt of a prefetched page": "all_of(client(on_attempt=leave))",
    "async key function": "client(api_key=leave_later).api_keys.get_many(HASHES)",
    "progress of get_many": "client().api_keys.get_many(HASHES, progress=leave)",
    "progress of disable_many": "client().api_keys.disable_many(HASHES, progress=leave)",
    "progress of an audit": "client().audit(progress=leave)",
    "sink factory": "client().api_keys.create_many([{'name': 'a'}] * 2, sink=leave)",
    "sink": "client().api_keys.provision('a', sink=leave)",
    "async sink": "client().api_keys.provision('a', sink=leave_later)",
}


@pytest.mark.parametrize("where", ASYNC_EXITS)
def test_an_exit_in_a_callback_of_the_async_client(
    where: str, env: Mapping[str, str], tmp_path: Path
) -> None:
    """`sys.exit()` ends the program with that code, and no task of ours holds it back."""
    code, out, _ = run(  # stderr may have what asyncio says of tasks that it could not ask
        f"""
        import asyncio
        HASHES = [key.hash for key in client.api_keys.list().data] * 3
        client.close()
        def leave(*_):
            raise SystemExit(7)
        async def leave_later(*_):
            await asyncio.sleep(0)
            leave()
        async def all_of(client):
            return [key async for key in client.api_keys.iter(concurrency=4)]
        made = []
        def client(**options):
            options = {{"api_key": os.environ["KEY"], "server_url": os.environ["URL"], **options}}
            made.append(o.AsyncOpenRouter(**options))
            return made[-1]
        async def main():
            try:
                await {ASYNC_EXITS[where]}
            finally:
                await made[-1].close()
                print("closed")
        asyncio.run(main())
        """,
        {**env, "XDG_STATE_HOME": str(tmp_path)},
    )
    assert (code, out) == (7, "closed\n")
