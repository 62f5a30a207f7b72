"""An account with absurd figures, or a record that cannot be read, is shown all the same."""

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest
from support.calls import CURRENT_KEY, record
from support.command import Inside, Result
from support.server import ThreadedServer
from support.steps import Step, reply
from support.wire import Request

from openrouter_async import OpenRouter
from openrouter_async.audit import AuditReport, compare

LARGE, SMALL = 1.79e308, 5e-324
FIGURES: list[dict[str, Any]] = [
    {"limit": 1e-310, "limit_remaining": 1e-310},
    {"limit": 1e-310, "limit_remaining": -LARGE},
    {"limit": LARGE, "limit_remaining": LARGE},
    {"limit": LARGE, "limit_remaining": -LARGE},
    {"limit": -5.0, "limit_remaining": -LARGE},
    {"limit": 0.0, "limit_remaining": LARGE},
    {"limit": SMALL, "limit_remaining": 0},
    {"usage": LARGE, "usage_daily": LARGE, "usage_weekly": LARGE, "usage_monthly": LARGE},
    {"byok_usage": LARGE, "byok_usage_daily": LARGE, "byok_usage_monthly": -LARGE},
    {"usage": -LARGE, "usage_daily": SMALL, "usage_monthly": -SMALL},
    {"usage_daily": 11, "usage_weekly": 11 + SMALL, "usage_monthly": SMALL},
    {"limit": 1e9, "limit_remaining": 1e-9, "usage": 123456789012345678},
]


def _row(number: int, **changes: Any) -> dict[str, Any]:
    return record(hash=f"{number:064x}", name=f"key {number}", **changes)


EXTREME = [_row(number, **figures) for number, figures in enumerate(FIGURES)]
ODD = [
    _row(0),
    _row(1, disabled="false"),
    _row(2, limit="ten"),
    {"name": "\x1b[2J"},
    7,
    *(_row(number) for number in range(5, 30)),
]


class Service:
    """A server with one workspace of these rows."""

    def __init__(self, rows: list[Any]) -> None:
        self.rows = rows

    def __call__(self, request: Request) -> Step:
        """Answer a request."""
        path, _, query = request.target.partition("?")
        if path.endswith("/workspaces"):
            return reply(json={"data": [{"id": "w", "name": "W", "slug": "w"}], "total_count": 1})
        if path.endswith("/key"):
            return reply(json={"data": {**CURRENT_KEY, **FIGURES[1]}})
        found = [row for row in self.rows if path.endswith(f"/{as_dict(row).get('hash')}")]
        if found:
            return reply(json={"data": found[0]})
        offset = dict(part.split("=") for part in query.split("&") if part).get("offset", "0")
        return reply(json={"data": self.rows[int(offset) :][:100]})


def as_dict(row: Any) -> dict[str, Any]:
    """A row that is an object, or none."""
    return row if isinstance(row, dict) else {}


class Account:
    """The command and a blocking client for a server with these rows."""

    def __init__(self, server: ThreadedServer, cli: Inside) -> None:
        self._env = {"OPENROUTER_BASE_URL": server.api_url, "OPENROUTER_API_KEY": "k" * 20}
        self._cli = cli
        self.url = server.api_url

    def __call__(self, *arguments: str) -> Result:
        """Run the command."""
        return self._cli(*arguments, env=self._env)


@pytest.fixture
def account(
    request: pytest.FixtureRequest,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Account]:
    """Parametrized by its rows."""
    with ThreadedServer(handler=Service(request.param)) as server:
        yield Account(server, Inside(capfd, monkeypatch))


extreme = pytest.mark.parametrize("account", [EXTREME], indirect=True, ids=["extreme"])
odd = pytest.mark.parametrize("account", [ODD], indirect=True, ids=["odd"])


