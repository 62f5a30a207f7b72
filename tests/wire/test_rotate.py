"""`rotate`: a twin that was seen to work, then the old key disabled, and deleted much later."""

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from support.calls import CURRENT_KEY, ClientFor, record
from support.clock import FakeClock
from support.leaks import open_below
from support.secrets import assert_not_leaked, tracebacks_with_locals
from support.server import ScriptedServer
from support.steps import reply

from openrouter_async import (
    AmbiguousCreateError,
    APIKey,
    AsyncOpenRouter,
    ConfigurationError,
    InvalidRequestError,
    NotFoundResponseError,
    OpenRouter,
    RotationError,
    SinkError,
)
from openrouter_async.provisioning import (
    FileSink,
    Outcome,
    ProvisionedKey,
    Rotation,
    State,
    unfinished,
)
from openrouter_async.provisioning._journal import Journal
from openrouter_async.provisioning._twin import marked
from openrouter_async.sandbox import Sandbox

Rotate = Callable[..., Any]


@pytest.fixture
async def box() -> AsyncIterator[Sandbox]:
    """A sandbox of one's own."""
    async with Sandbox() as box:
        yield box


@pytest.fixture
def client(box: Sandbox, client_for: ClientFor, clock: FakeClock) -> AsyncOpenRouter:
    """A client of it that waits in no time."""
    return client_for(box.url, api_key=box.management_key, clock=clock)


@pytest.fixture
async def old(client: AsyncOpenRouter, box: Sandbox) -> APIKey:
    """The key that is to be replaced."""
    made = await client.api_keys.create(
        "acme",
        limit=7,
        limit_reset="weekly",
        include_byok_in_limit=True,
        expires_at="2031-01-01T00:00:00Z",
        workspace_id=box.workspaces[3].id,
    )
    return made.data


@pytest.fixture
def rotate(client: AsyncOpenRouter, old: APIKey, tmp_path: Path) -> Rotate:
    """Rotate it into a file."""

    async def rotate(**given: Any) -> Rotation:
        sink = given.pop("sink", None) or FileSink(tmp_path / "new.key")
        return await client.api_keys.rotate(
            old.hash, sink=sink, journal_dir=tmp_path / "j", **given
        )

    return rotate


@pytest.fixture(autouse=True)
def everything_is_closed(tmp_path: Path) -> Iterator[None]:
    """No file stays open, whatever failed."""
    yield
    assert open_below(tmp_path) == []


def now_of(box: Sandbox, hash: str | None) -> APIKey | None:
    """The key as it is; None if it is gone."""
    return next((key for key in box.keys if key.hash == hash), None)


def changes(box: Sandbox) -> list[str]:
    """What was changed, in order, without the first create."""
    names = [request.operation for request in box.requests]
    return [name for name in names if name in {"create", "update", "delete"}][1:]


async def test_rotation(
    box: Sandbox, client: AsyncOpenRouter, old: APIKey, rotate: Rotate, tmp_path: Path
) -> None:
    """The twin is the same but for its name; the old key is disabled, not deleted."""
    done = await rotate()
    new = now_of(box, done.new.hash)
    assert new is not None
    for name in ("limit", "limit_reset", "include_byok_in_limit", "expires_at", "workspace_id"):
        assert getattr(new, name) == getattr(old, name)
    assert new.name == f"acme (rotated {datetime.now(UTC):%Y-%m-%d})"
    assert (tmp_path / "new.key").read_text() == box.inference_key(new.hash) + "\n"
    after = now_of(box, old.hash)
    assert after is not None
    assert after.disabled
    assert changes(box) == ["create", "update"]
    [item] = unfinished(tmp_path / "j")
    assert (item.state, item.hash, item.old_hash) == (State.PENDING, new.hash, old.hash)
    assert_not_leaked(box.inference_key(new.hash), Path(item.journal).read_text(), repr(done))
    with pytest.raises(RotationError, match="pending"):
        await rotate()


def test_the_name_s_mark() -> None:
    """A later rotation replaces the day of an earlier one."""
    day = datetime(2026, 8, 1, tzinfo=UTC)
    assert marked("acme", day) == "acme (rotated 2026-08-01)"
    assert marked("acme (rotated 2025-01-31)", day) == "acme (rotated 2026-08-01)"
    assert marked("acme (rotated)", day) == "acme (rotated) (rotated 2026-08-01)"


