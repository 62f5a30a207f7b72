"""The blocking client where only a process of its own can tell: Ctrl-C, fork, exit."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Mapping

import pytest
from support.server import ThreadedServer
from support.steps import reply, stall_head

from openrouter_async.sandbox import Sandbox

PRELUDE = """
import os, sys, signal, threading, time
import openrouter_async as o
client = o.OpenRouter(api_key=os.environ["KEY"], server_url=os.environ["URL"])
"""


def start(code: str, env: Mapping[str, str], *flags: str) -> subprocess.Popen[str]:
    """Run a program in the strictest Python there is."""
    program = PRELUDE + textwrap.dedent(code)
    return subprocess.Popen(
        [sys.executable, "-X", "dev", "-W", "error", *flags, "-c", program],
        env={**os.environ, **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(code: str, env: Mapping[str, str]) -> tuple[int, str, str]:
    """Run a program to its end: exit code, stdout, stderr."""
    process = start(code, env)
    out, err = process.communicate(timeout=30)
    return process.returncode, out, err


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
    out, err = process.communicate(timeout=20)
    return time.monotonic() - began, out, err


def test_ctrl_c_during_a_get() -> None:
    """Fault 27: the request is cancelled, its connection closed, and KeyboardInterrupt goes on."""
    with ThreadedServer(default=stall_head()) as server:
        process = start("client.api_keys.list()", {"KEY": "k", "URL": server.api_url})
        server.arrived(1)
        seconds, _, err = interrupt(process)
        assert seconds < 5
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
