"""Audit reports: of a seeded account, of an empty one, and of one with hostile names."""

from typing import Final

import attrs

from openrouter_async import OpenRouter
from openrouter_async.audit import AuditFailure, AuditReport, Finding, Policy, Totals, evaluate
from openrouter_async.sandbox import Sandbox

FULL_KEYS: Final = tuple(f"sk-or-v1-{pair * 32}" for pair in ("ab", "cd", "ef"))
SCRIPT: Final = "</script><script>window.harmed = 1</script>"
HOSTILE: Final = (
    SCRIPT,
    "</SCRIPT ><img src=x onerror='window.harmed=1'>",
    "<!--<script>",
    '"><svg onload="window.harmed=1">',
    "' onmouseover='window.harmed=1",
    "{{ 7 * 7 }}${window.harmed=1}`",
    "\u202egnp.exe\u2066\u2028\x00\x1b[31m\ud800",
    "שלום 東京 🗝",
    "x" * 5000,
    "",
    "constructor",
    "__proto__",
    FULL_KEYS[0],
)
"""Names that try to end the script, start an element or reverse the text, or that are keys."""


def audited(keys: int) -> AuditReport:
    """Audit a sandbox with this many keys besides the example's."""
    with (
        Sandbox(keys=keys) as box,
        OpenRouter(api_key=box.management_key, server_url=box.url) as client,
    ):
        return client.audit()


def emptied(report: AuditReport) -> AuditReport:
    """Return the report with no keys or findings."""
    return attrs.evolve(
        report,
        keys=[],
        findings=[],
        counts={},
        severities={},
        totals=Totals(now=report.now),
        by_workspace={},
        by_creator={},
        workspaces={},
        by=None,
    )


def poisoned(report: AuditReport) -> AuditReport:
    """Return the report with hostile text wherever the service or a user's rule supplies text."""
    keys = [
        attrs.evolve(
            key,
            name=text,
            creator_user_id=text,
            external_user=text,
            limit_reset=text,
            label=FULL_KEYS[1],
            usage_monthly=1e6 + place,
        )
        for place, (text, key) in enumerate(zip(HOSTILE, report.keys, strict=False))
    ]
    keys += report.keys[len(keys) :]
    own = Finding(rule=SCRIPT, severity="critical", sentence=SCRIPT, hash=SCRIPT, workspace=SCRIPT)
    failure = AuditFailure(workspace_id="x", workspace=SCRIPT, error="E", message=SCRIPT)
    return attrs.evolve(
        report,
        keys=keys,
        findings=[*evaluate(keys, Policy(), report.now), own],
        totals=Totals.of(keys, report.now),
        by_workspace=Totals.grouped(keys, lambda key: key.workspace_id, report.now),
        by_creator=Totals.grouped(keys, lambda key: key.creator_user_id, report.now),
        workspaces=dict.fromkeys(report.workspaces, SCRIPT),
        errors=[failure],
        skipped=[SCRIPT],
        by=FULL_KEYS[2],
        complete=False,
    )