async def test_what_must_stay(
    box: Sandbox, client: AsyncOpenRouter, old: APIKey, rotate: Rotate
) -> None:
    """A disabled or expired key, one that is not there, and no key at all."""
    await client.api_keys.update(old.hash, disabled=True)
    with pytest.raises(RotationError, match="disabled"):
        await rotate()
    with pytest.raises(NotFoundResponseError):
        await client.api_keys.rotate("0" * 64, sink=print)
    for wrong in ("../x", box.management_key):
        with pytest.raises(InvalidRequestError, match="hash"):
            await client.api_keys.rotate(wrong, sink=print)
    with pytest.raises(ConfigurationError, match="verify_within"):
        await rotate(verify_within=-1)
    assert changes(box) == ["update"]


@pytest.mark.parametrize("which", ["expired", "in use"])
async def test_what_must_stay_by_its_record(
    client_for: ClientFor, tmp_path: Path, which: str
) -> None:
    """The key that makes the requests is known by its label; one that expired would work again."""
    changed = {"expires_at": "2020-01-01T00:00:00Z"} if which == "expired" else {}
    label = {"label": record()["label"]}
    steps = [
        reply(json={"data": record(**changed)}),
        reply(json={"data": {**CURRENT_KEY, **label}}),
    ]
    async with ScriptedServer(*steps) as server:
        keys = client_for(server).api_keys
        with pytest.raises(RotationError, match="expired" if which == "expired" else "client uses"):
            await keys.rotate(record()["hash"], sink=print, journal_dir=tmp_path)
    assert {request.method for request in server.requests} == {"GET"}
    assert list(tmp_path.iterdir()) == []


async def test_a_new_key_that_does_not_answer_yet(
    box: Sandbox, rotate: Rotate, clock: FakeClock
) -> None:
    """It is asked again with growing waits; then all goes on."""
    # The first question is about the management key.
    box.fail("get_current_key_metadata", delay=0)
    box.fail("get_current_key_metadata", status=401, times=3)
    await rotate()
    assert clock.sleeps == [0.5, 1.0, 2.0]
    assert changes(box) == ["create", "update"]


@pytest.mark.parametrize("status", [401, 500])
async def test_a_new_key_that_never_answers(
    box: Sandbox,
    client: AsyncOpenRouter,
    old: APIKey,
    rotate: Rotate,
    clock: FakeClock,
    tmp_path: Path,
    status: int,
) -> None:
    """The old key stays as it is; rotating again goes on with the same twin."""
    box.fail("get_current_key_metadata", delay=0)
    box.fail("get_current_key_metadata", status=status, times=100)
    with pytest.raises(
        RotationError, match=r"call rotate\(\) again to continue, or roll_back\(\)"
    ) as caught:
        await rotate()
    error = caught.value
    assert status == 500 or sum(clock.sleeps) == pytest.approx(30, abs=0.5)
    assert (error.old_hash, error.new_hash) == (old.hash, box.keys[0].hash)
    assert error.journal is not None
    kept = now_of(box, old.hash)
    assert kept is not None
    assert not kept.disabled
    shown = tracebacks_with_locals(error, without_locals_of=[__file__])
    assert_not_leaked(box.inference_key(box.keys[0].hash), shown, str(error))
    box._service.faults._pending.clear()
    [item] = unfinished(tmp_path / "j")
    assert item.state is State.DELIVERED
    done = await rotate()
    assert done.new.hash == error.new_hash
    assert changes(box) == ["create", "update"]


async def test_a_new_key_that_differs(
    client_for: ClientFor, clock: FakeClock, tmp_path: Path
) -> None:
    """It may do other things than the old one, which is not touched."""
    current = {**CURRENT_KEY, "label": "new", "limit": 10, "limit_reset": None}
    made = {"data": record(hash="n" * 64, label="new"), "key": "sk-or-v1-" + "d4" * 32}
    steps = [
        reply(json={"data": record()}),
        reply(json={"data": CURRENT_KEY}),
        reply(json={"data": [], "total_count": 0}),
        reply(json={"data": record()}),
        reply(201, json=made),
        reply(json={"data": {**current, "include_byok_in_limit": False}}),
    ]
    async with ScriptedServer(*steps) as server:
        keys = client_for(server, clock=clock).api_keys
        with pytest.raises(RotationError, match="in limit_reset, include_byok_in_limit"):
            await keys.rotate(
                record()["hash"], sink=FileSink(tmp_path / "x"), journal_dir=tmp_path / "j"
            )
    assert [request.method for request in server.requests] == [*["GET"] * 4, "POST", "GET"]
    asked_with = server.requests[-1].header("Authorization")
    assert asked_with == f"Bearer {made['key']}"


