"""Many changes: one outcome each, in order; nothing is run twice, and a run can be gone on with."""

import asyncio
import functools
import json
import os
import stat
import threading
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from support.calls import CURRENT_KEY, ClientFor, record
from support.leaks import open_below
from support.secrets import assert_not_leaked
from support.server import ScriptedServer
from support.steps import reply

from openrouter_async import (
    AsyncOpenRouter,
    ClientClosedError,
    ConfigurationError,
    InvalidRequestError,
    OpenRouter,
)
from openrouter_async.bulk import Outcome, Status
from openrouter_async.provisioning import FileSink, ProvisionedKey, State, unfinished
from openrouter_async.sandbox import Sandbox

ITEMS = 12


@pytest.fixture
async def box() -> AsyncIterator[Sandbox]:
    """A sandbox with keys."""
    async with Sandbox(keys=ITEMS) as box:
        yield box


@pytest.fixture
def client(box: Sandbox, client_for: ClientFor) -> AsyncOpenRouter:
    """A client of it that tries once."""
    return client_for(box.url, api_key=box.management_key, retries=None)


@pytest.fixture(autouse=True)
def everything_is_closed(tmp_path: Path) -> Iterator[None]:
    """No file stays open, whatever failed."""
    yield
    assert open_below(tmp_path) == []


@pytest.fixture(autouse=True)
def journals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No journal goes elsewhere."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state/openrouter_async/journal"


def hashes(box: Sandbox) -> list[str]:
    """The keys of the sandbox, in some order that is no other's."""
    return sorted(key.hash for key in box.keys)[:ITEMS]


def statuses(outcomes: list[Outcome]) -> list[str]:
    """What came of each."""
    assert [outcome.index for outcome in outcomes] == list(range(len(outcomes)))
    return [str(outcome.status) for outcome in outcomes]


def done(box: Sandbox, *operations: str) -> int:
    """How many requests of some operations there were."""
    return sum(request.operation in operations for request in box.requests)


def to_files(folder: Path) -> Any:
    """A factory of sinks, one file each."""
    return lambda item: FileSink(folder / f"{item['index']}-{item['name']}.key")


async def test_delete_and_disable(box: Sandbox, client: AsyncOpenRouter) -> None:
    """Each has its outcome in its place."""
    wanted = hashes(box)
    outcomes = await client.api_keys.disable_many(wanted, concurrency=3)
    assert statuses(outcomes) == ["ok"] * ITEMS
    assert [outcome.hash for outcome in outcomes] == wanted
    assert all(outcome.key and outcome.key.disabled for outcome in outcomes)
    outcomes = await client.api_keys.delete_many([*wanted, wanted[0]])
    assert statuses(outcomes) == ["ok"] * ITEMS + ["skipped"]
    assert outcomes[-1].reason == "duplicate of [0]"
    assert done(box, "delete") == ITEMS
    assert await client.api_keys.delete_many([]) == []


async def test_update(box: Sandbox, client: AsyncOpenRouter) -> None:
    """What is omitted stays, None is null."""
    wanted = hashes(box)
    changes = [{"hash": wanted[0], "limit": 3}, {"hash": wanted[1], "limit": None, "name": "b"}]
    outcomes = await client.api_keys.update_many(changes)
    assert statuses(outcomes) == ["ok", "ok"]
    assert outcomes[0].key is not None
    assert outcomes[1].key is not None
    assert (outcomes[0].key.limit, outcomes[1].key.limit) == (3, None)
    assert outcomes[1].key.name == "b"


async def test_create(
    box: Sandbox, client: AsyncOpenRouter, tmp_path: Path, journals: Path
) -> None:
    """Every plaintext is in its own file."""
    outcomes = await client.api_keys.create_many(
        [{"name": f"k{n}", "limit": n} for n in range(ITEMS)], sink=to_files(tmp_path)
    )
    assert statuses(outcomes) == ["ok"] * ITEMS
    for outcome in outcomes:
        path = tmp_path / f"{outcome.index}-{outcome.subject}.key"
        assert path.read_text() == box.inference_key(outcome.hash or "") + "\n"
        assert outcome.sink == f"file:{path}"
    assert list(journals.iterdir()) == []