@extreme
@pytest.mark.parametrize("form", ["table", "json", "ndjson", "csv"])
def test_list_of_absurd_figures(account: Account, form: str) -> None:
    """Every key is there, and the figures that programs read are the service's."""
    result = account("list", "--all", "--format", form)
    assert (result.code, result.err) == (0, "")
    if form == "json":
        limits = [row["limit"] for row in json.loads(result.out)["data"]]
        assert limits == [row["limit"] for row in EXTREME]
    if form == "csv":
        rows = list(csv.DictReader(io.StringIO(result.out)))
        assert [float(row["limit"]) for row in rows] == [row["limit"] for row in EXTREME]
        assert all(len(row["used"]) < 30 for row in rows)
    else:
        assert len(result.out.splitlines()) >= len(EXTREME)


@extreme
@pytest.mark.parametrize("number", range(len(EXTREME)))
def test_get_of_absurd_figures(account: Account, number: int) -> None:
    """One key, for people and for programs."""
    hash = EXTREME[number]["hash"]
    result = account("get", hash)
    assert (result.code, result.err) == (0, "")
    assert all(len(line) < 300 for line in result.out.splitlines())
    assert account("get", hash, "--format", "json").code == 0
    assert account("whoami").code == 0


@extreme
@pytest.mark.parametrize("form", ["table", "json", "ndjson", "csv", "html"])
def test_audit_of_absurd_figures(account: Account, form: str, tmp_path: Path) -> None:
    """A report in every format, which can be saved, read again, and compared."""
    saved = tmp_path / "saved.json"
    result = account("audit", "--format", form, "--save", str(saved))
    assert result.code == 0, result.err
    text = saved.read_text()
    assert "Infinity" not in text
    assert "NaN" not in text
    report = AuditReport.load(saved)
    assert len(report.keys) == len(EXTREME)
    assert AuditReport.load(saved).to_dict() == report.to_dict()
    assert account("diff", str(saved), str(saved)).code == 0
    assert account("diff", str(saved), str(saved), "--format", "json").code == 0


@extreme
def test_report_of_absurd_figures_in_python(account: Account) -> None:
    """Frames, charts, notebooks, and what changed since there was nothing."""
    with OpenRouter("k" * 20, server_url=account.url) as client:
        report = client.audit()
        page = client.api_keys.list()
    assert len(page._repr_html_()) < 30_000
    assert len(report._repr_html_()) < 30_000
    frame = report.to_pandas()
    assert len(frame) == len(EXTREME)
    assert "Infinity" not in report.chart(by="workspace").to_json()
    totals = report.totals.to_dict()
    json.dumps(totals, allow_nan=False)
    assert report.by_workspace["w"].to_dict() == totals
    before = attrs.evolve(report, keys=[attrs.evolve(key, usage=-LARGE) for key in report.keys])
    json.dumps(compare(before, report).to_dict(), allow_nan=False)
    json.dumps(compare(report, before).to_dict(), allow_nan=False)


@odd
@pytest.mark.parametrize("all_pages", [True, False])
def test_list_with_records_that_cannot_be_read(account: Account, *, all_pages: bool) -> None:
    """The others are listed, each bad one is named with its reason, and the exit code says so."""
    result = account("list", *(["--all"] if all_pages else []), "--format", "ndjson")
    assert result.code == 4
    names = [json.loads(line)["name"] for line in result.out.splitlines()]
    assert names == [row["name"] for row in [ODD[0], *ODD[5:]]]
    warnings = result.err.splitlines()
    assert [line.partition(" cannot be read")[0] for line in warnings] == [
        f"warning: record 1 of its page (hash {1:064x})",
        f"warning: record 2 of its page (hash {2:064x})",
        "warning: record 3 of its page",
        "warning: record 4 of its page",
    ]
    assert "disabled: expected a boolean" in warnings[0]
    assert "limit: expected a number" in warnings[1]
    assert "\x1b" not in result.err


@pytest.mark.parametrize("account", [[7] * 60], indirect=True)
def test_a_page_of_nothing_but_bad_records(account: Account) -> None:
    """There are not more warnings than a screen has lines."""
    result = account("list", "--all", "--format", "json")
    assert (result.code, json.loads(result.out)) == (4, {"data": []})
    assert len(result.err.splitlines()) == 21
    assert result.err.endswith("40 more records cannot be read\n")
