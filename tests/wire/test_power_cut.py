"""A power cut loses what was not synced: the order of writes, syncs, renames and requests."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from support.calls import ClientFor
from support.disk import Disk

from openrouter_async import AsyncOpenRouter
from openrouter_async.provisioning import DotenvSink, FileSink, Sink, dismiss, unfinished
from openrouter_async.sandbox import Sandbox


@pytest.fixture
async def box() -> AsyncIterator[Sandbox]:
    """A sandbox of one's own."""
    async with Sandbox() as box:
        yield box


@pytest.fixture
def keys(box: Sandbox, client_for: ClientFor) -> Any:
    """The keys of a client of it."""
    client: AsyncOpenRouter = client_for(box.url, api_key=box.management_key)
    return client.api_keys


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, box: Sandbox) -> Disk:
    """What is done with files; creates must find all that was done before on the disk."""

    def creates() -> int:
        return sum(request.operation == "create" for request in box.requests)

    return Disk(tmp_path, monkeypatch, creates)


def steps(disk: Disk) -> list[str]:
    """The steps that the journals remember, and the requests between them."""
    found: list[str] = []
    for what, _, data in disk.events:
        if what == "POST":
            found.append(what)
        if what == "write" and b'{"step": ' in data:
            found.append(json.loads(data.strip().splitlines()[-1][9:])["step"])
    return found


@pytest.mark.parametrize("make", [FileSink, lambda path: DotenvSink(path, "KEY")])
async def test_provision(keys: Any, disk: Disk, tmp_path: Path, make: Any) -> None:
    """A journal in a folder that has to be made first, and both kinds of file."""
    sink: Sink = make(tmp_path / "sink")
    await keys.provision("acme", sink=sink, journal_dir=tmp_path / "new" / "journal")
    assert steps(disk) == ["intent", "asked", "POST", "made", "delivered"]
    assert ("rename", "sink") in [(what, to.decode()) for what, _, to in disk.events]
    assert disk.events[-2][0] == "remove"
    assert disk.lost_by_a_power_cut() == []


@pytest.mark.parametrize("make", [FileSink, lambda path: DotenvSink(path, "KEY")])
async def test_provision_syncs_only_what_counts(
    keys: Any, disk: Disk, tmp_path: Path, make: Any
) -> None:
    """Five times before the request: intent, its name, reserved space, its name, "asked"."""
    (tmp_path / "journal").mkdir(mode=0o700)
    disk.events.clear()
    await keys.provision("acme", sink=make(tmp_path / "sink"), journal_dir=tmp_path / "journal")
    kinds = [what for what, _, _ in disk.events]
    sent, renamed = kinds.index("POST"), kinds.index("rename")
    assert kinds[:sent].count("sync") == 5
    assert kinds[sent:renamed].count("sync") == 2  # the plaintext, in the journal and in the file
    assert [where for what, where, _ in disk.events[renamed:] if what == "sync"] == [".", "journal"]
    assert disk.lost_by_a_power_cut() == []


async def test_rotation(keys: Any, disk: Disk, tmp_path: Path) -> None:
    """The journal that is rewritten without the plaintext, and its end."""
    old = (await keys.create("acme")).data
    disk.events.clear()
    await keys.rotate(old.hash, sink=FileSink(tmp_path / "sink"), journal_dir=tmp_path / "journal")
    assert steps(disk)[1:7] == ["intent", "asked", "POST", "made", "delivered", "verified"]
    assert steps(disk)[-1] == "disabled"
    assert disk.lost_by_a_power_cut() == []
    [item] = unfinished(tmp_path / "journal")
    dismiss(item)
    assert disk.lost_by_a_power_cut() == []


async def test_outcomes(keys: Any, disk: Disk, tmp_path: Path) -> None:
    """The account and each create are announced on the disk; an outcome may be lost."""
    (tmp_path / "runs").mkdir()
    await keys.create_many(
        [{"name": "a"}, {"name": "b"}],
        sink=lambda item: FileSink(tmp_path / item["name"]),
        concurrency=1,
        outcomes_file=tmp_path / "runs" / "outcomes",
        journal_dir=tmp_path / "journal",
    )
    assert steps(disk).count("POST") == 2
    said = [
        data for what, where, data in disk.events if (what, where) == ("write", "runs/outcomes")
    ]
    kinds = ["begun" if b"begun" in line else "ok" for line in said if b"account" not in line]
    assert kinds == ["begun", "ok", "begun", "ok"]
    assert disk.lost_by_a_power_cut() == ["the end  b'': runs/outcomes"]