async def test_a_slot_waits_for_its_plaintext(box: Sandbox, client: AsyncOpenRouter) -> None:
    """No more keys are asked for while the sinks of as many as there are slots still work."""
    go = asyncio.Event()
    waiting: list[str] = []

    async def slow(key: ProvisionedKey) -> None:
        waiting.append(key.name)
        await go.wait()

    keys = [{"name": f"k{n}"} for n in range(6)]
    run = client.api_keys.create_many(keys, sink=lambda _: slow, concurrency=2)
    task = asyncio.ensure_future(run.finish())
    while len(waiting) < 2:
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.1)
    assert done(box, "create") == 2
    go.set()
    assert statuses(await task) == ["ok"] * 6


async def test_one_fails_all_fail(box: Sandbox, client: AsyncOpenRouter) -> None:
    """Fault 25: the others are done; where all fail each says why."""
    wanted = [*hashes(box)[:3], "0" * 64]
    outcomes = await client.api_keys.disable_many(wanted)
    assert statuses(outcomes) == ["ok", "ok", "ok", "failed"]
    assert "404" in (outcomes[3].reason or "")
    assert outcomes[3].error is not None
    box.fail("update", status=403, times=ITEMS)
    outcomes = await client.api_keys.disable_many(hashes(box))
    assert statuses(outcomes) == ["failed"] * ITEMS


@pytest.mark.parametrize("fault", [{"status": 503}, {"reset": True}, {"truncate": True}])
async def test_no_answer(box: Sandbox, client: AsyncOpenRouter, fault: Mapping[str, Any]) -> None:
    """A change that may have been made says so, a create too."""
    box.fail("update", **fault)
    [outcome] = await client.api_keys.disable_many(hashes(box)[:1])
    assert outcome.status is Status.AMBIGUOUS
    if "truncate" not in fault:
        box.fail("create", after_effect=True, **fault)
        [outcome] = await client.api_keys.create_many([{"name": "a"}], sink=lambda _: print)
        assert outcome.status is Status.AMBIGUOUS
        assert done(box, "create") == 1


async def test_a_sink_that_fails_makes_no_second_key(
    box: Sandbox, client: AsyncOpenRouter, tmp_path: Path, journals: Path
) -> None:
    """The key exists and its plaintext is in the journal: the item is ambiguous, and stays so."""

    def broken(_: ProvisionedKey) -> None:
        raise OSError(5, "Input/output error")

    file = tmp_path / "outcomes"
    for _ in range(2):
        [outcome] = await client.api_keys.create_many(
            [{"name": "a"}], sink=lambda _: broken, outcomes_file=file
        )
        assert outcome.status is Status.AMBIGUOUS
        assert outcome.hash is not None
    assert done(box, "create") == 1
    assert [item.state for item in unfinished(journals)] == [State.UNDELIVERED]


def odd(item: Mapping[str, Any]) -> Any:
    """A factory of sinks that fails for one item."""
    raise LookupError(f"no place for {item['name']} sk-or-v1-{'7e' * 32}")


@pytest.mark.parametrize(
    "factory",
    [odd, lambda _: FileSink(""), lambda _: "x"],
    ids=["an error", "one of ours", "no sink"],
)
async def test_a_sink_that_cannot_be_made(
    box: Sandbox, client: AsyncOpenRouter, tmp_path: Path, journals: Path, factory: Any
) -> None:
    """It is that item's failure: the others are made, and each plaintext is in its place."""

    def sink(item: Mapping[str, Any]) -> Any:
        return factory(item) if item["index"] == 5 else to_files(tmp_path)(item)

    keys = [{"name": f"k{n}"} for n in range(ITEMS)]
    outcomes = await client.api_keys.create_many(keys, sink=sink)
    assert statuses(outcomes) == ["ok"] * 5 + ["failed"] + ["ok"] * 6
    assert "no key was created" in (outcomes[5].reason or "")
    assert_not_leaked("7e" * 32, str(outcomes[5]), repr(outcomes[5].error))
    assert len(list(tmp_path.glob("*.key"))) == done(box, "create") == ITEMS - 1
    assert list(journals.iterdir()) == []


async def test_a_sink_that_refuses_before_the_create(
    box: Sandbox, client: AsyncOpenRouter, tmp_path: Path, journals: Path
) -> None:
    """No key was made, and nothing says that one may have been; the next run tries again."""
    (tmp_path / "0-a.key").write_text("precious")
    file = tmp_path / "outcomes"
    keys = [{"name": "a"}]
    create = client.api_keys.create_many
    [outcome] = await create(keys, sink=to_files(tmp_path), outcomes_file=file)
    assert (outcome.status, outcome.hash) == (Status.FAILED, None)
    assert "File exists; no key was created" in (outcome.reason or "")
    assert (done(box, "create"), unfinished(journals)) == (0, [])
    (tmp_path / "0-a.key").unlink()
    assert statuses(await create(keys, sink=to_files(tmp_path), outcomes_file=file)) == ["ok"]


