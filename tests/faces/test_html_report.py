"""The page as text: whole in itself, harmless, without keys, small, and right in its numbers."""

import base64
import hashlib
import json
import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import attrs
import pytest
from support.audits import FULL_KEYS, SCRIPT, audited, emptied, poisoned
from support.command import run

from openrouter_async import ConfigurationError
from openrouter_async.audit import AuditReport
from openrouter_async.report import BY_NAME, audit_rows, html, require_html, sort_rows
from openrouter_async.report._html import _page as page
from openrouter_async.report._html._charts import fullest, spending
from openrouter_async.report._html._facets import facets_of
from openrouter_async.sandbox import Sandbox

STEERING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


class Elements(HTMLParser):
    """Every element of a page, its attributes, and the text of its scripts and styles."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.all: list[tuple[str, dict[str, str | None]]] = []
        self.raw: list[tuple[str, str]] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Take an element."""
        self.all.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        """Take text that is not HTML."""
        if self.cdata_elem:
            self.raw.append((self.cdata_elem, data))

    def attributes(self, name: str) -> list[str | None]:
        """Return an attribute's values."""
        return [attributes[name] for _, attributes in self.all if name in attributes]

    @property
    def data(self) -> dict[str, Any]:
        """What the script works on."""
        return json.loads(next(text for tag, text in self.raw if tag == "script"))


@pytest.fixture(scope="module")
def report() -> AuditReport:
    """Of 250 keys."""
    return audited(250)


@pytest.mark.parametrize("kind", ["usual", "empty", "hostile"])
def test_the_page_asks_for_nothing(report: AuditReport, kind: str) -> None:
    """It has no address but its own parts, and its policy allows its own script and style only."""
    report = {"usual": report, "empty": emptied(report), "hostile": poisoned(report)}[kind]
    found = Elements(html(report))
    tags = {tag for tag, _ in found.all}
    assert not tags & {"img", "link", "iframe", "object", "embed", "base", "source", "image"}
    assert not found.attributes("src")
    assert all((link or "").startswith("#") for link in found.attributes("href"))
    assert [tag for tag, _ in found.raw] == ["style", "script", "script"]
    assert not [name for _, each in found.all for name in each if name.startswith("on")]
    assert not found.attributes("style")
    style, _, script = (text for _, text in found.raw)
    assert "url(" not in style
    assert "@import" not in style
    policy = next(each["content"] for tag, each in found.all if each.get("http-equiv"))
    digests = [
        base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        for text in (style, script)
    ]
    assert policy == (
        f"default-src 'none'; style-src 'sha256-{digests[0]}'; script-src 'sha256-{digests[1]}'; "
        "base-uri 'none'; form-action 'none'"
    )


def test_hostile_names_are_only_text(report: AuditReport) -> None:
    """They end no element and turn no direction; cut where they are too long, else as they are."""
    text = html(poisoned(report), title=SCRIPT)
    assert not STEERING.search(text.replace("\n", ""))
    assert text.count("</script") == 2
    found = Elements(text)
    names = [key[0] for key in found.data["keys"]]
    assert {SCRIPT, "", "constructor", "__proto__", "שלום 東京 🗝"} <= set(names)
    assert max(map(len, names)) == 300
    assert r"\u202egnp.exe\u2066\u2028\x00\x1b[31m\ud800" in names
    text.encode()


def test_no_key_is_in_it(report: AuditReport) -> None:
    """Not as a name, as a label, or as who audited; masked labels are there."""
    text = html(poisoned(report))
    assert not [key for key in FULL_KEYS if key[9:20] in text]
    assert report.by is not None
    assert report.by in html(report)
    labels = {key[2] for key in Elements(html(report)).data["keys"]}
    assert labels == {key.label for key in report.keys}


def test_figures_are_those_of_the_report(report: AuditReport) -> None:
    """Every key and finding is there, the gravest first, and every key has its answers."""
    data = Elements(html(report)).data
    assert len(data["keys"]) == 251
    assert {key[1] for key in data["keys"]} == {key.hash for key in report.keys}
    assert len(data["findings"]) == len(report.findings)
    assert [severity for _, severity, *_ in data["findings"]] == sorted(
        (finding.severity.rank for finding in report.findings), reverse=True
    )
    for place, facet in enumerate(data["facets"]):
        answers = [key[3 + place] for key in data["keys"]]
        assert 0 <= min(answers) <= max(answers) < len(facet["choices"])
    overspent = [key for key in data["keys"] if data["facets"][2]["choices"][key[5]] == "overspent"]
    assert len(overspent) == report.totals.overspent