async def test_an_ambiguous_twin(
    box: Sandbox, client: AsyncOpenRouter, old: APIKey, rotate: Rotate, tmp_path: Path
) -> None:
    """Nobody knows whether it exists: no second one is made until people have looked."""
    box.fail("create", status=500, after_effect=True)
    with pytest.raises(AmbiguousCreateError):
        await rotate()
    with pytest.raises(RotationError, match="maybe"):
        await rotate()
    with pytest.raises(RotationError, match="hash is unknown"):
        await client.api_keys.roll_back(old.hash, journal_dir=tmp_path / "j")
    [item] = await client.api_keys.recover(journal_dir=tmp_path / "j")
    assert [key.hash for key in item.candidates or ()] == [box.keys[0].hash]
    assert changes(box) == ["create"]


async def test_a_sink_that_fails(
    box: Sandbox, client: AsyncOpenRouter, old: APIKey, rotate: Rotate, tmp_path: Path
) -> None:
    """The old key stays; resuming with another sink brings the rotation to its end."""

    def broken(_: ProvisionedKey) -> None:
        raise OSError(5, "Input/output error")

    with pytest.raises(SinkError, match="Input/output error"):
        await rotate(sink=broken)
    assert changes(box) == ["create"]
    [item] = await client.api_keys.recover(journal_dir=tmp_path / "j")
    left = await client.api_keys.resume(item, sink=FileSink(tmp_path / "x"))
    assert left is not None
    assert left.state is State.PENDING
    assert (tmp_path / "x").read_text() == box.inference_key(left.hash or "") + "\n"
    assert changes(box) == ["create", "update"]


async def test_disabling_fails(
    box: Sandbox, client: AsyncOpenRouter, old: APIKey, rotate: Rotate
) -> None:
    """Both keys work then, and rotating again disables the old one."""
    box.fail("update", status=403)
    with pytest.raises(RotationError, match="403"):
        await rotate()
    await rotate()
    kept = now_of(box, old.hash)
    assert kept is not None
    assert kept.disabled
    assert changes(box) == ["create", "update", "update"]


async def test_two_at_once(box: Sandbox, old: APIKey, rotate: Rotate, tmp_path: Path) -> None:
    """One rotation of a key at a time: the other is told, or finds the work done."""
    box.fail("create", delay=0.3)
    first = asyncio.create_task(rotate())
    while "create" not in changes(box):
        await asyncio.sleep(0.01)
    with pytest.raises(RotationError, match="busy"):
        await rotate(sink=FileSink(tmp_path / "other"))
    await first
    assert changes(box) == ["create", "update"]


async def test_two_that_begin_at_the_same_moment(
    box: Sandbox, client: AsyncOpenRouter, old: APIKey, rotate: Rotate, tmp_path: Path
) -> None:
    """Two twins are never made; who loses is told, and leaves nothing. All may lose."""
    sinks = [FileSink(tmp_path / f"x{n}") for n in range(4)]
    results = await asyncio.gather(*(rotate(sink=s) for s in sinks), return_exceptions=True)
    assert {type(each) for each in results} <= {Rotation, RotationError}
    won = [type(each) for each in results].count(Rotation)
    assert won <= 1
    assert changes(box).count("create") == won
    assert len(unfinished(tmp_path / "j")) == won
    assert len(list(tmp_path.glob("x*"))) == won
    if not won:
        await rotate(sink=sinks[0])
    assert changes(box) == ["create", "update"]


