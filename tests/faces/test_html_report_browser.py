"""The page in a real browser: quiet, quick, and it does what it shows."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.audits import audited, emptied, poisoned
from support.chromium import Browser, chromium

from openrouter_async.audit import AuditReport
from openrouter_async.report import html

Open = Callable[..., Browser]

TIMED = """
const [sheet, name, value] = arguments;
const input = document.querySelector(`#${sheet}-sheet [name=${name}]`);
const start = performance.now();
input.value = value;
input.dispatchEvent(new Event("input", {bubbles: true}));
document.body.getBoundingClientRect();
return performance.now() - start;
"""
STATUS = "return document.querySelector(`#${arguments[0]}-sheet [role=status]`).textContent"
COLUMN = """
const [sheet, place] = arguments;
return [...document.querySelectorAll(`#${sheet}-sheet tbody tr`)].map(
  (row) => row.children[place].firstChild.textContent);
"""
CLICK_HEAD = """
const start = performance.now();
const head = [...document.querySelectorAll(`#${arguments[0]}-sheet thead button`)]
  .find((button) => button.textContent === arguments[1]);
head.click();
document.body.getBoundingClientRect();
return [performance.now() - start, head.parentElement.getAttribute("aria-sort")];
"""
OVERFLOW = "return document.documentElement.scrollWidth - innerWidth"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """One for the module."""
    with chromium(tmp_path_factory.mktemp("profile")) as browser:
        yield browser


@pytest.fixture(scope="module")
def report() -> AuditReport:
    """Of 250 keys."""
    return audited(250)


@pytest.fixture
def opened(browser: Browser, tmp_path: Path) -> Open:
    """Opens a report's page."""

    def open_page(report: AuditReport, **settings: Any) -> Browser:
        file = tmp_path / "report.html"
        file.write_text(html(report), "utf-8")
        browser.open(file, **settings)
        return browser

    return open_page


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("kind", ["usual", "empty", "hostile"])
def test_it_is_quiet_and_fits(
    report: AuditReport, opened: Open, *, kind: str, dark: bool, width: int
) -> None:
    """No complaint of the console, no request but the file, no script of a name, no overflow."""
    report = {"usual": report, "empty": emptied(report), "hostile": poisoned(report)}[kind]
    page = opened(report, width=width, dark=dark)
    for name in ("severity", "rule"):
        page.ask(TIMED, "findings", name, "0")
    assert page.complaints() == []
    assert [address.partition(":")[0] for address in page.requests()] == ["file"]
    assert page.ask("return window.harmed") is None
    assert page.ask(OVERFLOW) <= 0
    back = page.ask("return getComputedStyle(document.body).backgroundColor")
    assert back == ("rgb(16, 19, 23)" if dark else "rgb(244, 245, 247)")


def test_search_filter_and_sort(report: AuditReport, opened: Open) -> None:
    """They go together, and the list says what it shows."""
    page = opened(report)
    assert page.ask(STATUS, "keys") == "1 to 50 of 251 keys"
    page.ask(TIMED, "keys", "search", "RAG-")
    rag = [key.name for key in report.keys if "rag-" in key.name]
    assert page.ask(STATUS, "keys") == f"{len(rag)} keys, filtered from 251"
    assert page.ask(CLICK_HEAD, "keys", "Name")[1] == "ascending"
    assert page.ask(COLUMN, "keys", 1) == sorted(rag)
    assert page.ask(CLICK_HEAD, "keys", "Name")[1] == "descending"
    assert page.ask(COLUMN, "keys", 1) == sorted(rag, reverse=True)
    page.ask(TIMED, "keys", "search", "no such key")
    assert page.ask(STATUS, "keys") == "no keys, filtered from 251"


def test_pages_of_a_list(report: AuditReport, opened: Open) -> None:
    """Forward to the last one and no further."""
    page = opened(report)
    steps = "const [, next] = document.querySelectorAll('#keys-sheet .step');"
    ended = [page.ask(f"{steps} next.click(); return next.disabled") for _ in range(5)]
    assert ended == [False, False, False, False, True]
    assert page.ask(STATUS, "keys") == "251 to 251 of 251 keys"


def test_charts_and_rules_lead_to_the_lists(report: AuditReport, opened: Open) -> None:
    """A bar filters the keys, a rule its findings, a key's name opens what is known of it."""
    page = opened(report)
    page.ask("document.querySelector('[data-facet=fullness][data-choice=\"6\"]').click()")
    assert page.ask(STATUS, "keys") == f"{report.totals.overspent} keys, filtered from 251"
    page.ask("document.querySelector('[data-rule=overspent]').click()")
    number = report.counts["overspent"]
    assert (
        page.ask(STATUS, "findings") == f"{number} findings, filtered from {len(report.findings)}"
    )
    page.ask("document.querySelector('#keys-sheet tbody .link').click()")
    text = page.ask("return document.querySelector('dialog[open]').textContent")
    spent_most = max(report.keys, key=lambda key: key.is_exhausted and key.usage_monthly)
    assert spent_most.hash in text
    assert "overspent" in text


def test_what_is_spent_can_be_seen_over_each_window(report: AuditReport, opened: Open) -> None:
    """One at a time, by radio buttons that need no script."""
    page = opened(report)
    seen = "return [...document.querySelectorAll('.window')].filter(e => e.offsetHeight).length"
    assert page.ask(seen) == 1
    page.ask("document.getElementById('window-ever').click()")
    assert page.ask(seen) == 1
    assert page.ask("return document.querySelector('.window.ever').offsetHeight") > 0


def test_names_and_roles(report: AuditReport, opened: Open) -> None:
    """Each field and button has a name, each table headings, each level of headings its parent."""
    page = opened(report)
    assert page.ask("return [...document.querySelectorAll('button')].every(b => b.textContent)")
    assert page.ask(
        "return [...document.querySelectorAll('input, select')].every(i => i.labels.length)"
    )
    assert page.ask("return [...document.querySelectorAll('th')].every(h => h.scope)")
    assert page.ask("return document.querySelectorAll('h1').length") == 1
    assert page.ask("return document.documentElement.lang") == "en"


def test_paper_has_more_rows(report: AuditReport, opened: Open) -> None:
    """Up to 500 of each list, and afterwards a page again."""
    page = opened(report)
    rows = "return document.querySelectorAll('#keys-sheet tbody tr').length"
    assert page.ask("dispatchEvent(new Event('beforeprint'));" + rows) == 251
    assert page.ask("dispatchEvent(new Event('afterprint'));" + rows) == 50


def test_ten_thousand_keys_are_filtered_and_sorted_at_once(opened: Open) -> None:
    """Within a second, layout included; it takes some hundredths."""
    page = opened(audited(10_000))
    assert page.ask("return performance.getEntriesByType('navigation')[0].domInteractive") < 5000
    assert page.ask(TIMED, "keys", "search", "rag") < 1000
    assert page.ask(TIMED, "keys", "worst", "2") < 1000
    assert page.ask(TIMED, "findings", "search", "limit") < 1000
    for title in ("Name", "Used", "Month"):
        assert page.ask(CLICK_HEAD, "keys", title)[0] < 1000
    assert page.complaints() == []
