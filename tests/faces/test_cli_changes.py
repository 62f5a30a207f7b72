"""`create`, `update` and `delete`: once, asked for, and no plaintext lost."""

import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.command import Inside, Result
from support.server import ThreadedServer
from support.steps import reply

from openrouter_async import APIKey
from openrouter_async.sandbox import EXAMPLE_HASH, Sandbox


@pytest.fixture
def box() -> Iterator[Sandbox]:
    """A sandbox for one test."""
    with Sandbox(keys=3) as box:
        yield box


class Keys:
    """The command with the sandbox's management key."""

    def __init__(self, cli: Inside, box: Sandbox) -> None:
        self._cli = cli
        self._env = {"OPENROUTER_BASE_URL": box.url, "OPENROUTER_API_KEY": box.management_key}

    def __call__(self, *arguments: str, **env: str) -> Result:
        """Run it."""
        return self._cli(*arguments, env={**self._env, **env})


@pytest.fixture(autouse=True)
def journals(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No journal goes elsewhere."""
    state = tmp_path_factory.mktemp("state")
    monkeypatch.setenv("XDG_STATE_HOME", str(state))
    return state / "openrouter_async/journal"


@pytest.fixture
def keys(box: Sandbox, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Keys:
    """The command, in this process."""
    return Keys(Inside(capfd, monkeypatch), box)


def named(box: Sandbox, name: str) -> APIKey:
    """Find the one key of this name."""
    [key] = [key for key in box.keys if key.name == name]
    return key


def creates(box: Sandbox) -> int:
    """Count what was asked of the service."""
    return sum(request.operation == "create" for request in box.requests)


def example(box: Sandbox) -> APIKey:
    """Return the key of the official examples as it is now."""
    return next(key for key in box.keys if key.hash == EXAMPLE_HASH)


# create


def test_create_prints_the_key_alone(box: Sandbox, keys: Keys) -> None:
    """So `KEY=$(openrouter-keys create acme)` works; the record goes to standard error."""
    result = keys("create", "acme")
    key = named(box, "acme")
    assert result.code == 0
    assert result.out == box.inference_key(key.hash) + "\n"
    assert key.hash in result.err
    assert result.out.strip() not in result.err


def test_create_takes_every_parameter(box: Sandbox, keys: Keys) -> None:
    """As the service then has them."""
    result = keys(
        "create", "acme", "--limit", "12.5", "--limit-reset", "weekly",
        "--expires-at", "2031-01-01T01:00:00+01:00", "--include-byok-in-limit",
        "--workspace", "staging", "--creator-user-id", "user_me",
    )  # fmt: skip
    assert result.code == 0
    key = named(box, "acme")
    staging = next(each.id for each in box.workspaces if each.slug == "staging")
    assert (key.limit, key.limit_reset, key.include_byok_in_limit) == (12.5, "weekly", True)
    assert (key.workspace_id, key.creator_user_id) == (staging, "user_me")
    assert key.expires_at is not None
    assert key.expires_at.isoformat() == "2031-01-01T00:00:00+00:00"


def test_create_for_a_partner_s_user(box: Sandbox, keys: Keys, tmp_path: Path) -> None:
    """Their own key is a secret too, so it comes from a file."""
    path = tmp_path / "theirs"
    path.write_text("k" * 40 + "\n")
    path.chmod(0o600)
    result = keys("create", "acme", "--external-user", "u1", "--external-key-file", str(path))
    assert result.code == 0
    assert named(box, "acme").external_user == "u1"


def test_create_as_json(box: Sandbox, keys: Keys) -> None:
    """Record and key in one document, as the service gives them."""
    document = json.loads(keys("create", "acme", "--format", "json").out)
    assert document["key"] == box.inference_key(document["data"]["hash"])
    assert document["data"]["name"] == "acme"


def test_create_into_a_file(box: Sandbox, keys: Keys, tmp_path: Path) -> None:
    """The file is its owner's only; standard output gets the hash, and nobody the key."""
    path = tmp_path / "acme.key"
    result = keys("create", "acme", "--sink", f"file:{path}")
    key = named(box, "acme")
    assert (result.code, result.out) == (0, key.hash + "\n")
    assert path.read_text() == box.inference_key(key.hash) + "\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert str(path) in result.err
    document = json.loads(keys("create", "b", "--sink", f"file:{path}2", "-f", "json").out)
    assert document["key_stored_in"] == f"file:{path}2"
    assert "key" not in document


@pytest.mark.parametrize("place", ["there", "link", "absent/x", "open/x", "/dev/full"])
def test_a_sink_that_cannot_be_opened_makes_no_key(
    box: Sandbox, keys: Keys, tmp_path: Path, place: str
) -> None:
    """An existing file, a link, no directory, one where anybody may replace files, a device."""
    (tmp_path / "there").write_text("precious")
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    result = keys("create", "acme", "--sink", f"file:{tmp_path / place}")
    assert result.code == 2
    assert place in result.complaint
    assert creates(box) == 0
    assert (tmp_path / "there").read_text() == "precious"
    assert not (tmp_path / "elsewhere").exists()


def test_a_full_disk_makes_no_key(
    box: Sandbox, keys: Keys, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Room is reserved before the request, and the empty file is gone."""

    def full(descriptor: int, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        result = keys("create", "acme", "--sink", f"file:{tmp_path / 'acme.key'}")
    assert result.code == 2
    assert "No space left" in result.complaint
    assert creates(box) == 0
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_fails_afterwards_loses_no_key(
    box: Sandbox, keys: Keys, tmp_path: Path, journals: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The plaintext is in the journal, at 0600; `recover --resume` puts it into its file."""
    write = os.write

    def broken(descriptor: int, data: bytes) -> int:
        if data.startswith(b"sk-"):
            raise OSError(5, "Input/output error")
        return write(descriptor, data)

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", broken)
        result = keys("create", "acme", "--sink", f"file:{tmp_path / 'x.key'}")
    key = named(box, "acme")
    [saved] = journals.iterdir()
    assert result.code == 3
    assert str(saved) in result.err
    assert "openrouter-keys recover" in result.err
    assert box.inference_key(key.hash) in saved.read_text()
    assert stat.S_IMODE(saved.stat().st_mode) == 0o600
    assert keys("recover", "--resume").code == 0
    assert (tmp_path / "x.key").read_text() == box.inference_key(key.hash) + "\n"
    assert list(journals.iterdir()) == []


def test_a_refused_create_leaves_no_file(box: Sandbox, keys: Keys, tmp_path: Path) -> None:
    """There is no key, so there is nothing to keep."""
    box.fail("create", status=403)
    result = keys("create", "acme", "--sink", f"file:{tmp_path / 'acme.key'}")
    assert result.code == 3
    assert list(tmp_path.iterdir()) == []


def test_an_ambiguous_create_says_what_is_known(box: Sandbox, keys: Keys) -> None:
    """Exit code 5, one request, the name, and a command that finds the key."""
    box.fail("create", status=500, after_effect=True)
    result = keys("create", "acme prod")
    assert (result.code, result.out) == (5, "")
    assert creates(box) == 1
    assert result.err.startswith("error: create: 500 ")
    assert "'acme prod' may now exist" in result.err
    [command] = [
        line.split("openrouter-keys ")[1] for line in result.err.splitlines() if " list " in line
    ]
    found = keys(*command.split(), "--format", "json")
    names = [record["name"] for record in json.loads(found.out)["data"]]
    assert names == ["acme prod"]


def test_a_create_whose_record_is_unreadable_still_gives_the_key(keys: Keys) -> None:
    """Exit code 4: the key is there, and what the record says is not."""
    odd = reply(201, json={"data": {"hash": 7}, "key": "sk-or-v1-whole"})
    with ThreadedServer(odd) as server:
        result = keys("create", "acme", OPENROUTER_BASE_URL=server.api_url)
    assert (result.code, result.out) == (4, "sk-or-v1-whole\n")
    assert "data.hash" in result.err


# update


@pytest.mark.parametrize(
    ("options", "changed"),
    [
        ("--limit 7", {"limit": 7}),
        ("--limit 0", {"limit": 0}),
        ("--no-limit", {"limit": None}),
        ("--limit-reset daily", {"limit_reset": "daily"}),
        ("--limit-reset none", {"limit_reset": None}),
        ("--disable", {"disabled": True}),
        ("--name new", {"name": "new"}),
        ("--include-byok-in-limit", {"include_byok_in_limit": True}),
    ],
)
def test_update_changes_what_was_given_only(
    box: Sandbox, keys: Keys, options: str, changed: dict[str, object]
) -> None:
    """A renamed key keeps its limit: what is not given is not sent, and `none` is sent as null."""
    fields = ("name", "limit", "limit_reset", "disabled", "include_byok_in_limit", "workspace_id")
    before = {name: getattr(example(box), name) for name in fields}
    result = keys("update", EXAMPLE_HASH, *options.split())
    assert result.code == 0
    assert {name: getattr(example(box), name) for name in fields} == before | changed


def test_update_enables_and_moves(box: Sandbox, keys: Keys) -> None:
    """The other halves of the flags, and the workspace by name."""
    assert keys("update", EXAMPLE_HASH, "--disable", "--include-byok-in-limit").code == 0
    options = ("--enable", "--no-include-byok-in-limit", "-w", "research", "--format", "json")
    record = json.loads(keys("update", EXAMPLE_HASH, *options).out)["data"]
    assert record["disabled"] is False
    assert record["include_byok_in_limit"] is False
    assert record["workspace_id"] == box.workspaces[-1].id


# delete


def test_delete_without_a_terminal_refuses(box: Sandbox, keys: Keys) -> None:
    """Nobody could answer; nothing is sent."""
    result = keys("delete", EXAMPLE_HASH)
    assert result.code == 2
    assert "--yes" in result.complaint
    assert box.requests == []


def test_delete_with_yes(box: Sandbox, keys: Keys) -> None:
    """Each key once, also when it was named twice."""
    hashes = [key.hash for key in box.keys]
    result = keys("delete", "--yes", *hashes, hashes[0])
    assert (result.code, result.out) == (0, "")
    assert box.keys == []
    assert len(box.requests) == len(hashes)
    assert all(hash in result.err for hash in hashes)


def test_delete_goes_on_after_a_failure(box: Sandbox, keys: Keys) -> None:
    """Exit code 4: a part was done, and each line says which."""
    result = keys("delete", "--yes", "0" * 64, EXAMPLE_HASH)
    assert result.code == 4
    assert f"error: {'0' * 64}: delete: 404" in result.err
    assert f"deleted {EXAMPLE_HASH}" in result.err
    assert keys("delete", "--yes", EXAMPLE_HASH).code == 3


def test_delete_checks_all_hashes_before_it_begins(box: Sandbox, keys: Keys) -> None:
    """One that cannot be a hash stops everything."""
    assert keys("delete", "--yes", EXAMPLE_HASH, "../x").code == 2
    assert box.requests == []