def test_charts_compare_what_they_say(report: AuditReport) -> None:
    """Lengths are percent of the longest, the rest is told, full limits stand out."""
    facets = facets_of(report)
    for window in ("daily", "ever"):
        for chart in spending(report, facets, window):
            lengths = [sum(length for _, _, length in bar.parts) for bar in chart.bars]
            assert lengths[0] == pytest.approx(100, abs=1)
            assert lengths == sorted(lengths, reverse=True)
    assert chart.rest.startswith("243 other keys: $")
    rows = [
        attrs.evolve(row, key=attrs.evolve(row.key, disabled=False, expires_at=None, **limits))
        for row, limits in zip(
            audit_rows(report),
            [
                {"limit": 10.0, "limit_remaining": remaining}
                for remaining in (-1.0, 0.0, 0.5, 5.0, 10.0)
            ],
            strict=False,
        )
    ]
    bars = fullest(rows).bars
    assert [bar.text for bar in bars] == [f"{n}% of $10.00" for n in (110, 100, 95, 50, 0)]
    assert [[(kind, length) for kind, _, length in bar.parts] for bar in bars] == [
        [("critical", 100)], [("warning", 100)], [("warning", 95)], [("keys", 50)], [],
    ]  # fmt: skip


def test_workspaces_of_one_name_are_told_apart(report: AuditReport) -> None:
    """By a piece of their ids."""
    same = attrs.evolve(report, workspaces=dict.fromkeys(report.workspaces, "Same"))
    choices = facets_of(same).workspace.choices
    assert len(set(choices)) == len(report.by_workspace)
    assert all(choice.startswith("Same (") for choice in choices)


def test_rows_set_the_order(report: AuditReport) -> None:
    """As `--sort` does."""
    rows = sort_rows(audit_rows(report), BY_NAME["usage"])
    data = Elements(html(report, rows=rows)).data
    assert [key[1] for key in data["keys"]] == [row.key.hash for row in rows]


def test_what_is_missing_is_said(report: AuditReport) -> None:
    """Before any figure: stopped, incomplete, unreadable, not kept, rules that did not run."""
    assert "remarks" not in re.findall(r'<section class="(\w+)"', html(report))
    assert "stopped before its end" in html(attrs.evolve(report, partial=True, complete=False))
    assert "keys may be missing" in html(poisoned(report))
    assert "could not be read to its end" in html(poisoned(report))
    assert "only totals" in html(attrs.evolve(report, keys=[], findings=[]))
    assert "Nothing was found" in html(emptied(report))


def test_ten_thousand_keys_are_below_five_megabytes() -> None:
    """A page that can be mailed."""
    assert len(html(audited(10_000)).encode()) < 5_000_000


def test_the_command_writes_it(tmp_path: Path) -> None:
    """As a file; a list of keys has no page."""
    file = tmp_path / "report.html"
    done = run("audit", "--sandbox", "--format", "html", "--sort", "name", "-o", str(file))
    assert done.code == 0
    assert file.read_text("utf-8").startswith("<!DOCTYPE html>")
    assert run("list", "--sandbox", "-f", "html").complaint == (
        "--format html is only available for audit"
    )


def test_without_jinja_the_extra_is_named(
    report: AuditReport, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the function, and by the command before it asks the service for anything."""
    monkeypatch.setitem(sys.modules, "jinja2", None)
    page._template.cache_clear()
    for ask in (lambda: html(report), require_html):
        with pytest.raises(ConfigurationError, match=r"openrouter_async\[report\]"):
            ask()
    script = (
        "import sys; sys.modules['jinja2'] = None; from openrouter_async.cli import main; "
        "sys.exit(main())"
    )
    with Sandbox() as box:
        env = {"OPENROUTER_BASE_URL": box.url, "OPENROUTER_API_KEY": box.management_key}
        program = [sys.executable, "-c", script]
        done = run("audit", "--format", "html", env=env, program=program)
        assert (done.code, box.requests) == (2, [])
        assert "openrouter_async[report]" in done.complaint
