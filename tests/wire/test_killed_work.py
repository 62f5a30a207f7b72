"""Fault 31: SIGKILL at each step of provision, rotate and what finishes them, seen from outside."""

import os
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support import killed

from openrouter_async import APIKey, OpenRouter, UnauthorizedResponseError
from openrouter_async.provisioning import State, Unfinished, dismiss, unfinished
from openrouter_async.sandbox import Sandbox

pytestmark = pytest.mark.skipif(os.name != "posix", reason="SIGKILL and fork are POSIX's")

MOST_STEPS = 200
Kill = Callable[..., int]


@pytest.fixture(scope="module")
def box() -> Iterator[Sandbox]:
    """One sandbox for all."""
    with Sandbox() as box:
        yield box


@pytest.fixture(scope="module")
def client(box: Sandbox) -> Iterator[OpenRouter]:
    """Who looks from outside."""
    with OpenRouter(box.management_key, server_url=box.url) as client:
        yield client


@pytest.fixture(scope="module")
def kill(box: Sandbox) -> Iterator[Kill]:
    """Do a piece of work in a process that dies at one of its steps; gives its exit status."""
    process = subprocess.Popen(
        [sys.executable, "-m", "support.killed", box.url, box.management_key],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None

    def kill(work: str, step: int, folder: Path, *rest: str) -> int:
        assert process.stdin is not None
        assert process.stdout is not None
        print(work, step, folder, *rest, file=process.stdin, flush=True)
        return int(process.stdout.readline())

    yield kill
    process.stdin.close()
    process.stdout.close()
    assert process.wait() == 0


def each_step(kill: Kill, tmp_path: Path, work: str) -> Iterator[tuple[int, Path]]:
    """Return each step of a work and a folder for it, until the work has no further step."""
    for step in range(1, MOST_STEPS):
        folder = tmp_path / f"{work}-{step}"
        folder.mkdir()
        yield step, folder
    pytest.fail(f"{work} does not come to its end")


def named(box: Sandbox, name: str = killed.NAME) -> list[APIKey]:
    """The keys of this name."""
    return [key for key in box.keys if key.name.startswith(name)]


def files(folder: Path) -> list[Path]:
    """Every file below a folder."""
    return [path for path in folder.rglob("*") if path.is_file()]


def assert_only_ours_hold(secret: str, folder: Path) -> bool:
    """Every file with the plaintext is its owner's only; says whether there is one."""
    holding = [path for path in files(folder) if secret.encode() in path.read_bytes()]
    assert {stat.S_IMODE(path.stat().st_mode) for path in holding} <= {0o600}
    return bool(holding)


def in_sink(secret: str, folder: Path) -> bool:
    """Whether the sink, and no journal or temporary file, has the plaintext."""
    texts = [path.read_text() for path in (folder / "sink.key", folder / ".env") if path.exists()]
    return any(secret in text for text in texts)


def converge(client: OpenRouter, folder: Path) -> None:
    """Do what the journals advise until nothing is unfinished."""
    for item in client.api_keys.recover(journal_dir=folder / "journal"):
        left: Unfinished | None = client.api_keys.resume(item)
        if left is not None and left.state is State.MAYBE:
            for candidate in item.candidates or ():
                client.api_keys.delete(candidate.hash)
            dismiss(left)


def clear(box: Sandbox, client: OpenRouter) -> None:
    """Delete what a round left on the server."""
    for key in named(box):
        client.api_keys.delete(key.hash)


@pytest.mark.parametrize("work", ["provision", "provision-dotenv"])
def test_provision(box: Sandbox, client: OpenRouter, kill: Kill, tmp_path: Path, work: str) -> None:
    """Plaintext at 0600 or name in the journal; resuming converges; none without its plaintext."""
    for step, folder in each_step(kill, tmp_path, work):
        ended = kill(work, step, folder)
        keys = named(box)
        said = unfinished(folder / "journal")
        assert len(keys) <= 1, step
        for key in keys:
            known = assert_only_ours_hold(box.inference_key(key.hash), folder)
            assert known or [item.name for item in said] == [killed.NAME], step
        converge(client, folder)
        left = named(box)
        assert all(in_sink(box.inference_key(key.hash), folder) for key in left), step
        expected = {folder / "sink.key", folder / ".env"} if left else set()
        assert set(files(folder)) <= expected, step
        clear(box, client)
        if ended == 0:
            assert len(left) == 1
            return
        assert ended == -9, step


def test_resume(box: Sandbox, client: OpenRouter, kill: Kill, tmp_path: Path) -> None:
    """Resuming can be killed too, and be resumed."""
    for work_step, probe in each_step(kill, tmp_path, "provision"):
        kill("provision", work_step, probe)
        states = [item.state for item in unfinished(probe / "journal")]
        clear(box, client)
        if states == [State.UNDELIVERED]:
            break
    for step, folder in each_step(kill, tmp_path, "resume"):
        kill("provision", work_step, folder)
        ended = kill("resume", step, folder)
        [key] = named(box)
        assert assert_only_ours_hold(box.inference_key(key.hash), folder), step
        converge(client, folder)
        assert in_sink(box.inference_key(key.hash), folder), step
        assert files(folder) == [folder / "sink.key"], step
        clear(box, client)
        if ended == 0:
            return


def works(client: OpenRouter, secret: str) -> bool:
    """Whether the service takes a key."""
    url: Any = client._client._settings.base_url
    with OpenRouter(secret, server_url=url, retries=None) as other:
        try:
            other.api_keys.get_current_key_metadata()
        except UnauthorizedResponseError:
            return False
    return True


def known_secrets(box: Sandbox, folder: Path, old: APIKey) -> list[str]:
    """The plaintexts that their owner still has: the old one, and what is on the disk."""
    new = [box.inference_key(key.hash) for key in named(box) if key.hash != old.hash]
    return [box.inference_key(old.hash), *(s for s in new if assert_only_ours_hold(s, folder))]


def test_rotate(box: Sandbox, client: OpenRouter, kill: Kill, tmp_path: Path) -> None:
    """There is a working key at any moment, and rotating again comes to the same end."""
    for step, folder in each_step(kill, tmp_path, "rotate"):
        old = client.api_keys.create(killed.NAME, limit=7, limit_reset="weekly").data
        ended = kill("rotate", step, folder, old.hash)
        assert any(works(client, secret) for secret in known_secrets(box, folder, old)), step
        assert len(named(box)) <= 2, step
        converge(client, folder)
        if not any(item.state is State.PENDING for item in unfinished(folder / "journal")):
            # Nothing was made, or the twin's plaintext was lost and it was revoked: once more.
            assert [key.hash for key in named(box)] == [old.hash], step
            assert kill("rotate", 0, folder, old.hash) == 0
        [new] = [key for key in named(box) if key.hash != old.hash]
        assert in_sink(box.inference_key(new.hash), folder), step
        assert works(client, box.inference_key(new.hash)), step
        assert not works(client, box.inference_key(old.hash)), step
        assert (new.limit, new.limit_reset) == (7, "weekly")
        [pending] = unfinished(folder / "journal")
        assert pending.secret is None
        assert pending.state is State.PENDING
        clear(box, client)
        if ended == 0:
            return
        assert ended == -9, step


def assert_never_more(box: Sandbox, old_hash: str, left: float, step: int) -> None:
    """The new key may spend what was left of the old one's limit, and less once it is disabled."""
    old = next(key for key in box.keys if key.hash == old_hash)
    for new in [key for key in named(box) if key.hash != old_hash]:
        assert new.limit is not None, step
        assert new.limit <= left, step
        if old.disabled:
            assert old.limit_remaining is not None
            assert new.limit <= old.limit_remaining, step


def test_rotate_of_a_lifetime_cap(
    box: Sandbox, client: OpenRouter, kill: Kill, tmp_path: Path
) -> None:
    """Killed and gone on with later, after more was spent, the new key has what is left."""
    for step, folder in each_step(kill, tmp_path, "rotate"):
        old = client.api_keys.create(killed.NAME, limit=7).data
        box.spend(old.hash, 1)
        ended = kill("rotate", step, folder, old.hash)
        assert_never_more(box, old.hash, 6, step)
        if not client.api_keys.get(old.hash).data.disabled:
            box.spend(old.hash, 2)
        converge(client, folder)
        if not any(item.state is State.PENDING for item in unfinished(folder / "journal")):
            assert kill("rotate", 0, folder, old.hash) == 0
        [new] = [key for key in named(box) if key.hash != old.hash]
        old = client.api_keys.get(old.hash).data
        assert (new.limit, old.disabled) == (old.limit_remaining, True), step
        clear(box, client)
        if ended == 0:
            return
        assert ended == -9, step


def test_resume_of_a_lifetime_cap(
    box: Sandbox, client: OpenRouter, kill: Kill, tmp_path: Path
) -> None:
    """Lowering the limit can be killed too: a key works at any moment, and never with more."""

    def begun(step: int, folder: Path) -> APIKey:
        old = client.api_keys.create(killed.NAME, limit=7).data
        box.spend(old.hash, 1)
        kill("rotate", step, folder, old.hash)
        return old

    for begin_step, probe in each_step(kill, tmp_path, "rotate"):
        begun(begin_step, probe)
        states = [item.state for item in unfinished(probe / "journal")]
        clear(box, client)
        if states == [State.DELIVERED]:
            break
    for step, folder in each_step(kill, tmp_path, "resume"):
        old = begun(begin_step, folder)
        box.spend(old.hash, 2)
        ended = kill("resume", step, folder)
        assert any(works(client, secret) for secret in known_secrets(box, folder, old)), step
        assert_never_more(box, old.hash, 6, step)
        converge(client, folder)
        [new] = [key for key in named(box) if key.hash != old.hash]
        assert new.limit == 4, step
        assert works(client, box.inference_key(new.hash)), step
        assert not works(client, box.inference_key(old.hash)), step
        clear(box, client)
        if ended == 0:
            return
        assert ended == -9, step


@pytest.mark.parametrize(("work", "limit"), [("finish", 6), ("roll_back", 5)])
def test_end_of_a_rotation(
    box: Sandbox, client: OpenRouter, kill: Kill, tmp_path: Path, work: str, limit: float
) -> None:
    """Finishing and rolling back can be killed and repeated; one working key is left.

    It may spend what the two have not spent together.
    """
    for step, folder in each_step(kill, tmp_path, work):
        old = client.api_keys.create(killed.NAME, limit=7).data
        assert kill("rotate", 0, folder, old.hash) == 0
        [new] = [key for key in named(box) if key.hash != old.hash]
        box.spend(old.hash, 1)  # a request that was under way
        box.spend(new.hash, 2)
        ended = kill(work, step, folder, old.hash)
        assert not all(key.disabled for key in named(box)), step
        if unfinished(folder / "journal"):
            assert kill(work, 0, folder, old.hash) == 0
        [left] = named(box)
        assert (left.hash == old.hash) == (work == "roll_back")
        assert (left.disabled, left.limit, left.limit_remaining) == (False, limit, 4), step
        assert unfinished(folder / "journal") == []
        clear(box, client)
        if ended == 0:
            return


def test_while_the_service_answers(box: Sandbox, client: OpenRouter, tmp_path: Path) -> None:
    """Killed with the request on its way: the journal has the name, and finds the key."""
    box.fail("create", delay=30, after_effect=True)
    command = [sys.executable, "-m", "support.killed", box.url, box.management_key]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    process = subprocess.Popen(
        command, env=env, stdin=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stdin is not None
    print("provision", 0, tmp_path, file=process.stdin, flush=True)
    while not named(box):
        assert process.poll() is None
    os.killpg(process.pid, 9)
    process.wait()
    process.stdin.close()
    while [item.state for item in unfinished(tmp_path / "journal")] == [State.BUSY]:
        pass  # the child outlives its parent by a moment
    [item] = client.api_keys.recover(journal_dir=tmp_path / "journal", within=10)
    assert item.state is State.MAYBE
    assert [key.hash for key in item.candidates or ()] == [named(box)[0].hash]
    converge(client, tmp_path)
    assert named(box) == []
    assert files(tmp_path) == []
