"""`provision`: nothing is asked for before sink and journal are ready, nothing is lost after."""

import asyncio
import errno
import json
import os
import stat
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.calls import ClientFor
from support.leaks import open_below
from support.secrets import assert_not_leaked, capture_logs, tracebacks_with_locals

from openrouter_async import (
    AmbiguousCreateError,
    APIKey,
    AsyncOpenRouter,
    ConfigurationError,
    ForbiddenResponseError,
    InvalidRequestError,
    OpenRouter,
    SinkError,
    TooManyRequestsResponseError,
)
from openrouter_async.provisioning import (
    DotenvSink,
    FileSink,
    ProvisionedKey,
    State,
    StdoutSink,
    dismiss,
    unfinished,
)
from openrouter_async.sandbox import Sandbox


@pytest.fixture
async def box() -> AsyncIterator[Sandbox]:
    """A sandbox of one's own."""
    async with Sandbox() as box:
        yield box


@pytest.fixture
def client(box: Sandbox, client_for: ClientFor) -> AsyncOpenRouter:
    """A client of it."""
    return client_for(box.url, api_key=box.management_key)


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    """Where the journals are."""
    return tmp_path / "journal"


@pytest.fixture(autouse=True)
def everything_is_closed(tmp_path: Path) -> Iterator[None]:
    """No file stays open, whatever failed."""
    yield
    assert open_below(tmp_path) == []


def named(box: Sandbox, name: str = "acme") -> list[APIKey]:
    """The keys of this name."""
    return [key for key in box.keys if key.name == name]


def creates(box: Sandbox) -> int:
    """Count what was asked of the service."""
    return sum(request.operation == "create" for request in box.requests)


async def test_into_a_file(
    box: Sandbox, client: AsyncOpenRouter, tmp_path: Path, journal: Path
) -> None:
    """The key is as asked for, its plaintext in the file only, and no journal is left."""
    made = await client.api_keys.provision(
        "acme",
        sink=FileSink(tmp_path / "acme.key"),
        limit=5,
        limit_reset="weekly",
        include_byok_in_limit=True,
        expires_at="2031-01-01T00:00:00Z",
        workspace_id=box.workspaces[1].id,
        external={"user": "u1", "api_key": "k" * 40},
        journal_dir=journal,
    )
    assert open_below(tmp_path) == []
    [key] = named(box)
    assert made.data == key
    assert (key.limit, key.limit_reset, key.external_user) == (5, "weekly", "u1")
    assert made.secret.reveal() == box.inference_key(key.hash)
    assert (tmp_path / "acme.key").read_text() == made.secret.reveal() + "\n"
    assert list(journal.iterdir()) == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["acme.key", "journal"]
    assert made.secret.reveal() not in repr(made)


async def test_into_a_dotenv_file_by_many(
    box: Sandbox, client: AsyncOpenRouter, tmp_path: Path, journal: Path
) -> None:
    """Twenty at once into one file: every entry is there."""
    path = tmp_path / ".env"
    path.write_text("# mine\n")
    path.chmod(0o600)
    await asyncio.gather(
        *(
            client.api_keys.provision(
                f"k{n}", sink=DotenvSink(path, f"KEY_{n}"), journal_dir=journal
            )
            for n in range(20)
        )
    )
    lines = path.read_text().splitlines()
    assert lines[0] == "# mine"
    expected = {
        f"KEY_{key.name[1:]}={box.inference_key(key.hash)}"
        for key in box.keys
        if key.name.startswith("k") and key.name[1:].isdigit()
    }
    assert set(lines[1:]) == expected
    assert len(expected) == 20


async def test_into_functions(box: Sandbox, client: AsyncOpenRouter, journal: Path) -> None:
    """A secrets manager is a function, sync or async, that gets the key with its name and hash."""
    taken: list[ProvisionedKey] = []

    async def store(key: ProvisionedKey) -> None:
        await asyncio.sleep(0)
        taken.append(key)

    for sink in (taken.append, store):
        await client.api_keys.provision("acme", sink=sink, journal_dir=journal)
    assert [key.secret.reveal() for key in taken] == [
        box.inference_key(key.hash) for key in reversed(named(box))
    ]


