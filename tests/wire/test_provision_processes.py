"""`provision` where only a process of its own can tell: exit, Ctrl-C, users, no home directory."""

import os
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.programs import complaints

from openrouter_async.provisioning import State, unfinished
from openrouter_async.sandbox import Sandbox

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals and users are POSIX's")

PRELUDE = """
import asyncio, os, sys, threading, time
from pathlib import Path
import openrouter_async as o
from openrouter_async.provisioning import *
from openrouter_async.provisioning._journal import Journal
key, url, folder = os.environ["KEY"], os.environ["URL"], os.environ["FOLDER"]
o.OpenRouter(key, server_url=url)  # imports aiohttp, which cannot be done once Python ends
begun = threading.Event()

def become(uid):
    # Another user, if this one may become one; what is to be imported must be imported before.
    if os.geteuid() == 0:
        os.setgroups([]); os.setgid(uid); os.setuid(uid)

async def in_a_loop(sink, name="acme"):
    async with o.AsyncOpenRouter(key, server_url=url) as client:
        begun.set()
        await client.api_keys.provision(name, sink=sink, journal_dir=folder + "/journal")

def blocking(sink, name="acme"):
    with o.OpenRouter(key, server_url=url) as client:
        client.api_keys.list()  # starts the client's thread, which Python 3.12 refuses at its end
        begun.set()
        client.api_keys.provision(name, sink=sink, journal_dir=folder + "/journal")

def provision(face, sink, name="acme"):
    blocking(sink, name) if face == "blocking" else asyncio.run(in_a_loop(sink, name))
"""
FACES = ["blocking", "asyncio"]


@pytest.fixture
def box() -> Iterator[Sandbox]:
    """A sandbox of one's own."""
    with Sandbox() as box:
        yield box


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that other users can reach too."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o711)
        yield Path(name)