async def test_what_a_factory_is_told(box: Sandbox, client: AsyncOpenRouter) -> None:
    """The parameters that were given and the index, and never a partner's key."""
    told: list[dict[str, Any]] = []

    def sink(item: Mapping[str, Any]) -> Any:
        told.append(dict(item))
        return lambda _: None

    external = {"user": "u1", "api_key": "7e" * 32}
    await client.api_keys.create_many([{"name": "a", "external": external}], sink=sink)
    assert told == [{"name": "a", "index": 0}]


@pytest.mark.parametrize("error", [LookupError, TimeoutError])
@pytest.mark.parametrize("call", ["create_many", "update_many", "delete_many"])
async def test_a_key_function_that_raises(
    box: Sandbox,
    client_for: ClientFor,
    tmp_path: Path,
    journals: Path,
    call: str,
    error: type[Exception],
) -> None:
    """It is the failure of the item that asked, and no other's; nothing was sent for it."""
    asked = 0

    def key() -> str:
        nonlocal asked
        asked += 1
        if asked == 3:
            raise error(f"sealed {box.management_key}")
        return box.management_key

    keys = client_for(box.url, api_key=key).api_keys
    given: Any = hashes(box)[:5]
    extra: Any = {"sink": to_files(tmp_path)} if call == "create_many" else {}
    if call != "delete_many":
        given = [{"hash": hash, "limit": 1} for hash in given]
    if call == "create_many":
        given = [{"name": f"k{n}"} for n in range(5)]
    file = tmp_path / "outcomes"
    outcomes = await getattr(keys, call)(given, concurrency=1, outcomes_file=file, **extra)
    assert statuses(outcomes) == ["ok", "failed", "ok", "ok", "ok"]
    assert outcomes[1].reason.startswith(f"{error.__name__}: sealed")
    assert_not_leaked(box.management_key, str(outcomes[1]), file.read_text())
    assert not journals.exists() or list(journals.iterdir()) == []
    again = await getattr(keys, call)(given, concurrency=1, outcomes_file=file, **extra)
    assert statuses(again) == ["skipped", "ok", "skipped", "skipped", "skipped"]


@pytest.mark.parametrize("how", ["cancelled", "twice", "configuration", "closed"])
async def test_creates_that_are_out_come_home(
    box: Sandbox, client_for: ClientFor, tmp_path: Path, journals: Path, how: str
) -> None:
    """A run that must stop loses no key: those that are on their way are stored or remembered."""
    box.fail("create", delay=0.1, times=100)
    asked = 0

    def key() -> str:
        nonlocal asked
        asked += 1
        return "" if how == "configuration" and asked == 4 else box.management_key

    client = client_for(box.url, api_key=key, retries=None)
    keys = [{"name": f"k{n}"} for n in range(ITEMS)]
    run = client.api_keys.create_many(keys, sink=to_files(tmp_path), concurrency=4)
    async with _Tasks():
        task = asyncio.create_task(run.finish())
        while done(box, "create") < 3:
            await asyncio.sleep(0.01)
        if how in ("cancelled", "twice"):
            task.cancel()
        if how == "twice":
            await asyncio.sleep(0.05)
            task.cancel()
        if how == "closed":
            await client.close()
        stopped = {"configuration": ConfigurationError, "closed": ClientClosedError}
        with pytest.raises(stopped.get(how, asyncio.CancelledError)):
            await task
    made = [box.inference_key(key.hash) for key in box.keys if key.name.startswith("k")]
    stored = [path.read_text().strip() for path in tmp_path.glob("*.key")]
    states = [item.state for item in unfinished(journals)]
    if how == "closed":  # no answer can come any more
        await asyncio.sleep(0.6)
        assert set(states) == {State.MAYBE}
        assert statuses(run.outcomes).count("ambiguous") == len(states) >= 3
        return
    assert (sorted(stored), states) == (sorted(made), [])
    assert len(made) >= 3
    assert statuses(run.outcomes).count("ok") == len(made)
    assert set(statuses(run.outcomes)) == {"ok", "skipped"}