async def test_to_standard_output(
    box: Sandbox, client: AsyncOpenRouter, journal: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The plaintext alone."""
    await client.api_keys.provision("acme", sink=StdoutSink(), journal_dir=journal)
    assert capsys.readouterr().out == box.inference_key(named(box)[0].hash) + "\n"


def spoil_file(tmp_path: Path) -> None:
    """A file is there."""
    (tmp_path / "acme.key").write_text("precious")


def spoil_link(tmp_path: Path) -> None:
    """A link is there."""
    (tmp_path / "acme.key").symlink_to(tmp_path / "elsewhere")


def spoil_folder(tmp_path: Path) -> None:
    """Anybody may write to the folder."""
    tmp_path.chmod(0o777)


def spoil_journal(tmp_path: Path) -> None:
    """A file is where journals would be."""
    (tmp_path / "journal").write_text("a file")


def spoil_journal_folder(tmp_path: Path) -> None:
    """Anybody may write to the journals' folder."""
    (tmp_path / "journal").mkdir()
    (tmp_path / "journal").chmod(0o777)


@pytest.mark.parametrize(
    "spoil", [spoil_file, spoil_link, spoil_folder, spoil_journal, spoil_journal_folder]
)
async def test_what_fails_before_a_key_exists(
    box: Sandbox,
    client: AsyncOpenRouter,
    tmp_path: Path,
    journal: Path,
    spoil: Callable[[Path], None],
) -> None:
    """Fault 30: an existing file, a link, a folder for anybody, no folder for journals."""
    spoil(tmp_path)
    before = {path: path.lstat().st_size for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(SinkError, match="no key was created") as caught:
        await client.api_keys.provision(
            "acme", sink=FileSink(tmp_path / "acme.key"), journal_dir=journal
        )
    assert (caught.value.hash, caught.value.journal) == (None, None)
    assert creates(box) == 0
    assert {p: p.lstat().st_size for p in tmp_path.rglob("*") if p.is_file()} == before
    assert caught.value.__context__ is None


@pytest.mark.parametrize("at", range(1, 5))
async def test_a_disk_that_is_full_before(
    box: Sandbox,
    client: AsyncOpenRouter,
    tmp_path: Path,
    journal: Path,
    monkeypatch: pytest.MonkeyPatch,
    at: int,
) -> None:
    """Fault 30: whichever write meets the full disk, nothing is asked for and nothing is left."""
    write, left = os.write, [at]

    def full(descriptor: int, data: bytes) -> int:
        if Path(f"/proc/self/fd/{descriptor}").readlink().is_relative_to(tmp_path):
            left[0] -= 1
            if left[0] <= 0:
                raise OSError(errno.ENOSPC, "No space left on device")
        return write(descriptor, data)

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(SinkError, match="No space left on device; no key was created"):
        await client.api_keys.provision(
            "acme", sink=FileSink(tmp_path / "acme.key"), journal_dir=journal
        )
    assert creates(box) == 0
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


async def test_parameters_are_checked_first(client: AsyncOpenRouter, tmp_path: Path) -> None:
    """A wrong one touches no file."""
    with pytest.raises(InvalidRequestError, match="limit"):
        await client.api_keys.provision(
            "acme", sink=FileSink(tmp_path / "x"), limit=float("nan"), journal_dir=tmp_path / "j"
        )
    with pytest.raises(ConfigurationError, match="sink"):
        await client.api_keys.provision("acme", sink="x", journal_dir=tmp_path)  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


async def test_a_definite_refusal_leaves_nothing(
    box: Sandbox, client: AsyncOpenRouter, tmp_path: Path, journal: Path
) -> None:
    """There is no key: no file and no journal is left."""
    for status, error in ((403, ForbiddenResponseError), (429, TooManyRequestsResponseError)):
        box.fail("create", status=status)
        with pytest.raises(error):
            await client.api_keys.provision(
                "acme", sink=FileSink(tmp_path / "x"), journal_dir=journal, retries=None
            )
    assert list(tmp_path.iterdir()) == [journal]
    assert list(journal.iterdir()) == []


async def test_an_ambiguous_create_is_remembered(
    box: Sandbox, client: AsyncOpenRouter, tmp_path: Path, journal: Path
) -> None:
    """The journal has the name and the times; the reserved file is gone, so that one may retry."""
    box.fail("create", status=500, after_effect=True)
    with pytest.raises(AmbiguousCreateError) as caught:
        await client.api_keys.provision("acme", sink=FileSink(tmp_path / "x"), journal_dir=journal)
    assert not (tmp_path / "x").exists()
    [item] = await client.api_keys.recover(journal_dir=journal)
    assert item.journal in caught.value.__notes__[0]
    assert (item.state, item.name) == (State.MAYBE, "acme")
    assert (item.not_before, item.not_after) == (caught.value.not_before, caught.value.not_after)
    assert item.candidates == tuple(named(box))
    again = await client.api_keys.resume(item)
    assert again is not None
    assert again.state is State.MAYBE
    assert await client.api_keys.find_candidates(again, within=0) == named(box)
    dismiss(item)
    assert unfinished(journal) == []
    assert await client.api_keys.resume(item) is None


async def test_a_sink_that_fails_afterwards(
    box: Sandbox, client: AsyncOpenRouter, journal: Path
) -> None:
    """The plaintext is in the journal at 0600, the error says where, and resuming delivers it."""

    def broken(key: ProvisionedKey) -> None:
        raise RuntimeError(f"cannot store {key.secret.reveal()}")

    with capture_logs() as logs, pytest.raises(SinkError) as caught:
        await client.api_keys.provision("acme", sink=broken, journal_dir=journal)
    [key] = named(box)
    error = caught.value
    assert error.hash == key.hash
    assert error.journal is not None
    path = Path(error.journal)
    plaintext = box.inference_key(key.hash)
    assert plaintext in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    shown = tracebacks_with_locals(error, without_locals_of=[__file__])
    assert_not_leaked(plaintext, str(error), repr(error), shown, logs.text)
    [item] = await client.api_keys.recover(journal_dir=journal)
    assert (item.state, item.sink) == (State.UNDELIVERED, None)
    with pytest.raises(SinkError, match="function"):
        await client.api_keys.resume(item)
    taken: list[ProvisionedKey] = []
    assert await client.api_keys.resume(item, sink=taken.append) is None
    assert taken[0].secret.reveal() == plaintext
    assert (taken[0].name, taken[0].hash) == ("acme", key.hash)
    assert unfinished(journal) == []


async def test_a_file_that_cannot_be_replaced_afterwards(
    box: Sandbox, client: AsyncOpenRouter, tmp_path: Path, journal: Path
) -> None:
    """Somebody wrote into the reserved file: it is kept, and another sink takes the plaintext."""
    box.fail("create", delay=0.2)
    target = tmp_path / "x"
    task = asyncio.create_task(
        client.api_keys.provision("acme", sink=FileSink(target), journal_dir=journal)
    )
    while not creates(box):
        await asyncio.sleep(0.01)
    target.write_text("precious")
    with pytest.raises(SinkError, match="the file has other content now"):
        await task
    [item] = unfinished(journal)
    assert await client.api_keys.resume(item, sink=FileSink(tmp_path / "y")) is None
    assert target.read_text() == "precious"
    assert (tmp_path / "y").read_text() == box.inference_key(named(box)[0].hash) + "\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["journal", "x", "y"]


async def test_a_journal_that_fails_afterwards(
    box: Sandbox,
    client: AsyncOpenRouter,
    tmp_path: Path,
    journal: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """If the disk fails between the steps, the sink still takes the plaintext."""
    write = os.write

    def broken(descriptor: int, data: bytes) -> int:
        if b'"made"' in data:
            raise OSError(errno.EIO, "Input/output error")
        return write(descriptor, data)

    monkeypatch.setattr(os, "write", broken)
    await client.api_keys.provision("acme", sink=FileSink(tmp_path / "x"), journal_dir=journal)
    plaintext = box.inference_key(named(box)[0].hash)
    assert (tmp_path / "x").read_text() == plaintext + "\n"
    assert "the journal cannot be written: Input/output error" in caplog.text
    with pytest.raises(SinkError, match=r"plaintext is lost: delete [0-9a-f]{64}") as caught:
        await client.api_keys.provision("b", sink=lambda _: 1 / 0, journal_dir=journal)
    assert caught.value.journal is None
    assert_not_leaked(plaintext, caplog.text, str(caught.value))


async def test_cancelled_with_the_request_on_its_way(
    box: Sandbox, client: AsyncOpenRouter, tmp_path: Path, journal: Path
) -> None:
    """The cancellation goes on, and the journal remembers the create."""
    box.fail("create", delay=10, after_effect=True)
    task = asyncio.create_task(
        client.api_keys.provision("acme", sink=FileSink(tmp_path / "x"), journal_dir=journal)
    )
    while not creates(box):
        await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert open_below(tmp_path) == []
    [item] = await client.api_keys.recover(journal_dir=journal, within=5)
    assert item.state is State.MAYBE
    assert [key.hash for key in item.candidates or ()] == [key.hash for key in named(box)]


@pytest.mark.parametrize("after", range(0, 30, 2))
async def test_cancelled_at_any_moment(
    box: Sandbox, client: AsyncOpenRouter, tmp_path: Path, journal: Path, after: int
) -> None:
    """Fault 23: the plaintext is in the sink or the journal, or the journal has the name."""
    task = asyncio.create_task(
        client.api_keys.provision("acme", sink=FileSink(tmp_path / "x"), journal_dir=journal)
    )
    await asyncio.sleep(after / 1000)
    task.cancel()
    outcome = (await asyncio.gather(task, return_exceptions=True))[0]
    await asyncio.sleep(0.05)  # the service may still be at it
    states = [item.state for item in unfinished(journal)]
    for key in named(box):
        plaintext = box.inference_key(key.hash)
        texts = [path.read_text() for path in tmp_path.rglob("*") if path.is_file()]
        assert states == [State.MAYBE] or any(plaintext in text for text in texts)
    if not named(box) and not states:
        assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    assert isinstance(outcome, asyncio.CancelledError | ProvisionedKey)


class Waiting(FileSink):
    """Takes its time before a key exists, or where none was made."""

    def __init__(self, path: Path, at: str) -> None:
        super().__init__(path)
        self.at = at
        self.reached, self.go_on = threading.Event(), threading.Event()

    def _wait(self, at: str) -> None:
        if self.at == at:
            self.reached.set()
            assert self.go_on.wait(30)

    def prepare(self, work: str) -> None:
        """Wait at the end."""
        super().prepare(work)
        self._wait("prepare")

    def discard(self, work: str) -> None:
        """Wait at the end."""
        super().discard(work)
        self._wait("discard")


async def until(event: threading.Event) -> None:
    """Wait until a thread has come so far."""
    while not event.is_set():
        await asyncio.sleep(0.005)


@pytest.mark.parametrize("late", [False, True])
async def test_cancelled_twice_in_the_first_step(
    box: Sandbox, client: AsyncOpenRouter, tmp_path: Path, journal: Path, *, late: bool
) -> None:
    """A time-out within a group that fails: the step is undone, and the next try finds nothing.

    Late: the step ends only when nobody waits for it any more.
    """
    sink = Waiting(tmp_path / "x", "prepare")

    async def create() -> None:
        async with asyncio.timeout(0.05):
            await client.api_keys.provision("acme", sink=sink, journal_dir=journal)

    async def fail() -> None:
        await until(sink.reached)
        await asyncio.sleep(0.1)  # the time-out has come, and its cancellation waits
        if not late:
            asyncio.get_running_loop().call_later(0.1, sink.go_on.set)
        raise LookupError

    async def both() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(create())
            group.create_task(fail())

    with pytest.raises(ExceptionGroup, match="unhandled errors in a TaskGroup"):
        await both()
    sink.go_on.set()
    while [path for path in tmp_path.rglob("*") if path.is_file()] or open_below(tmp_path):
        await asyncio.sleep(0.005)
    assert creates(box) == 0
    await client.api_keys.provision("acme", sink=FileSink(tmp_path / "x"), journal_dir=journal)


async def test_a_first_step_that_cannot_be_undone(
    client: AsyncOpenRouter, tmp_path: Path, journal: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It is told, and the journal can be taken up by others."""

    class Stuck(Waiting):
        """Cannot remove what it reserved."""

        def discard(self, work: str) -> None:
            """Fail."""
            raise OSError(errno.EIO, "Input/output error")

    sink = Stuck(tmp_path / "x", "prepare")
    task = asyncio.create_task(client.api_keys.provision("a", sink=sink, journal_dir=journal))
    await until(sink.reached)
    task.cancel()
    asyncio.get_running_loop().call_later(0.05, sink.go_on.set)
    with pytest.raises(asyncio.CancelledError):
        await task
    assert "a reserved file or journal remains: Input/output error" in caplog.text
    assert [item.state for item in unfinished(journal)] == [State.MAYBE]


async def test_cancelled_twice_while_it_cleans_up(
    box: Sandbox, client: AsyncOpenRouter, tmp_path: Path, journal: Path
) -> None:
    """After a refusal nothing is left either, however often it is cancelled then."""
    box.fail("create", status=403)
    sink = Waiting(tmp_path / "x", "discard")
    task = asyncio.create_task(client.api_keys.provision("a", sink=sink, journal_dir=journal))
    await until(sink.reached)
    for _ in range(3):
        task.cancel()
        await asyncio.sleep(0.01)
    sink.go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("error", [LookupError, TimeoutError, ConfigurationError])
async def test_a_key_function_that_raises(
    box: Sandbox, client_for: ClientFor, tmp_path: Path, journal: Path, error: type[Exception]
) -> None:
    """Nothing was sent, so nothing is remembered or reserved."""

    def key() -> str:
        raise error("the vault is sealed")

    keys = client_for(box.url, api_key=key).api_keys
    with pytest.raises(error, match="sealed") as caught:
        await keys.provision("acme", sink=FileSink(tmp_path / "x"), journal_dir=journal)
    assert not getattr(caught.value, "__notes__", [])
    assert creates(box) == 0
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


async def test_cancelled_while_it_waits_to_be_sent(
    box: Sandbox, client: AsyncOpenRouter, tmp_path: Path, journal: Path
) -> None:
    """A create that the service's rate limit holds back cannot have made a key."""
    box.fail("create", status=429, retry_after=30)
    task = asyncio.create_task(
        client.api_keys.provision("acme", sink=FileSink(tmp_path / "x"), journal_dir=journal)
    )
    while not creates(box):
        await asyncio.sleep(0.005)
    await asyncio.sleep(0.1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


class Forgetful(FileSink):
    """Says that it has the key, and has another."""

    def deliver(self, work: str, key: ProvisionedKey) -> None:
        """Lose half of it."""
        super().deliver(work, key)
        Path(self.where.removeprefix("file:")).write_text("half")


class ForgetfulDotenv(DotenvSink):
    """Does the same."""

    def deliver(self, work: str, key: ProvisionedKey) -> None:
        """Lose half of it."""
        super().deliver(work, key)
        self._path.write_text("KEY=half\n")


@pytest.mark.parametrize("make", [Forgetful, lambda path: ForgetfulDotenv(path, "KEY")])
async def test_what_is_not_read_back_is_not_delivered(
    box: Sandbox, client: AsyncOpenRouter, tmp_path: Path, journal: Path, make: Any
) -> None:
    """The journal keeps the plaintext until the file is seen to have it."""
    with pytest.raises(SinkError, match="read back differs from what was written") as caught:
        await client.api_keys.provision("acme", sink=make(tmp_path / "x"), journal_dir=journal)
    assert caught.value.journal is not None
    [item] = unfinished(journal)
    assert item.state is State.UNDELIVERED
    assert await client.api_keys.resume(item, sink=FileSink(tmp_path / "y")) is None
    assert (tmp_path / "y").read_text() == box.inference_key(named(box)[0].hash) + "\n"


async def test_what_cannot_be_cleaned_up_is_told_and_closed(
    box: Sandbox,
    client: AsyncOpenRouter,
    tmp_path: Path,
    journal: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A refusal goes to the caller all the same, and the journal can be taken up by others."""
    box.fail("create", status=403)

    def failing(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "unlink", failing)
    with pytest.raises(ForbiddenResponseError):
        await client.api_keys.provision("acme", sink=FileSink(tmp_path / "x"), journal_dir=journal)
    monkeypatch.undo()
    assert "remains: Input/output error" in caplog.text
    assert [item.state for item in unfinished(journal)] == [State.MAYBE]


@pytest.mark.skipif(os.name != "posix", reason="only POSIX can tell who may write")
async def test_a_journal_of_somebody_else_is_not_acted_on(
    box: Sandbox, client: AsyncOpenRouter, tmp_path: Path, journal: Path
) -> None:
    """One that says to replace a file of mine in a folder for all: the file stays as it is."""
    mine = tmp_path / "mine"
    mine.write_text("precious")

    def broken(_: ProvisionedKey) -> None:
        raise OSError(errno.EIO, "Input/output error")

    class Theirs(FileSink):
        deliver = broken  # type: ignore[assignment]  # it fails

    with pytest.raises(SinkError):
        await client.api_keys.provision(
            "acme", sink=Theirs(mine, replace=True), journal_dir=journal
        )
    [trap] = unfinished(journal)
    journal.chmod(0o1777)
    [item] = await client.api_keys.recover(journal_dir=journal)
    assert (item.state, item.sink) == (State.FOREIGN, None)
    for each in (item, trap):
        with pytest.raises(SinkError, match="nothing in it can be trusted"):
            await client.api_keys.resume(each)
    with pytest.raises(SinkError, match="nothing in it can be trusted"):
        await client.api_keys.finish_rotations(journal_dir=journal)
    assert mine.read_text() == "precious"


async def test_a_slow_function_does_not_hold_up_a_cancellation(
    client: AsyncOpenRouter, journal: Path
) -> None:
    """A function in a thread cannot be stopped; it is waited for, but not for ever."""
    called, over = threading.Event(), threading.Event()

    def slow(_: ProvisionedKey) -> None:
        called.set()
        over.wait(30)

    task = asyncio.create_task(client.api_keys.provision("a", sink=slow, journal_dir=journal))
    while not called.is_set():
        await asyncio.sleep(0.01)
    task.cancel()
    began = asyncio.get_running_loop().time()
    with pytest.raises(asyncio.CancelledError):
        await task
    over.set()
    assert asyncio.get_running_loop().time() - began < 2
    assert [item.state for item in unfinished(journal)] == [State.UNDELIVERED]


def test_blocking(tmp_path: Path) -> None:
    """The blocking client does the same."""
    with Sandbox() as box, OpenRouter(box.management_key, server_url=box.url) as client:
        keys = client.api_keys
        made = keys.provision("acme", sink=FileSink(tmp_path / "x"), journal_dir=tmp_path / "j")
        assert (tmp_path / "x").read_text() == box.inference_key(made.hash or "") + "\n"
        assert keys.recover(journal_dir=tmp_path / "j") == []


async def test_the_default_journal(
    client: AsyncOpenRouter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is where state belongs, at 0700."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    seen: list[str] = []

    def look(_: ProvisionedKey) -> None:
        [path] = (tmp_path / "state/openrouter_async/journal").iterdir()
        seen.append(path.read_text())

    await client.api_keys.provision("acme", sink=look)
    assert stat.S_IMODE((tmp_path / "state/openrouter_async/journal").stat().st_mode) == 0o700
    steps = [json.loads(line.split(" ", 1)[1])["step"] for line in seen[0].split("\n") if line]
    assert steps == ["intent", "asked", "made"]


async def test_a_record_that_cannot_be_read(client_for: ClientFor, tmp_path: Path) -> None:
    """The plaintext is stored all the same; the hash is unknown."""
    from support.server import ScriptedServer
    from support.steps import reply

    answer: Any = {"data": {"odd": 1}, "key": "sk-or-v1-" + "ab" * 32}
    async with ScriptedServer(reply(201, json=answer)) as server:
        keys = client_for(server).api_keys
        made = await keys.provision(
            "acme", sink=FileSink(tmp_path / "x"), journal_dir=tmp_path / "j"
        )
    assert (made.hash, made.data) == (None, None)
    assert (tmp_path / "x").read_text() == answer["key"] + "\n"