async def test_a_rotation_that_fails_twice(
    box: Sandbox, old: APIKey, rotate: Rotate, tmp_path: Path
) -> None:
    """Each try lets go of the journal, so that the next can take it up."""
    box.fail("get_current_key_metadata", delay=0)
    box.fail("get_current_key_metadata", status=500, times=100)
    for _ in range(2):
        with pytest.raises(RotationError, match=r"call rotate\(\) again"):
            await rotate()
    box._service.faults._pending.clear()
    await rotate()
    assert changes(box) == ["create", "update"]


@pytest.mark.parametrize("step", ["verified", "disabled"])
async def test_a_journal_that_fails_meanwhile(
    box: Sandbox,
    old: APIKey,
    rotate: Rotate,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    step: str,
) -> None:
    """A full disk is one of our errors, and rotating again goes on with the same twin."""
    write = os.write

    def full(descriptor: int, data: bytes) -> int:
        if f'"step": "{step}"'.encode() in data:
            raise OSError(28, "No space left on device")
        return write(descriptor, data)

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(RotationError, match="the journal: No space left on device") as caught:
        await rotate()
    monkeypatch.undo()
    assert caught.value.__context__ is None
    assert changes(box) == ["create", "update"][: 1 + (step == "disabled")]
    done = await rotate()
    assert done.new.hash == caught.value.new_hash
    assert changes(box).count("create") == 1


