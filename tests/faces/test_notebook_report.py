"""Reports and lists in notebooks: tables, frames, charts; the example runs in a real kernel."""

import re
import sys
from pathlib import Path
from typing import Any

import attrs
import nbformat
import pandas as pd
import pytest
from nbclient import NotebookClient
from support.audits import FULL_KEYS, SCRIPT, audited, emptied, poisoned

from openrouter_async import ConfigurationError
from openrouter_async.audit import AuditReport
from openrouter_async.models import ListResponse

EXAMPLE = Path(__file__).parents[2] / "examples" / "audit.ipynb"
TIMES = ["created_at", "updated_at", "expires_at", "last_used_at"]


@pytest.fixture(scope="module")
def report() -> AuditReport:
    """Of 250 keys."""
    return audited(250)


def test_a_list_shows_as_a_table(report: AuditReport) -> None:
    """A row a key, numbers right, nothing for what is not there."""
    shown = ListResponse(data=list(report.keys[:30]))._repr_html_()
    assert shown.count("<tr>") == 31
    assert report.keys[0].name in shown
    assert report.keys[0].label in shown
    assert "None" not in shown
    assert "0 keys" in ListResponse(data=[])._repr_html_()


def test_a_report_shows_as_tables(report: AuditReport) -> None:
    """What was audited, what was found, and the gravest keys; whatever is missing is said."""
    shown = report._repr_html_()
    assert "251 keys" in shown
    assert "near-limit" in shown
    assert shown.index("critical") < shown.index("overspent") < shown.index("20 of 251 keys")
    assert "incomplete" not in shown
    partial = attrs.evolve(report, partial=True, complete=False)
    assert "<b>partial</b>" in partial._repr_html_()
    assert "0 keys" in emptied(report)._repr_html_()


def test_names_are_text_and_keys_are_none_of_it(report: AuditReport) -> None:
    """A notebook is a page too."""
    bad = poisoned(report)
    for shown in (bad._repr_html_(), ListResponse(data=list(bad.keys))._repr_html_()):
        assert "<script" not in shown
        assert SCRIPT.replace("<", "&lt;").replace(">", "&gt;") in shown
        assert not [key for key in FULL_KEYS if key[9:20] in shown]
        shown.encode()
    assert FULL_KEYS[0] not in bad.chart("name").to_json()


@pytest.mark.parametrize("kind", ["usual", "empty"])
def test_columns_have_their_types(report: AuditReport, kind: str) -> None:
    """Nullable, UTC, and the same when there is no row to tell them from."""
    frame = (report if kind == "usual" else emptied(report)).to_pandas()
    for name in TIMES:
        assert frame[name].dtype == pd.DatetimeTZDtype("us", "UTC")
    for name in ("limit", "limit_remaining", "usage", "byok_usage_monthly", "used"):
        assert frame[name].dtype == pd.Float64Dtype()
    for name in ("disabled", "include_byok_in_limit"):
        assert frame[name].dtype == pd.BooleanDtype()
    for name in ("hash", "name", "limit_reset", "workspace", "severity", "findings"):
        assert frame[name].dtype == "string"
    assert set(frame.columns) == set(report.rows()[0])


def test_a_frame_has_what_the_report_has(report: AuditReport) -> None:
    """To the microsecond; what is not known is missing, not nothing."""
    frame = report.to_pandas()
    assert len(frame) == len(report.keys)
    assert frame.usage.sum() == pytest.approx(report.totals.usage)
    assert frame.limit.isna().sum() == report.totals.unlimited
    for row, key in zip(frame.itertuples(), report.keys, strict=True):
        assert row.created_at == key.created_at
        assert (
            pd.isna(row.expires_at)
            if key.expires_at is None
            else row.expires_at == (key.expires_at)
        )


def test_charts_add_up(report: AuditReport) -> None:
    """The greatest first, the many others together, credits and provider keys apart."""

    def sums(by: str, window: str) -> list[dict[str, Any]]:
        return next(iter(report.chart(by, window).to_dict()["datasets"].values()))

    totals = report.totals
    for window, both in {
        "monthly": totals.usage_monthly + totals.byok_usage_monthly,
        "ever": totals.usage + totals.byok_usage,
    }.items():
        for by in ("workspace", "creator_user_id", "name", "state"):
            assert sum(each["usd"] for each in sums(by, window)) == pytest.approx(both, abs=0.01)
    names = sums("name", "ever")
    assert len(names) == 26
    assert names[-1]["group"].endswith(" others")
    assert sum(each["keys"] for each in names) == 2 * 251
    assert report.chart().to_dict()["encoding"]["x"]["title"] == "USD this month"
    assert emptied(report).chart().to_dict()["mark"] == {"type": "bar"}


def test_what_cannot_be_charted_is_named(report: AuditReport) -> None:
    """Before any library is asked for it."""
    with pytest.raises(ConfigurationError, match="by must be one of workspace, "):
        report.chart("hash")
    with pytest.raises(ConfigurationError, match="window must be one of daily, "):
        report.chart("workspace", "hourly")


def test_without_the_libraries_the_extra_is_named(
    report: AuditReport, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows and tables need none."""
    monkeypatch.setitem(sys.modules, "pandas", None)
    monkeypatch.setitem(sys.modules, "altair", None)
    with pytest.raises(ConfigurationError, match=r"to_pandas.*openrouter_async\[pandas\]"):
        report.to_pandas()
    with pytest.raises(ConfigurationError, match=r"chart.*openrouter_async\[pandas\]"):
        report.chart()
    assert report.rows()
    assert report._repr_html_()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_the_example_runs(tmp_path: Path) -> None:
    """From the first cell to the last, in a kernel; what it shows are tables and charts."""
    notebook = nbformat.read(EXAMPLE, as_version=4)
    assert not [cell for cell in notebook.cells if cell.get("outputs")], "outputs are not kept"
    resources = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(notebook, timeout=60, kernel_name="python3", resources=resources).execute()
    shown = [
        output.get("data", {}) for cell in notebook.cells for output in cell.get("outputs", [])
    ]
    assert sum("text/html" in kinds for kinds in shown) >= 4
    assert sum("vega-lite" in kinds.get("text/html", "") for kinds in shown) == 3
    assert not re.search("sk-or-v1-[0-9a-f]{16}", str(notebook.cells))