async def test_a_create_that_does_not_come_home(
    box: Sandbox, client: AsyncOpenRouter, tmp_path: Path, journals: Path
) -> None:
    """It is waited for, but not for ever; what had not been sent is not ambiguous."""
    box.fail("create", delay=30, after_effect=True)
    file = tmp_path / "outcomes"
    run = client.api_keys.create_many(
        [{"name": "a"}, {"name": "b"}], sink=to_files(tmp_path), concurrency=1, outcomes_file=file
    )
    task = asyncio.create_task(run.finish())
    while not done(box, "create"):
        await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert statuses(run.outcomes) == ["ambiguous", "skipped"]
    assert [item.state for item in unfinished(journals)] == [State.MAYBE]


async def test_creates_that_the_rate_limit_holds_back(
    box: Sandbox, client_for: ClientFor, tmp_path: Path, journals: Path
) -> None:
    """Interrupted before they are sent they are not tried, and the next run makes them."""
    client = client_for(box.url, api_key=box.management_key)
    box.fail("create", status=429, retry_after=30)
    file = tmp_path / "outcomes"
    keys = [{"name": "a"}, {"name": "b"}]
    run = client.api_keys.create_many(keys, sink=to_files(tmp_path), outcomes_file=file)
    task = asyncio.create_task(run.finish())
    while not done(box, "create"):
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.2)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert "ambiguous" not in statuses(run.outcomes)
    assert unfinished(journals) == []
    last = {(e := json.loads(line)).get("subject"): e for line in file.read_text().splitlines()}
    assert {last[name]["status"] for name in "ab"} <= {"ok", "skipped"}


@pytest.mark.parametrize(
    ("call", "given", "place"),
    [
        ("delete_many", ["x" * 64, "../x"], "[1].hash"),
        ("disable_many", ["sk-or-v1-" + "7e" * 32], "[0].hash"),
        ("update_many", [{"hash": "x" * 64}], "[0]"),
        ("update_many", [{"hash": "x" * 64, "limit": float("nan")}], "[0].limit"),
        ("update_many", [{"hash": "x" * 64, "limt": 3}], "[0].limt"),
        ("update_many", [{"limit": 3}], "[0].hash"),
        ("update_many", [{"hash": "x" * 64, "limit": 1}] * 2, "[1].hash"),
        ("update_many", ["x" * 64], "[0]"),
        ("update_many", {"hash": "x"}, "changes"),
        ("delete_many", "x" * 64, "hashes"),
        ("delete_many", None, "hashes"),
        ("delete_many", [None], "[0].hash"),
        ("create_many", [{"name": "a"}, {"name": ""}], "[1].name"),
        ("create_many", [{"name": "a", "sk-or-v1-" + "7e" * 32: 1}], "[0].name"),
    ],
)
async def test_wrong_items_are_named_before_anything_is_sent(
    box: Sandbox, client: AsyncOpenRouter, call: str, given: Any, place: str
) -> None:
    """One wrong item stops all: nobody wants half of a table that has a mistake."""
    extra: Any = {"sink": lambda _: print} if call == "create_many" else {}
    with pytest.raises(InvalidRequestError) as caught:
        await getattr(client.api_keys, call)(given, **extra)
    assert caught.value.parameter == place
    assert_not_leaked("7e" * 32, str(caught.value))
    assert not box.requests


async def test_wrong_settings(client: AsyncOpenRouter, tmp_path: Path) -> None:
    """They are refused before anything is sent."""
    with pytest.raises(InvalidRequestError, match="concurrency"):
        await client.api_keys.delete_many([], concurrency=0)
    with pytest.raises(ConfigurationError, match="progress"):
        await client.api_keys.delete_many([], progress=7)  # type: ignore[arg-type]
    (tmp_path / "link").symlink_to("x")
    for path in (tmp_path, tmp_path / "link", tmp_path / "none" / "x"):
        with pytest.raises(ConfigurationError, match="outcomes_file"):
            await client.api_keys.delete_many(["x" * 64], outcomes_file=path)


# Dry runs