def start(box: Sandbox, folder: Path, code: str) -> "subprocess.Popen[str]":
    """Start a program."""
    env = {"KEY": box.management_key, "URL": box.url, "FOLDER": str(folder)}
    return subprocess.Popen(
        [sys.executable, "-X", "dev", "-W", "error", "-c", PRELUDE + textwrap.dedent(code)],
        env={**os.environ, **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(box: Sandbox, folder: Path, code: str) -> tuple[int, str, str]:
    """Run a program to its end: exit code, stdout, stderr."""
    process = start(box, folder, code)
    out, err = process.communicate(timeout=60)
    return process.returncode, out, complaints(err)


def creates(box: Sandbox) -> int:
    """Count what was asked of the service."""
    return sum(request.operation == "create" for request in box.requests)


@pytest.mark.parametrize("face", FACES)
@pytest.mark.parametrize("sink", ["FileSink(path)", "lambda key: write(key.secret)"])
def test_a_thread_that_outlives_the_main_thread(
    box: Sandbox, folder: Path, face: str, sink: str
) -> None:
    """Python waits for the thread, but its executors take no work any more: the key is stored."""
    box.fail("create", delay=1.0)
    code = f"""
    path = folder + "/acme.key"
    def write(secret): Path(path).write_text(secret.reveal() + "\\n")
    threading.Thread(target=provision, args=({face!r}, {sink})).start()
    begun.wait()
    """
    assert run(box, folder, code) == (0, "", "")
    [key] = [key for key in box.keys if key.name == "acme"]
    assert (folder / "acme.key").read_text() == box.inference_key(key.hash) + "\n"
    assert list((folder / "journal").iterdir()) == []


def test_a_client_that_begins_after_the_main_thread(box: Sandbox, folder: Path) -> None:
    """Python 3.12 and newer start no thread any more: that is said, and nothing is sent."""
    code = """
    def late():
        threading.main_thread().join()
        try:
            blocking(FileSink(folder + "/acme.key"))
        except o.ClientClosedError as error:
            print(error)
    threading.Thread(target=late).start()
    """
    code, out, err = run(box, folder, code)
    if sys.version_info >= (3, 12) and out:
        assert (out, creates(box)) == ("Python is shutting down\n", 0)
    else:
        assert creates(box) == 1
    assert (code, err) == (0, "")


HANGING = {
    "a function": "def sink(key): print('hangs', flush=True); time.sleep(1000)",
    "a class": """
        class Hanging(FileSink):
            def deliver(self, work, key): print('hangs', flush=True); time.sleep(1000)
        sink = Hanging(folder + '/x')""",
    "before the create": """
        class Hanging(FileSink):
            def prepare(self, work): print('hangs', flush=True); time.sleep(1000)
        sink = Hanging(folder + '/x')""",
    "when it is read back": """
        class Hanging(FileSink):
            def read_back(self, key): print('hangs', flush=True); time.sleep(1000)
        sink = Hanging(folder + '/x')""",
}


@pytest.mark.parametrize("face", FACES)
@pytest.mark.parametrize("sink", HANGING)
def test_ctrl_c_while_a_sink_hangs(box: Sandbox, folder: Path, face: str, sink: str) -> None:
    """The process ends, whatever the sink does, and the journal keeps the plaintext."""
    code = f"{textwrap.dedent(HANGING[sink])}\nprovision({face!r}, sink)"
    process = start(box, folder, code)
    assert process.stdout is not None
    assert process.stdout.readline() == "hangs\n"
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert time.monotonic() - began < 20  # the sink would take 1,000 s
    assert "KeyboardInterrupt" in err
    [item] = unfinished(folder / "journal")
    if sink == "before the create":
        assert (item.state, creates(box)) == (State.UNSENT, 0)
        return
    assert item.state is State.UNDELIVERED
    assert item.secret is not None
    [key] = [key for key in box.keys if key.name == "acme"]
    assert item.secret.reveal() == box.inference_key(key.hash)
    assert item.secret.reveal() not in err


def test_ctrl_c_during_many_creates(box: Sandbox, folder: Path) -> None:
    """Creates that were sent come home; the one whose sink hangs is in the journal."""
    box.fail("create", delay=0)
    box.fail("create", delay=0.3, times=100)
    code = """
    def sink_for(item):
        return hang if item["index"] == 0 else FileSink(f"{folder}/{item['index']}.key")
    def hang(key):
        print("hangs", flush=True)
        time.sleep(1000)
    with o.OpenRouter(key, server_url=url) as client:
        try:
            client.api_keys.create_many([{"name": "acme"}] * 40, sink=sink_for, concurrency=4,
                journal_dir=folder + "/journal")
        except KeyboardInterrupt as error:
            print(*(outcome.status for outcome in error.outcomes))
    """
    process = start(box, folder, code)
    assert process.stdout is not None
    assert process.stdout.readline() == "hangs\n"
    while creates(box) < 4:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=30)
    hanging, *others = out.split()
    assert (hanging, {"ok", "skipped"} <= set(others)) == ("ambiguous", True)
    made = {box.inference_key(key.hash) for key in box.keys if key.name == "acme"}
    stored = {path.read_text().strip() for path in folder.glob("*.key")}
    left = unfinished(folder / "journal")
    remembered = {item.secret.reveal() for item in left if item.secret is not None}
    assert len(stored) == others.count("ok")
    assert len(remembered) >= 1
    # A slow machine may be interrupted with more of them on their way.
    assert len(made - stored - remembered) <= [item.state for item in left].count(State.MAYBE)


def test_no_home_directory(box: Sandbox, folder: Path) -> None:
    """Where no journal can be is told before anything is asked for, and what to pass."""
    code = """
    import pwd
    def nobody(uid): raise KeyError(uid)
    pwd.getpwuid = nobody
    for name in ("HOME", "XDG_STATE_HOME"): os.environ.pop(name, None)
    client = o.OpenRouter(key, server_url=url)
    keys, hash = client.api_keys, "0" * 64
    for call in (
        lambda: keys.provision("acme", sink=print),
        lambda: keys.rotate(hash, sink=print),
        lambda: keys.roll_back(hash),
        lambda: keys.finish_rotations(),
        lambda: keys.recover(),
        lambda: keys.create_many([{"name": "acme"}], sink=lambda item: print),
        unfinished,
    ):
        try: call()
        except o.ConfigurationError as error: print(error, error.__context__)
    """
    status, out, err = run(box, folder, code)
    assert (status, err) == (0, "")
    said = (
        "there is no home directory for the journal: pass journal_dir, or set XDG_STATE_HOME None"
    )
    assert out.splitlines() == [said] * 7
    assert not box.requests


@pytest.mark.parametrize("umask", [0o200, 0o400, 0o700])
@pytest.mark.parametrize("sink", ["FileSink(path)", "DotenvSink(path, 'KEY')"])
def test_a_umask_that_locks_the_owner_out(
    box: Sandbox, folder: Path, sink: str, umask: int
) -> None:
    """Files that could not be opened again are found out before a key exists; nothing is left."""
    folder.chmod(0o1777)
    code = f"""
    become(65534)
    path = folder + "/own/x"
    os.mkdir(folder + "/own")
    os.umask({umask})
    for begin in (lambda: Journal.begin(Path(folder, "own")), lambda: ({sink}).prepare("work")):
        try: begin()
        except PermissionError: print("refused")
    print(os.listdir(folder + "/own"))
    """
    assert run(box, folder, code) == (0, "refused\nrefused\n[]\n", "")


def test_a_folder_that_is_shared(box: Sandbox, folder: Path) -> None:
    """In a sticky folder of somebody else no journal is begun, and none is believed."""
    shared = folder / "journal"
    shared.mkdir()
    shared.chmod(0o1777)
    (shared / "x.journal").write_bytes(b"")
    code = """
    become(65534)
    try: Journal.begin(Path(folder, "journal"))
    except PermissionError as error: print(error.strerror)
    print(*(item.state for item in unfinished(folder + "/journal")))
    """
    status, out, _ = run(box, folder, code)
    said = "the folder is writable by other users (chmod go-w): nothing in it can be trusted"
    assert (status, out.splitlines()) == (0, [said, "foreign"])