async def test_cancelled_as_it_takes_up_a_journal(
    client: AsyncOpenRouter,
    old: APIKey,
    rotate: Rotate,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The journal is let go, also if the thread that opens it comes later."""
    import fcntl

    await rotate()
    [item] = unfinished(tmp_path / "j")
    flock, reached, go_on = fcntl.flock, threading.Event(), threading.Event()

    def slow(descriptor: int, how: int) -> None:
        reached.set()
        assert go_on.wait(30)
        flock(descriptor, how)

    monkeypatch.setattr(fcntl, "flock", slow)
    task = asyncio.create_task(client.api_keys.resume(item))
    while not reached.is_set():
        await asyncio.sleep(0.005)
    task.cancel()
    asyncio.get_running_loop().call_later(0.05, go_on.set)
    with pytest.raises(asyncio.CancelledError):
        await task
    assert open_below(tmp_path) == []


# What was read before the lock is read again


class Door:
    """Holds back whoever opens a journal to work on it, from the second time on."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.reached, self.opened = threading.Event(), threading.Event()
        self._count, self._open = 0, os.open
        self._patch = patch
        patch.setattr(os, "open", self._gate)

    def _gate(self, path: Any, flags: int, *mode: int) -> int:
        work = str(path).endswith(".journal") and flags & os.O_RDWR and not flags & os.O_CREAT
        self._count += bool(work)
        if work and self._count == 2:  # the first reads, without staying
            self.reached.set()
            assert self.opened.wait(30)
        return self._open(path, flags, *mode)

    async def passed_after(self, work: Any, change: Any) -> Any:
        """Do the work, and the change while it stands at the door."""
        task = asyncio.create_task(work)
        while not self.reached.is_set():
            await asyncio.sleep(0.005)
        self._patch.undo()
        await change
        self.opened.set()
        return (await asyncio.gather(task, return_exceptions=True))[0]


async def test_rolling_back_what_came_meanwhile(
    box: Sandbox,
    client: AsyncOpenRouter,
    old: APIKey,
    rotate: Rotate,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The twin was on its way when the rotation was found: it is deleted, not forgotten."""
    box.fail("create", delay=0.3)
    rotation = asyncio.create_task(rotate())
    while "create" not in changes(box):
        await asyncio.sleep(0.005)
    door = Door(monkeypatch)
    back = await door.passed_after(
        client.api_keys.roll_back(old.hash, journal_dir=tmp_path / "j"), rotation
    )
    assert (back.hash, back.disabled) == (old.hash, False)
    assert now_of(box, rotation.result().new.hash) is None
    assert changes(box) == ["create", "update", "update", "delete"]
    assert unfinished(tmp_path / "j") == []


@pytest.mark.parametrize("end", ["roll_back", "finish"])
async def test_what_another_process_has_ended_meanwhile(
    box: Sandbox,
    client: AsyncOpenRouter,
    old: APIKey,
    rotate: Rotate,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    end: str,
) -> None:
    """Nothing is deleted or enabled by what was read before that."""
    done = await rotate()
    keys, folder = client.api_keys, tmp_path / "j"
    finish = keys.finish_rotations(grace=0, journal_dir=folder)
    back = keys.roll_back(old.hash, journal_dir=folder)
    work, change = (finish, back) if end == "roll_back" else (back, finish)
    result = await Door(monkeypatch).passed_after(work, change)
    if end == "roll_back":
        [told] = result
        assert told.outcome is Outcome.WAITING
        assert now_of(box, old.hash) is not None
        assert now_of(box, done.new.hash) is None
    else:
        assert isinstance(result, RotationError)
        assert "was ended by another process" in result.message
        assert now_of(box, old.hash) is None
        assert now_of(box, done.new.hash) is not None


async def test_finishing_by_what_the_journal_says_now(
    box: Sandbox,
    client: AsyncOpenRouter,
    old: APIKey,
    rotate: Rotate,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A grace that another process began anew holds."""
    done = await rotate()

    async def disable_later() -> None:
        journal = Journal.reopen(Path(done.journal))
        journal.note("disabled", disabled_at=(done.disabled_at + timedelta(days=2)).isoformat())
        journal.close()

    finish = client.api_keys.finish_rotations(
        journal_dir=tmp_path / "j", now=done.disabled_at + timedelta(days=1)
    )
    [told] = await Door(monkeypatch).passed_after(finish, disable_later())
    assert told.outcome is Outcome.WAITING
    assert now_of(box, old.hash) is not None


async def test_a_folder_that_others_can_write_to(
    client: AsyncOpenRouter, old: APIKey, rotate: Rotate, tmp_path: Path
) -> None:
    """No rotation is found, begun or ended in it."""
    await rotate()
    (tmp_path / "j").chmod(0o770)
    for work in (
        rotate(),
        client.api_keys.roll_back(old.hash, journal_dir=tmp_path / "j"),
        client.api_keys.finish_rotations(grace=0, journal_dir=tmp_path / "j"),
    ):
        with pytest.raises(SinkError, match="nothing in it can be trusted"):
            await work


# The end of a rotation


async def test_finishing(
    box: Sandbox, client: AsyncOpenRouter, old: APIKey, rotate: Rotate, tmp_path: Path
) -> None:
    """The old key is deleted after the grace, and not before."""
    done = await rotate()
    finish, day = client.api_keys.finish_rotations, timedelta(hours=24)
    [told] = await finish(journal_dir=tmp_path / "j")
    assert (told.outcome, told.old_hash) == (Outcome.WAITING, old.hash)
    [told] = await finish(journal_dir=tmp_path / "j", now=done.disabled_at + day * 0.99)
    assert told.outcome is Outcome.WAITING
    assert now_of(box, old.hash) is not None
    [told] = await finish(journal_dir=tmp_path / "j", now=done.disabled_at + day)
    assert (told.outcome, told.new_hash) == (Outcome.DELETED, done.new.hash)
    assert now_of(box, old.hash) is None
    assert await finish(journal_dir=tmp_path / "j") == []
    assert changes(box) == ["create", "update", "delete"]


@pytest.mark.parametrize(
    ("reason", "spoil"),
    [
        ("enabled again", lambda keys, old, new: keys.update(old, disabled=False)),
        ("successor is disabled", lambda keys, old, new: keys.update(new, disabled=True)),
        ("successor is gone", lambda keys, old, new: keys.delete(new)),
    ],
)
async def test_never_without_a_successor(
    box: Sandbox,
    client: AsyncOpenRouter,
    old: APIKey,
    rotate: Rotate,
    tmp_path: Path,
    reason: str,
    spoil: Callable[..., Any],
) -> None:
    """Whatever is not as it should be keeps the old key."""
    done = await rotate()
    await spoil(client.api_keys, old.hash, done.new.hash)
    [told] = await client.api_keys.finish_rotations(grace=0, journal_dir=tmp_path / "j")
    assert told.outcome is Outcome.KEPT
    assert reason in told.reason
    assert now_of(box, old.hash) is not None


@pytest.mark.parametrize(("seconds", "outcome"), [(30, "deleted"), (90, "kept")])
async def test_a_key_that_was_still_used(
    client_for: ClientFor,
    box: Sandbox,
    old: APIKey,
    rotate: Rotate,
    tmp_path: Path,
    seconds: int,
    outcome: str,
) -> None:
    """A use within a minute may be the service's delay; a later one keeps the key."""
    done = await rotate()
    used = (done.disabled_at + timedelta(seconds=seconds)).isoformat()
    steps = [
        reply(json={"data": record(hash=old.hash, disabled=True, last_used_at=used)}),
        reply(json={"data": record(hash=done.new.hash)}),
        reply(json={"deleted": True}),
    ]
    async with ScriptedServer(*steps) as server:
        keys = client_for(server).api_keys
        [told] = await keys.finish_rotations(
            grace=timedelta(hours=1),
            journal_dir=tmp_path / "j",
            now=datetime.now(UTC) + timedelta(days=1),
        )
    assert told.outcome == outcome
    assert ("DELETE" in {r.method for r in server.requests}) == (outcome == "deleted")


async def test_finishing_fails_and_is_repeated(
    box: Sandbox, client: AsyncOpenRouter, old: APIKey, rotate: Rotate, tmp_path: Path
) -> None:
    """A failed request is told, and the next time does it; a key that is gone is done."""
    await rotate()
    box.fail("delete", status=403)
    finish = client.api_keys.finish_rotations
    [told] = await finish(grace=0, journal_dir=tmp_path / "j")
    assert (told.outcome, "403" in told.reason) == (Outcome.FAILED, True)
    await client.api_keys.delete(old.hash)
    [told] = await finish(grace=0, journal_dir=tmp_path / "j")
    assert (told.outcome, told.reason) == (Outcome.DELETED, "it was already gone")


async def test_another_account_finishes_nothing(
    client_for: ClientFor, rotate: Rotate, tmp_path: Path
) -> None:
    """Where neither key is known, the journal is of another account: it is kept."""
    await rotate()
    async with Sandbox() as other:
        keys = client_for(other.url, api_key=other.management_key).api_keys
        [told] = await keys.finish_rotations(grace=0, journal_dir=tmp_path / "j")
    assert (told.outcome, "account" in told.reason) == (Outcome.KEPT, True)
    assert len(unfinished(tmp_path / "j")) == 1


@pytest.mark.parametrize("grace", [-1, float("nan"), True, timedelta(-1)])
async def test_graces_that_are_none(client: AsyncOpenRouter, grace: float) -> None:
    """They are refused."""
    with pytest.raises(ConfigurationError, match="grace"):
        await client.api_keys.finish_rotations(grace=grace)
    naive = datetime(2026, 1, 1)  # noqa: DTZ001
    with pytest.raises(ConfigurationError, match="aware"):
        await client.api_keys.finish_rotations(now=naive)


async def test_rolling_back(
    box: Sandbox, client: AsyncOpenRouter, old: APIKey, rotate: Rotate, tmp_path: Path
) -> None:
    """The old key is enabled first, then the new one is deleted, and the rotation forgotten."""
    done = await rotate()
    back = await client.api_keys.roll_back(old.hash, journal_dir=tmp_path / "j")
    assert (back.hash, back.disabled) == (old.hash, False)
    assert now_of(box, done.new.hash) is None
    assert unfinished(tmp_path / "j") == []
    assert changes(box) == ["create", "update", "update", "delete"]
    with pytest.raises(RotationError, match="no rotation"):
        await client.api_keys.roll_back(old.hash, journal_dir=tmp_path / "j")


def test_blocking(tmp_path: Path) -> None:
    """The blocking client does the same."""
    with Sandbox() as box, OpenRouter(box.management_key, server_url=box.url) as client:
        keys, folder = client.api_keys, tmp_path / "j"
        old = keys.create("acme").data
        new = keys.rotate(old.hash, sink=FileSink(tmp_path / "x"), journal_dir=folder).new
        [told] = keys.finish_rotations(grace=0, journal_dir=folder)
        assert (told.outcome, told.new_hash) == (Outcome.DELETED, new.hash)
        keys.rotate(new.hash or "", sink=FileSink(tmp_path / "y"), journal_dir=folder)
        keys.roll_back(new.hash or "", journal_dir=folder)
        [left] = [key for key in box.keys if key.name.startswith("acme")]
        assert left.hash == new.hash