@pytest.mark.parametrize(
    ("now", "change", "widens"),
    [
        ({"disabled": True}, {"disabled": False}, ["enables the key"]),
        ({"disabled": False}, {"disabled": False}, []),
        ({}, {"disabled": True}, []),
        ({"limit": 10}, {"limit": 20}, ["raises the limit from 10 to 20 USD"]),
        ({"limit": 10}, {"limit": 5}, []),
        ({"limit": 10}, {"limit": 10}, []),
        ({"limit": 10}, {"limit": None}, ["removes the limit of 10 USD"]),
        ({"limit": None, "limit_remaining": None}, {"limit": 1000}, []),
        ({"limit_reset": "daily"}, {"limit_reset": "weekly"}, ["longer reset: daily to weekly"]),
        ({"limit_reset": "daily"}, {"limit_reset": None}, ["longer reset: daily to never"]),
        (
            {"limit_reset": "monthly"},
            {"limit_reset": "daily"},
            ["more frequent reset: monthly to daily"],
        ),
        ({"limit_reset": "weekly"}, {"limit_reset": "weekly"}, []),
        ({"limit_reset": "odd"}, {"limit_reset": "daily"}, ["changes the reset from odd to daily"]),
        ({"include_byok_in_limit": True}, {"include_byok_in_limit": False}, ["usage of own"]),
        ({"include_byok_in_limit": False}, {"include_byok_in_limit": True}, []),
        ({}, {"name": "other"}, []),
    ],
)
async def test_a_dry_run_flags_what_widens(
    client_for: ClientFor, now: dict[str, Any], change: dict[str, Any], widens: list[str]
) -> None:
    """It reads the key as it is and sends no change."""
    async with ScriptedServer(reply(json={"data": record(**now)})) as server:
        keys = client_for(server).api_keys
        changes = [{"hash": record()["hash"], **change}]
        [outcome] = await keys.update_many(changes, dry_run=True)
    assert (outcome.status, outcome.reason) == (Status.SKIPPED, "dry run")
    assert len(outcome.widens) == len(widens)
    assert all(said.startswith(w) for said, w in zip(outcome.widens, widens, strict=True))
    assert [request.method for request in server.requests] == ["GET"]


async def test_dry_runs_change_nothing(
    box: Sandbox, client: AsyncOpenRouter, tmp_path: Path
) -> None:
    """Neither on the server nor on the disk; what is not there fails."""
    before = box.keys
    keys, file = client.api_keys, tmp_path / "outcomes"
    wanted = [hashes(box)[0], "0" * 64]
    dry: Any = {"dry_run": True, "outcomes_file": file}
    assert statuses(await keys.delete_many(wanted, **dry)) == ["skipped", "failed"]
    assert statuses(await keys.disable_many(wanted, **dry)) == ["skipped", "failed"]
    new = [{"name": "a"}, {"name": "b", "limit": 0}]
    outcomes = await keys.create_many(new, sink=to_files(tmp_path), **dry)
    assert statuses(outcomes) == ["skipped"] * 2
    assert [outcome.widens for outcome in outcomes] == [("a key without a limit",), ()]
    assert box.keys == before
    assert list(tmp_path.iterdir()) == []


# Progress, interruption, going on


async def test_progress(
    box: Sandbox, client: AsyncOpenRouter, caplog: pytest.LogCaptureFixture
) -> None:
    """Each outcome is told with how many there are; what the function raises changes nothing."""
    told: list[tuple[str, int, int]] = []

    def progress(outcome: Outcome, now: int, of: int) -> None:
        told.append((outcome.subject, now, of))
        raise RuntimeError("mine")

    outcomes = await client.api_keys.disable_many(hashes(box), progress=progress, concurrency=4)
    assert statuses(outcomes) == ["ok"] * ITEMS
    assert [(now, of) for _, now, of in told] == [(n, ITEMS) for n in range(1, ITEMS + 1)]
    assert {subject for subject, _, _ in told} == set(hashes(box))
    assert "progress raised RuntimeError" in caplog.text


async def test_cancelled(box: Sandbox, client: AsyncOpenRouter, tmp_path: Path) -> None:
    """Fault 25: it stops at once, and says what was done, may have been done and was not tried."""
    file = tmp_path / "outcomes"
    go_on = hashes(box)
    box.fail("update", delay=0, times=3)
    box.fail("update", delay=30, times=2)
    run = client.api_keys.disable_many(go_on, concurrency=2, outcomes_file=file)
    async with _Tasks():
        task = asyncio.create_task(run.finish())
        while run.done < 3 or done(box, "update") < 5:
            await asyncio.sleep(0.01)
        began = asyncio.get_running_loop().time()
        task.cancel()
        with pytest.raises(asyncio.CancelledError) as caught:
            await task
        assert asyncio.get_running_loop().time() - began < 2
    assert sorted(statuses(run.outcomes)) == ["ambiguous"] * 2 + ["ok"] * 3 + ["skipped"] * 7
    assert run.summary == "3 ok, 2 ambiguous, 7 skipped"
    assert "3 ok, 2 ambiguous, 7 skipped" in "".join(caught.value.__notes__)
    with pytest.raises(ConfigurationError, match="once"):
        await run
    outcomes = await client.api_keys.disable_many(go_on, outcomes_file=file)
    assert statuses(outcomes).count("skipped") == 3
    assert statuses(outcomes).count("ok") == 9
    assert all(key.disabled for key in box.keys if key.hash in go_on)


