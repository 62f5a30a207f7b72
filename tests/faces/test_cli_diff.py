"""`audit --save` and `diff`: what changed from one audit to the next."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.command import Inside, Result

from openrouter_async import OpenRouter
from openrouter_async.sandbox import Sandbox

Cli = Callable[..., Result]


@pytest.fixture
def cli(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Inside:
    """The command, in this process."""
    return Inside(capfd, monkeypatch)


@pytest.fixture
def box() -> Iterator[Sandbox]:
    """An account of one test's own."""
    with Sandbox(keys=40) as box:
        yield box


@pytest.fixture
def reports(box: Sandbox, cli: Inside, tmp_path: Path) -> tuple[str, str]:
    """Two audits, with one change of each kind between them."""
    env = {"OPENROUTER_BASE_URL": box.url, "OPENROUTER_API_KEY": box.management_key}
    old, new = str(tmp_path / "old.json"), str(tmp_path / "new.json")
    assert cli("audit", "--save", old, env=env).code == 0
    active = [key for key in box.keys if not key.disabled]
    with OpenRouter(box.management_key, server_url=box.url) as client:
        client.api_keys.create("brand new", limit=50)
        client.api_keys.update(active[0].hash, disabled=True)
        client.api_keys.update(active[1].hash, limit=123.5)
        client.api_keys.update(active[2].hash, name="another name")
        client.api_keys.delete(active[3].hash)
    box.spend(active[4].hash, 12.5)
    assert cli("audit", "--format", "ndjson", "--save", new, env=env).code == 0
    return old, new


@pytest.mark.parametrize("width", [40, 80, 160])
def test_the_table_names_every_kind_of_change(
    cli: Inside, reports: tuple[str, str], width: int
) -> None:
    """Each kind has its part, and everything fits the width."""
    result = cli("diff", *reports, env={"COLUMNS": str(width)})
    assert (result.code, result.err) == (0, "")
    for part in ("CREATED 1", "DELETED 1", "DISABLED 1", "CHANGED 2", "SPENT 1", "NEW FINDINGS"):
        assert part in result.out
    assert "$12.50 between the two" in " ".join(result.out.split())
    assert max(map(len, result.out.splitlines())) <= width


def test_json_says_it_exactly(cli: Inside, reports: tuple[str, str], tmp_path: Path) -> None:
    """The same for programs, into a file."""
    output = tmp_path / "changes.json"
    assert cli("diff", *reports, "--format", "json", "--output", str(output)).code == 0
    changes = json.loads(output.read_text())
    assert [key["name"] for key in changes["created"]] == ["brand new"]
    assert [(each["field"], each["new"]) for each in changes["limits"]] == [("limit", 123.5)]
    assert [each["new"] for each in changes["renamed"]] == ["another name"]
    assert (changes["usage"], changes["complete"]) == (12.5, True)


def test_equal_reports_differ_in_nothing(cli: Inside, reports: tuple[str, str]) -> None:
    """A report compared with itself says so in words."""
    result = cli("diff", reports[0], reports[0])
    assert (result.code, result.out.splitlines()[-1]) == (0, "nothing changed")


@pytest.mark.parametrize("content", [None, "", "{", "[]", '{"schema": 99}', '{"data": []}'])
def test_a_file_that_is_no_report_is_named(
    cli: Inside, reports: tuple[str, str], tmp_path: Path, content: str | None
) -> None:
    """One line with its name, exit code 2, and nothing written."""
    path = tmp_path / "odd.json"
    if content is not None:
        path.write_text(content)
    result = cli("diff", str(path), reports[1], "--output", str(tmp_path / "out"))
    assert result.code == 2
    assert str(path) in result.complaint
    assert not (tmp_path / "out").exists()
