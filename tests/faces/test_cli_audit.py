"""`audit`: what it prints, in which format, how it ends, and what is left when it is stopped."""

import csv
import io
import json
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from support.command import Inside, Result, Terminal, run

from openrouter_async.sandbox import EXAMPLE_HASH, Sandbox

Cli = Callable[..., Result]


@pytest.fixture
def cli(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Inside:
    """The command, in this process."""
    return Inside(capfd, monkeypatch)


@pytest.fixture
def box() -> Iterator[Sandbox]:
    """A sandbox for one test."""
    with Sandbox(keys=250) as box:
        yield box


@pytest.fixture
def audit(cli: Inside, box: Sandbox) -> Cli:
    """The audit of that sandbox."""
    env = {"OPENROUTER_BASE_URL": box.url, "OPENROUTER_API_KEY": box.management_key}

    def run_it(*arguments: str, **more: str) -> Result:
        return cli("audit", *arguments, env={**env, **more})

    return run_it


def test_it_runs_without_anything() -> None:
    """The first command that people try, in a process of its own: every key is counted."""
    result = run("audit", "--sandbox")
    assert (result.code, result.err) == (0, "")
    assert result.out.startswith("251 keys in 5 workspaces: complete\n")
    assert max(map(len, result.out.splitlines())) <= 80


@pytest.mark.parametrize("width", [40, 80, 100, 160, 240])
@pytest.mark.parametrize("keys", [0, 3, 250])
def test_the_table_fits(cli: Inside, width: int, keys: int) -> None:
    """On every terminal, with whatever many keys; each part is there."""
    settings = ("--sandbox", "--sandbox-keys", str(keys))
    result = cli("audit", *settings, env={"COLUMNS": str(width)})
    assert (result.code, result.err) == (0, "")
    assert max(map(len, result.out.splitlines())) <= width
    for part in (
        "keys",
        "limits",
        "usage",
        "workspace",
        "name",
        "WARNING",
        "INFO",
        "My Production",
    ):
        assert part in result.out
    assert ("CRITICAL" in result.out) is (keys == 250)


def test_it_shows_the_gravest_first_and_says_what_it_leaves_out(audit: Cli) -> None:
    """Twenty keys and five findings of a rule by default, and everything with `--all`."""
    short, long = audit(), audit("--all")
    assert "and 231 more keys" in short.out
    assert "more findings" in short.out
    assert "more keys" not in long.out
    assert "more findings" not in long.out
    assert long.out.count("\n") > 251 + 371
    assert audit("--top", "0", "--group-by", "none").out.count("worst") == 0
    titles = [short.out.index(title) for title in ("CRITICAL", "WARNING", "INFO")]
    assert titles == sorted(titles)


@pytest.mark.parametrize("group", ["creator", "name", "external-user"])
def test_sums_by_something_else(audit: Cli, group: str) -> None:
    """The group's heading is in the table, and each key is counted once."""
    result = audit("--group-by", group, "--all")
    _, table = result.out.split("\n\n")[:2]
    heading, _, *rows = table.splitlines()
    assert heading.startswith(group.replace("-", " "))
    assert len(rows) > 1
    assert sum(int(re.split(r"\s{2,}", row)[1]) for row in rows) == 251


def test_json_is_the_report(box: Sandbox, audit: Cli) -> None:
    """With the version of its schema, every key, and findings of all severities."""
    document = json.loads(audit("--format", "json").out)
    assert document["schema"] == 1
    assert document["complete"] is True
    assert {key["hash"] for key in document["keys"]} == {key.hash for key in box.keys}
    assert {finding["severity"] for finding in document["findings"]} == {
        "info",
        "warning",
        "critical",
    }


def test_csv_has_every_key_with_its_findings(box: Sandbox, audit: Cli) -> None:
    """One line a key; the rules that it breaks stand in one cell."""
    rows = list(csv.DictReader(io.StringIO(audit("--format", "csv").out)))
    assert {row["hash"] for row in rows} == {key.hash for key in box.keys}
    overspent = {row["hash"] for row in rows if "overspent" in row["findings"].split()}
    assert overspent == {key.hash for key in box.keys if (key.limit_remaining or 0) < 0}
    assert {row["severity"] for row in rows if row["hash"] in overspent} == {"critical"}
    assert {row["workspace"] for row in rows} == {each.name for each in box.workspaces}


def test_csv_cannot_run_in_a_spreadsheet(box: Sandbox, audit: Cli) -> None:
    """A name that is a formula is text there."""
    with box._service.lock:
        box._service.account.get(EXAMPLE_HASH).name = '=HYPERLINK("http://evil")'
    rows = list(csv.DictReader(io.StringIO(audit("--format", "csv").out)))
    [row] = [row for row in rows if row["hash"] == EXAMPLE_HASH]
    assert row["name"] == """'=HYPERLINK("http://evil")"""


def test_sorted_ndjson_has_every_key(box: Sandbox, audit: Cli) -> None:
    """Written at the end, in their order and with their findings."""
    result = audit("--format", "ndjson", "--sort", "usage")
    *keys, end = map(json.loads, result.out.splitlines())
    assert {key["hash"] for key in keys} == {key.hash for key in box.keys}
    spent = [key["usage"] for key in keys]
    assert spent == sorted(spent, reverse=True)
    assert {key["type"] for key in keys} == {"key"}
    assert sum(len(key["findings"]) for key in keys) == sum(end["counts"].values())


def test_json_has_a_record_a_line(audit: Cli, tmp_path: Path) -> None:
    """In the report, however it is written, and in a list."""
    saved = tmp_path / "saved.json"
    for text in (audit("-f", "json", "--save", str(saved)).out, saved.read_text("utf-8")):
        document = json.loads(text)
        lines = {line.strip().removesuffix(",") for line in text.splitlines()}
        for record in (*document["keys"], *document["findings"]):
            assert json.dumps(record, ensure_ascii=False) in lines


def test_ndjson_comes_key_by_key_and_ends_with_the_sums(box: Sandbox, audit: Cli) -> None:
    """The last line has the totals, so a reader knows that it has everything."""
    *keys, end = map(json.loads, audit("--format", "ndjson").out.splitlines())
    assert {line["type"] for line in keys} == {"key"}
    assert {line["hash"] for line in keys} == {key.hash for key in box.keys}
    assert any(finding["rule"] == "overspent" for line in keys for finding in line["findings"])
    assert (end["type"], end["complete"], end["totals"]["keys"]) == ("audit", True, 251)


def test_sorted_by_a_column(audit: Cli) -> None:
    """The severity sorts by how grave it is, the gravest first."""
    amounts = [
        float(row["usage"])
        for row in csv.DictReader(io.StringIO(audit("-f", "csv", "--sort", "usage").out))
    ]
    assert amounts == sorted(amounts, reverse=True)
    sheet = audit("-f", "csv", "--sort", "severity", "--columns", "severity").out.splitlines()
    assert list(dict.fromkeys(sheet[1:])) == ["critical", "warning", "info"]


def test_workspaces_are_chosen_by_name(box: Sandbox, audit: Cli) -> None:
    """Several are possible; an unknown one is named, with exit code 2."""
    document = json.loads(audit("-w", "production", "-w", "Staging", "-f", "json").out)
    assert {space["name"] for space in document["workspaces"]} == {"Production", "Staging"}
    unknown = audit("-w", "nonsense")
    assert unknown.code == 2
    assert "nonsense" in unknown.complaint


@pytest.mark.parametrize(
    ("keys", "fail_on", "code"),
    [
        (250, "critical", 1),
        (250, "warning", 1),
        (0, "critical", 0),
        (0, "warning", 1),
        (0, "info", 1),
    ],
)
def test_findings_fail_a_ci_job_if_asked_to(
    cli: Inside, keys: int, fail_on: str, code: int
) -> None:
    """Exit code 1 from that severity on, with the same report."""
    result = cli("audit", "--sandbox", "--sandbox-keys", str(keys), "--fail-on", fail_on)
    assert result.code == code
    assert result.err == ""
    assert "keys" in result.out


def test_a_policy_and_a_registry_from_files(box: Sandbox, audit: Cli, tmp_path: Path) -> None:
    """Rules are switched and their severities changed; hashes are compared both ways."""
    policy, registry = tmp_path / "policy.toml", tmp_path / "hashes"
    policy.write_text(
        '[rules.no-expiry]\nenabled = false\n[rules.disabled]\nseverity = "critical"\n'
    )
    registry.write_text("\n".join(["0" * 64, *(key.hash for key in box.keys[1:])]))
    options = ("--policy", str(policy), "--registry", str(registry))
    document = json.loads(audit(*options, "-f", "json").out)
    assert "no-expiry" not in document["counts"]
    assert document["counts"]["registry-missing"] == 1
    assert document["counts"]["registry-unknown"] == 1
    disabled = [each for each in document["findings"] if each["rule"] == "disabled"]
    assert {finding["severity"] for finding in disabled} == {"critical"}
    *_, missing, end = map(json.loads, audit(*options, "-f", "ndjson").out.splitlines())
    assert (missing["type"], missing["rule"], missing["hash"]) == (
        "finding",
        "registry-missing",
        "0" * 64,
    )
    assert "registry-missing" in end["counts"]
    assert "not about a key" in audit(*options, "-f", "csv").err


@pytest.mark.parametrize(
    ("option", "content"),
    [
        ("--policy", "[rules.nonsense]"),
        ("--policy", "[rules.idle]\ndays = -1"),
        ("--policy", "not toml"),
        ("--policy", None),
        ("--registry", "sk-or-v1-0123456789abcdef"),
        ("--registry", None),
    ],
)
def test_a_bad_file_is_named_before_any_request(
    box: Sandbox, audit: Cli, tmp_path: Path, option: str, content: str | None
) -> None:
    """One line, exit code 2, and the file's content is not repeated where it might be a key."""
    path = tmp_path / "file"
    if content is not None:
        path.write_text(content)
    result = audit(option, str(path))
    assert result.code == 2
    assert str(path) in result.complaint
    assert "0123456789" not in result.complaint
    assert box.requests == []


def test_a_workspace_that_fails_leaves_the_others(box: Sandbox, audit: Cli) -> None:
    """Exit code 4, a warning, and a report that says which."""
    box.fail("list", status=501, times=2)  # the default one is asked for again, by its id
    result = audit("--concurrency", "1")
    assert result.code == 4
    assert (
        result.err
        == "warning: the report is incomplete: 1 workspace could not be read to the end\n"
    )
    assert "INCOMPLETE" in result.out.splitlines()[0]
    assert "workspace-failed" in result.out
    assert "in 5 workspaces" in result.out


def test_an_account_that_hides_its_workspaces_is_audited_nevertheless(
    box: Sandbox, audit: Cli
) -> None:
    """Its default workspace is; exit code 0, since there may be no others."""
    box.fail("list_workspaces", status=403, times=1)
    result = audit()
    assert result.code == 0
    assert result.err.startswith("warning: the report is incomplete")
    assert "workspaces-hidden" in result.out
    assert "INCOMPLETE" in result.out.splitlines()[0]


def test_a_service_that_fails_gives_no_report(audit: Cli, tmp_path: Path, box: Sandbox) -> None:
    """Exit code 3, one line, and the old file as it was."""
    box.fail("*", status=501, times=20)
    path = tmp_path / "report.json"
    path.write_text("old")
    result = audit("--format", "json", "--output", str(path))
    assert result.code == 3
    assert "501" in result.complaint
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


posix = pytest.mark.skipif(sys.platform == "win32", reason="pseudo-terminals are POSIX")


def stopped(*arguments: str, pipe_stdout: bool = False) -> tuple[Terminal, str]:
    """Stop an audit at a terminal while one workspace answers and the others do not."""
    with Sandbox(keys=250) as box, ExitStack() as stack:
        env = {"OPENROUTER_BASE_URL": box.url, "OPENROUTER_API_KEY": box.management_key}
        box.fail("list", delay=0)
        box.fail("list", delay=60, times=20)
        terminal = stack.enter_context(
            Terminal("audit", *arguments, env=env, width=100, pipe_stdout=pipe_stdout)
        )
        terminal.expect("keys, 1 page")
        terminal.interrupt()
        out = terminal.process.stdout.read().decode() if terminal.process.stdout else ""
        assert terminal.wait() == 130
    assert "Traceback" not in terminal.seen
    return terminal, out


@posix
def test_ctrl_c_gives_the_partial_report() -> None:
    """What is known by then, saying that it is partial; exit code 130."""
    terminal, _ = stopped()
    assert "PARTIAL" in terminal.seen
    assert "interrupted: the report is partial\n" in terminal.seen
    assert "worst" in terminal.seen


@posix
def test_ctrl_c_says_it_in_every_format() -> None:
    """Programs can tell too."""
    _, out = stopped("--format", "json", pipe_stdout=True)
    document = json.loads(out)
    assert document["partial"] is True
    assert 0 < len(document["keys"]) < 251
    _, out = stopped("--format", "ndjson", pipe_stdout=True)
    *keys, end = map(json.loads, out.splitlines())
    assert end["partial"] is True
    assert end["totals"]["keys"] == len(keys)


@posix
def test_ctrl_c_leaves_the_output_file_alone(tmp_path: Path) -> None:
    """The partial report goes beside it: yesterday's whole one is worth more."""
    path = tmp_path / "report.csv"
    path.write_text("old")
    terminal, _ = stopped("--format", "csv", "--output", str(path))
    assert path.read_text() == "old"
    partial = tmp_path / "report.csv.partial"
    assert str(partial) in terminal.seen
    assert partial.read_text().startswith("severity,name")
    assert {path, partial} == set(tmp_path.iterdir())


@posix
def test_progress_is_shown_on_a_terminal_and_only_there(box: Sandbox) -> None:
    """Keys, pages, workspaces and time; nothing of it on standard output, or into a pipe."""
    env = {"OPENROUTER_BASE_URL": box.url, "OPENROUTER_API_KEY": box.management_key}
    box.fail("list", delay=0.3, times=3)
    with Terminal("audit", "--format", "csv", env=env, pipe_stdout=True) as terminal:
        assert terminal.process.stdout is not None
        out = terminal.process.stdout.read().decode()
        assert terminal.wait() == 0
    assert "workspaces" in terminal.seen
    assert "pages" in terminal.seen
    assert out.startswith("severity,name")
    assert "\x1b" not in out
    silent = run("audit", "--format", "csv", env=env)
    assert silent.err == ""
    dumb = {**env, "TERM": "dumb"}
    with Terminal("audit", "--format", "csv", env=dumb, pipe_stdout=True) as terminal:
        assert terminal.process.stdout is not None
        terminal.process.stdout.read()
        assert terminal.wait() == 0
    assert terminal.seen == ""