class _Tasks:
    """No task of ours is left."""

    async def __aenter__(self) -> None:
        self.before = {t for t in asyncio.all_tasks() if "RequestHandler" not in repr(t)}

    async def __aexit__(self, *_: object) -> None:
        left = {t for t in asyncio.all_tasks() if "RequestHandler" not in repr(t)}
        assert left <= self.before


async def test_a_create_that_was_begun_is_not_begun_again(
    box: Sandbox, client: AsyncOpenRouter, tmp_path: Path, journals: Path
) -> None:
    """Interrupted with a create on its way, the next run leaves that one to people."""
    file = tmp_path / "outcomes"
    keys = [{"name": "a"}, {"name": "a"}, {"name": "b", "limit": 5}]
    box.fail("create", delay=0)
    box.fail("create", delay=30, after_effect=True)
    run = client.api_keys.create_many(
        keys, sink=to_files(tmp_path), concurrency=1, outcomes_file=file
    )
    task = asyncio.create_task(run.finish())
    while done(box, "create") < 2:
        await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert statuses(run.outcomes) == ["ok", "ambiguous", "skipped"]
    assert [item.state for item in unfinished(journals)] == [State.MAYBE]
    for second in (["skipped", "ambiguous", "ok"], ["skipped", "ambiguous", "skipped"]):
        outcomes = await client.api_keys.create_many(
            keys, sink=to_files(tmp_path), outcomes_file=file
        )
        assert statuses(outcomes) == second
    assert outcomes[0].hash == next(k.hash for k in reversed(box.keys) if k.name == "a")
    assert done(box, "create") == 3
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    for key in box.keys:
        assert_not_leaked(box.inference_key(key.hash), file.read_text())
    for line in file.read_text().splitlines()[1:]:
        assert {"id", "index", "action", "subject", "status"} <= json.loads(line).keys()


@pytest.mark.parametrize("damage", ["cut", "flip", "begun"])
async def test_a_damaged_file_of_outcomes(
    box: Sandbox, client: AsyncOpenRouter, tmp_path: Path, damage: str
) -> None:
    """Torn lines count for nothing; an announced create without an outcome is left alone."""
    file = tmp_path / "outcomes"
    keys = [{"name": "a"}, {"name": "b"}]
    create = client.api_keys.create_many
    await create(keys, sink=to_files(tmp_path), concurrency=1, outcomes_file=file)
    lines = file.read_bytes().splitlines(keepends=True)
    assert len(lines) == 5
    if damage == "cut":
        file.write_bytes(b"".join(lines)[:-10])
    elif damage == "flip":
        file.write_bytes(b"".join(lines[:4]) + b"\xff" + lines[4][1:])
    else:
        file.write_bytes(b"".join(lines[:4]))
    outcomes = await create(keys, sink=to_files(tmp_path), outcomes_file=file)
    assert statuses(outcomes) == ["skipped", "ambiguous"]
    assert done(box, "create") == 2


