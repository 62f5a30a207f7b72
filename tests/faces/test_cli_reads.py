"""`list`, `get` and `whoami`: the same keys in every format, and nothing left out silently."""

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.command import Inside, Result

from openrouter_async import to_dict
from openrouter_async.sandbox import EXAMPLE_HASH, Sandbox


@pytest.fixture(scope="module")
def box() -> Iterator[Sandbox]:
    """A sandbox that nothing changes."""
    with Sandbox(keys=250) as box:
        yield box


class Keys:
    """The command with the sandbox's management key."""

    def __init__(self, cli: Inside, box: Sandbox) -> None:
        self._cli = cli
        self._env = {"OPENROUTER_BASE_URL": box.url, "OPENROUTER_API_KEY": box.management_key}

    def __call__(self, *arguments: str, **env: str) -> Result:
        """Run it."""
        return self._cli(*arguments, env={**self._env, **env})


@pytest.fixture
def keys(box: Sandbox, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Keys:
    """The command, in this process."""
    return Keys(Inside(capfd, monkeypatch), box)


def default_keys(box: Sandbox) -> list[str]:
    """Return the hashes of all keys of the default workspace, newest first."""
    home = box.workspaces[0].id
    return [key.hash for key in box.keys if key.workspace_id == home]


ALL = ("list", "--all", "--include-disabled", "--include-expired")


def test_json_has_the_records_of_the_service(box: Sandbox, keys: Keys) -> None:
    """Keys and values are those of the API, for every key of the workspace."""
    result = keys(*ALL, "--format", "json")
    by_hash = {key.hash: to_dict(key) for key in box.keys}
    assert (result.code, result.err) == (0, "")
    assert json.loads(result.out) == {"data": [by_hash[hash] for hash in default_keys(box)]}


def test_ndjson_has_one_record_a_line(box: Sandbox, keys: Keys) -> None:
    """It is what a pipe reads as it comes."""
    result = keys(*ALL, "--format", "ndjson")
    assert [json.loads(line)["hash"] for line in result.out.splitlines()] == default_keys(box)


def test_csv_has_every_column(box: Sandbox, keys: Keys) -> None:
    """Numbers are numbers, instants ISO 8601, and the fields have the service's names."""
    rows = list(csv.DictReader(io.StringIO(keys(*ALL, "--format", "csv").out)))
    records = {key.hash: to_dict(key) for key in box.keys}
    assert [row["hash"] for row in rows] == default_keys(box)
    for row in rows:
        record = records[row["hash"]]
        assert record.keys() <= row.keys() | {"external_user"}
        assert float(row["usage"]) == record["usage"]
        assert row["limit"] == "" if record["limit"] is None else float(row["limit"]) >= 0
        assert row["disabled"] == str(record["disabled"]).lower()
        assert row["name"].removeprefix("'") == record["name"]


def test_one_page_says_that_there_may_be_more(keys: Keys) -> None:
    """A report that silently stops at 100 keys is what people complain about."""
    first = keys("list", "--format", "ndjson")
    assert first.out.count("\n") == 100
    assert "--all" in first.err
    assert "--offset 100" in first.err
    second = keys("list", "--format", "ndjson", "--offset", "100")
    assert second.err == ""
    assert not set(first.out.splitlines()) & set(second.out.splitlines())


def test_a_table_fits_80_columns_and_uses_wide_ones(keys: Keys) -> None:
    """The wider, the more columns; nothing is wrapped."""
    narrow, wide = (keys(*ALL, COLUMNS=str(width)).out.splitlines() for width in (80, 160))
    assert max(map(len, narrow)) <= 80
    assert 120 < max(map(len, wide)) <= 160
    assert len(narrow) == len(wide)
    for heading in ("name", "state", "limit", "used", "hash"):
        assert heading in narrow[0]
    assert "workspace" not in narrow[0]
    assert "created" in wide[0]
    assert narrow[-1].endswith(" keys")


def test_columns_and_order_can_be_chosen(box: Sandbox, keys: Keys) -> None:
    """A hash that was asked for is shown whole, since other commands take it."""
    table = keys(*ALL, "--columns", "usage, hash", "--sort", "usage")
    assert (table.code, table.err) == (0, "")
    assert all(hash in table.out for hash in default_keys(box))
    sheet = keys(*ALL, "--columns", "usage,hash", "--sort", "usage", "--format", "csv").out
    head, *rows = csv.reader(io.StringIO(sheet))
    assert head == ["usage", "hash"]
    amounts = [float(row[0]) for row in rows]
    assert amounts == sorted(amounts, reverse=True)


def test_names_and_ages_can_be_chosen(box: Sandbox, keys: Keys) -> None:
    """Wildcards, in any case; and the newest only, as after an ambiguous create."""
    named = keys(*ALL, "--name", "MY prod*", "--format", "ndjson")
    assert [json.loads(line)["hash"] for line in named.out.splitlines()] == [EXAMPLE_HASH]
    newest = box.keys[0]
    since = newest.created_at.isoformat()
    recent = keys("list", "-w", str(newest.workspace_id), "--created-after", since, "-f", "json")
    assert [record["hash"] for record in json.loads(recent.out)["data"]] == [newest.hash]


@pytest.mark.parametrize("name", ["production", "PRODUCTION", "id"])
def test_a_workspace_by_name_slug_or_id(box: Sandbox, keys: Keys, name: str) -> None:
    """People know names, the service takes ids."""
    workspace = next(each for each in box.workspaces if each.slug == "production")
    wanted = workspace.id if name == "id" else name
    result = keys(*ALL, "--workspace", wanted, "--format", "json")
    found = {record["workspace_id"] for record in json.loads(result.out)["data"]}
    assert found == {workspace.id}


def test_an_unknown_workspace_is_named(keys: Keys) -> None:
    """And those that there are, too."""
    result = keys("list", "--workspace", "nonsense")
    assert result.code == 2
    assert "nonsense" in result.complaint
    assert "production" in result.complaint


def test_a_table_of_no_keys(keys: Keys) -> None:
    """It says so, in every format, with exit code 0."""
    assert keys("list", "--name", "nobody").out == "0 keys\n"
    assert json.loads(keys("list", "--name", "nobody", "-f", "json").out) == {"data": []}
    assert keys("list", "--name", "nobody", "-f", "ndjson").out == ""
    assert keys("list", "--name", "nobody", "-f", "csv").out.startswith("name,")


def test_get_shows_one_key(box: Sandbox, keys: Keys) -> None:
    """For people and for programs, with what is spent in the window rather than ever."""
    record = next(key for key in box.keys if key.hash == EXAMPLE_HASH)
    shown = keys("get", EXAMPLE_HASH)
    assert (shown.code, shown.err) == (0, "")
    assert EXAMPLE_HASH in shown.out
    assert "$25.50 spent (25%), $74.50 left" in shown.out
    assert json.loads(keys("get", EXAMPLE_HASH, "-f", "json").out) == {"data": to_dict(record)}


def test_get_of_no_key_is_the_service_s_refusal(keys: Keys) -> None:
    """Exit code 3, and the status in the line."""
    result = keys("get", "0" * 64)
    assert result.code == 3
    assert "404" in result.complaint


def test_whoami_works_with_any_key(box: Sandbox, keys: Keys) -> None:
    """An inference key may ask about itself, and nothing else."""
    key = box.inference_key(EXAMPLE_HASH)
    mine = keys("whoami", OPENROUTER_API_KEY=key)
    assert "inference key" in mine.out
    assert "key limit: $25.50 of $100.00" in mine.out
    refused = keys("list", OPENROUTER_API_KEY=key)
    assert refused.code == 3
    assert "management key" in refused.complaint
    assert json.loads(keys("whoami", "-f", "json").out)["data"]["is_management_key"] is True


@pytest.mark.parametrize("word", ["production", "Production", "id"])
def test_one_workspace_is_shown(box: Sandbox, keys: Keys, word: str) -> None:
    """It is found by slug, name or id."""
    workspace = next(each for each in box.workspaces if each.slug == "production")
    word = workspace.id if word == "id" else word
    shown = keys("workspaces", word)
    assert (shown.code, shown.err) == (0, "")
    assert workspace.id in shown.out
    document = json.loads(keys("workspaces", word, "--format", "json").out)
    assert document == {"data": to_dict(workspace)}
    assert box.requests[-1].path == "/workspaces/{id}"


def test_a_workspace_that_does_not_exist(keys: Keys) -> None:
    """An unknown name is refused with those that there are, an unknown id by the service."""
    assert "known workspaces: default, production" in keys("workspaces", "nowhere").err
    assert keys("workspaces", "00000000-0000-4000-8000-000000000000").code == 3


def test_workspaces_are_listed_for_people_and_programs(box: Sandbox, keys: Keys) -> None:
    """Their ids are never cut, and nothing that the service says of them is lost."""
    shown = keys("workspaces", COLUMNS="60")
    assert shown.code == 0
    for workspace in box.workspaces:
        assert workspace.id in shown.out
    assert max(map(len, shown.out.splitlines())) <= 60
    assert f"{len(box.workspaces)} workspaces" in shown.out
    document = json.loads(keys("workspaces", "--format", "json").out)
    assert document == {"data": [to_dict(workspace) for workspace in box.workspaces]}


def test_an_unknown_key_is_said_to_be_unknown(keys: Keys) -> None:
    """Exit code 3: the service refused."""
    result = keys("list", OPENROUTER_API_KEY="sk-or-v1-nobody")
    assert result.code == 3
    assert "401" in result.complaint


def test_output_replaces_the_file_whole(keys: Keys, tmp_path: Path) -> None:
    """The old file keeps its permissions, nothing lies beside it, nothing goes to stdout."""
    path = tmp_path / "keys.csv"
    path.write_text("old")
    path.chmod(0o640)
    result = keys(*ALL, "--format", "csv", "--output", str(path))
    assert (result.code, result.out, result.err) == (0, "", "")
    assert path.read_text().startswith("name,")
    assert path.stat().st_mode & 0o777 == 0o640
    assert list(tmp_path.iterdir()) == [path]


def test_output_keeps_the_file_when_something_fails(keys: Keys, tmp_path: Path) -> None:
    """Not at all, that is: the old content is there, and no temporary file."""
    path = tmp_path / "keys.csv"
    path.write_text("old")
    result = keys("list", "-o", str(path), OPENROUTER_API_KEY="sk-or-v1-nobody")
    assert result.code == 3
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_output_through_a_link_replaces_what_it_names(keys: Keys, tmp_path: Path) -> None:
    """The link stays a link."""
    path, link = tmp_path / "real.csv", tmp_path / "link.csv"
    path.write_text("old")
    link.symlink_to(path)
    assert keys("list", "-f", "csv", "-o", str(link)).code == 0
    assert link.is_symlink()
    assert path.read_text().startswith("name,")


def test_output_to_a_place_that_cannot_be_written_asks_nothing(box: Sandbox, keys: Keys) -> None:
    """It fails before any request."""
    before = len(box.requests)
    assert keys("list", "--output", "/nonexistent/keys.csv").code == 2
    assert len(box.requests) == before


def test_a_walk_that_could_not_be_verified_is_not_complete(
    box: Sandbox, keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit code 4 and a warning, though the keys are listed."""
    monkeypatch.setattr("openrouter_async.paging.KeyWalk.complete", False)
    result = keys(*ALL, "-f", "ndjson")
    assert result.code == 4
    assert result.err.startswith("warning: ")
    assert result.out.count("\n") == len(default_keys(box))


def test_the_embedded_sandbox_needs_no_key(keys: Keys) -> None:
    """It is used even where a real key is set, and that one is never sent."""
    few = keys("list", "--sandbox", "--sandbox-keys", "0", OPENROUTER_BASE_URL="http://127.0.0.1:1")
    assert few.code == 0
    assert few.out.splitlines()[-1] == "1 key"