async def test_a_torn_line_hides_nothing_behind_it(
    box: Sandbox, client: AsyncOpenRouter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk is full for a moment, then the process is killed: no run creates a key again."""
    file, write = tmp_path / "outcomes", os.write
    keys = [{"name": "a"}, {"name": "b"}]
    create: Any = functools.partial(client.api_keys.create_many, concurrency=1, outcomes_file=file)

    def torn(descriptor: int, data: bytes) -> int:
        if Path(f"/proc/self/fd/{descriptor}").readlink() == file and b'"status": "ok"' in data:
            if b'"subject": "a"' in data and data.startswith(b"{"):
                return write(descriptor, data[:40])  # and the rest finds no room
            raise OSError(28, "No space left on device")
        return write(descriptor, data)

    monkeypatch.setattr(os, "write", torn)
    assert statuses(await create(keys, sink=lambda _: print)) == ["ok", "ok"]
    monkeypatch.undo()
    assert file.read_bytes().count(b'"status": "ok"') == 0
    assert statuses(await create(keys, sink=lambda _: print)) == ["ambiguous"] * 2
    assert done(box, "create") == 2
    for expected in (["ambiguous", "ambiguous", "ok"], ["ambiguous", "ambiguous", "skipped"]):
        found = await create([*keys, {"name": "c"}], sink=lambda _: print)
        assert statuses(found) == expected
    assert done(box, "create") == 3


async def test_three_runs_over_a_cut_file(
    box: Sandbox, client: AsyncOpenRouter, tmp_path: Path
) -> None:
    """Each run is killed within a line; what it had announced is known to the next."""
    file = tmp_path / "outcomes"
    create: Any = functools.partial(client.api_keys.create_many, concurrency=1, outcomes_file=file)
    names: list[dict[str, Any]] = []
    for count, name in enumerate("abc", 1):
        names.append({"name": name})
        expected = ["ambiguous"] * (count - 1) + ["ok"]
        assert statuses(await create(names, sink=lambda _: print)) == expected
        file.write_bytes(file.read_bytes()[:-10])
    assert done(box, "create") == 3


@pytest.mark.parametrize("field", ["organization_id", "creator_user_id", "label"])
async def test_a_file_belongs_to_an_account(
    client_for: ClientFor, tmp_path: Path, field: str
) -> None:
    """Another key of the same account goes on; another account or server does not."""
    file, hash = tmp_path / "outcomes", record()["hash"]
    nobody = {"organization_id": None, "creator_user_id": None, "label": "sk-or-v1-0e6...1c9"}
    known: dict[str, Any] = {"organization_id": "org_1", "creator_user_id": "user_1"}
    first = {**CURRENT_KEY, **nobody, **({} if field == "label" else {field: known[field]})}
    same = first if field == "label" else {**first, "label": "sk-or-v1-77a...b2c"}
    other = {**same, field: "another"}
    updated = reply(json={"data": record(limit=1)})
    steps = [reply(json={"data": each}) for each in (first, same, other)]
    async with (
        ScriptedServer(steps[0], updated, *steps[1:]) as server,
        ScriptedServer(reply(json={"data": first})) as elsewhere,
    ):
        for key, status in (("a", "ok"), ("b", "skipped")):
            secret = "sk-or-v1-" + key * 64
            update = client_for(server, api_key=secret).api_keys.update_many
            outcomes = await update([{"hash": hash, "limit": 1}], outcomes_file=file)
            assert statuses(outcomes) == [status]
            assert_not_leaked(secret, file.read_text())
        for place in (server, elsewhere):
            update = client_for(place).api_keys.update_many
            with pytest.raises(ConfigurationError, match=f"{file}: .*another account") as caught:
                await update([{"hash": hash, "limit": 1}], outcomes_file=file)
            assert field == "label" or first[field] in caught.value.message
    assert [request.method for request in server.requests] == ["GET", "PATCH", "GET", "GET"]
    assert [request.method for request in elsewhere.requests] == ["GET"]


async def test_a_rehearsal_is_not_the_real_thing(tmp_path: Path, client_for: ClientFor) -> None:
    """What was done in one sandbox was not done in the next."""
    file = tmp_path / "outcomes"
    for number in range(2):
        async with Sandbox(keys=3) as box:
            delete = client_for(box.url, api_key=box.management_key).api_keys.delete_many
            wanted = sorted(key.hash for key in box.keys)
            if number:
                with pytest.raises(ConfigurationError, match="another account"):
                    await delete(wanted, outcomes_file=file)
                assert done(box, "delete") == 0
            else:
                assert set(statuses(await delete(wanted, outcomes_file=file))) == {"ok"}


@pytest.mark.parametrize(
    "line",
    [b'{"id": 7}', b'{"id": []}',
     b'{"id": null, "status": "ok"}', b"[]", b"7", b"\xff\x00", b"[" * 9999,
     b'{"account": 7}', b'{"id": "x", "status": {}}', b""],
)  # fmt: skip
async def test_lines_that_say_nothing(
    box: Sandbox, client: AsyncOpenRouter, tmp_path: Path, line: bytes
) -> None:
    """Whatever is in the file, it is read past."""
    file = tmp_path / "outcomes"
    file.write_bytes(line)
    wanted = hashes(box)[:1]
    assert statuses(await client.api_keys.disable_many(wanted, outcomes_file=file)) == ["ok"]
    assert statuses(await client.api_keys.disable_many(wanted, outcomes_file=file)) == ["skipped"]


@pytest.mark.parametrize("wrong", ["a\0b", "\ud800", 7, b"x"])
async def test_paths_that_are_none(box: Sandbox, client: AsyncOpenRouter, wrong: Any) -> None:
    """A file of outcomes and a folder of journals are refused by name."""
    with pytest.raises(ConfigurationError, match="outcomes_file must be a path"):
        await client.api_keys.disable_many(hashes(box), outcomes_file=wrong)
    with pytest.raises(ConfigurationError, match="journal_dir must be a path"):
        await client.api_keys.create_many([{"name": "a"}], sink=lambda _: print, journal_dir=wrong)
    assert not box.requests


async def test_a_delete_that_was_begun(
    box: Sandbox, client: AsyncOpenRouter, tmp_path: Path
) -> None:
    """The second time it finds the key gone, which is what was wanted; others are told 404."""
    file = tmp_path / "outcomes"
    first = hashes(box)[0]
    box.fail("delete", status=500, after_effect=True)
    delete = client.api_keys.delete_many
    assert statuses(await delete([first], outcomes_file=file)) == ["ambiguous"]
    [outcome] = await delete([first], outcomes_file=file)
    assert (outcome.status, outcome.reason) == (Status.OK, "it was already gone")
    assert statuses(await delete([first])) == ["failed"]


async def test_two_runs_with_one_file(
    box: Sandbox, client: AsyncOpenRouter, tmp_path: Path
) -> None:
    """The second is refused while the first is at it."""
    file = tmp_path / "outcomes"
    box.fail("update", delay=0.5)
    first = asyncio.create_task(
        client.api_keys.disable_many(hashes(box), outcomes_file=file).finish()
    )
    while not done(box, "update"):
        await asyncio.sleep(0.01)
    with pytest.raises(ConfigurationError, match="another run"):
        await client.api_keys.disable_many(hashes(box), outcomes_file=file)
    assert statuses(await first) == ["ok"] * ITEMS


async def test_a_file_that_fails_sends_nothing(
    box: Sandbox, client: AsyncOpenRouter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What cannot be announced is not done; without the account's line nothing is."""
    write = os.write

    def full(descriptor: int, data: bytes) -> int:
        if refused in data:
            raise OSError(28, "No space left on device")
        return write(descriptor, data)

    refused = b""
    monkeypatch.setattr(os, "write", full)
    with pytest.raises(ConfigurationError, match=r"outcomes_file .*: No space left"):
        await client.api_keys.disable_many(hashes(box), outcomes_file=tmp_path / "x")
    refused = b"begun"
    outcomes = await client.api_keys.disable_many(hashes(box), outcomes_file=tmp_path / "x")
    assert statuses(outcomes) == ["failed"] * ITEMS
    assert not done(box, "update")


async def test_a_closed_client_stops_the_run(box: Sandbox, client: AsyncOpenRouter) -> None:
    """What no single key is to blame for is raised."""
    await client.close()
    with pytest.raises(ClientClosedError):
        await client.api_keys.delete_many(hashes(box))


def test_blocking_and_ctrl_c(tmp_path: Path) -> None:
    """The blocking client gives a list; what is raised in its place has the outcomes so far."""
    with Sandbox(keys=ITEMS) as box, OpenRouter(box.management_key, server_url=box.url) as client:
        wanted = hashes(box)
        assert statuses(client.api_keys.disable_many(wanted[:2])) == ["ok", "ok"]
        changes = [{"hash": wanted[0], "disabled": False}]
        assert statuses(client.api_keys.update_many(changes)) == ["ok"]
        new = [{"name": "a", "limit": 1}]
        assert statuses(client.api_keys.create_many(new, sink=to_files(tmp_path))) == ["ok"]
        box.fail("delete", delay=0)
        box.fail("delete", delay=30)
        main = threading.main_thread().ident
        assert main is not None

        def interrupt() -> None:
            while done(box, "delete") < 2:
                time.sleep(0.01)
            time.sleep(0.05)
            os.kill(os.getpid(), 2)

        threading.Thread(target=interrupt).start()
        began = time.monotonic()
        with pytest.raises(KeyboardInterrupt) as caught:
            client.api_keys.delete_many(wanted, concurrency=1)
        assert time.monotonic() - began < 15  # not the 30 s of the request
        outcomes: list[Outcome] = vars(caught.value)["outcomes"]
        assert statuses(outcomes) == ["ok", "ambiguous"] + ["skipped"] * (ITEMS - 2)
        assert "1 ok, 1 ambiguous" in "".join(caught.value.__notes__)
