"""Audit a whole account: check every key of every workspace.

```python
report = await client.audit()                       # blocking: report = client.audit()
report = await client.audit(
    workspaces=["Production"],                      # ids, slugs or names; None: all
    policy="policy.toml",                           # or a Policy; None: the built-in rules
    concurrency=16, rate=20,                        # requests at once; per second (extra audit)
    registry="hashes.txt",                          # the expected hashes
    progress=print,                                 # called with an AuditProgress after every page
)
report.totals.active, report.by_workspace[id].usage_monthly, report.worst
for finding in report.findings:                     # the most severe first
    print(finding.severity, finding.rule, finding.name, finding.sentence)
report.rows()                                       # flat dicts for any frame library
report.to_pandas(), report.chart("workspace")       # in a notebook (extra pandas)
json.dumps(report.to_dict())                        # "schema": 1
```

To monitor, stream or end an audit early (`report()` works at any time; see its `partial`):

```python
run = AuditRun(client, progress=...)
try:
    report = await run.finish()
except (KeyboardInterrupt, asyncio.CancelledError):
    report = run.report()

run = AuditRun(client, keep=False)                  # constant memory
async for key in run:
    for finding in run.policy.check(key, run.now): ...
run.report().totals
```

Everything else is pure: `evaluate(keys, policy, now)` returns the findings for any list of keys,
`Totals.of(keys)` and `Totals.grouped(keys, by)` the sums, `compare(old, new)` the changes between
two reports (`AuditReport.load(path)` reads a saved one).

A `Policy` holds the rules: frozen attrs classes with thresholds and a severity. A TOML file
configures them (`[rules.idle]`, `days = 60`, `severity = "critical"`, `enabled = false`); `rule`
turns a generator function into one. `RULES` has the built-in rules by identifier, `NOTICES` what
the walk itself can find.
"""

import typing

if typing.TYPE_CHECKING:
    from openrouter_async.audit._audit_run import AuditProgress, AuditRun, Progress
    from openrouter_async.audit._findings import Finding, KeyRule, ListRule, Remark, Rule, Severity
    from openrouter_async.audit._key_columns import state_of
    from openrouter_async.audit._ledger import Totals
    from openrouter_async.audit._list_rules import DuplicateName, MissingFromAccount, NotInRegistry
    from openrouter_async.audit._policy import (
        NOTICES,
        RULES,
        FunctionRule,
        Notice,
        Policy,
        Registry,
        evaluate,
        read_registry,
        rule,
    )
    from openrouter_async.audit._report import (
        SCHEMA,
        AuditFailure,
        AuditReport,
        Comparison,
        KeyChange,
        KeySpend,
        compare,
    )
    from openrouter_async.audit._spend_rules import (
        ByokNotCounted,
        Exhausted,
        NearLimit,
        NoLimit,
        Overspent,
        Spike,
    )
    from openrouter_async.audit._state_rules import (
        Disabled,
        Expired,
        ExpiringSoon,
        Idle,
        NeverUsed,
        NoExpiry,
        Old,
    )
    from openrouter_async.audit._walks import WorkspaceNames
else:  # type checkers would accept any name
    from openrouter_async._lazy import lazily as _lazily

    __getattr__, __dir__ = _lazily(
        __name__,
        "_findings",
        "_key_columns",
        "_state_rules",
        "_spend_rules",
        "_list_rules",
        "_policy",
        "_ledger",
        "_report",
        "_walks",
        "_audit_run",
    )

__all__ = [
    "NOTICES",
    "RULES",
    "SCHEMA",
    "AuditFailure",
    "AuditProgress",
    "AuditReport",
    "AuditRun",
    "ByokNotCounted",
    "Comparison",
    "Disabled",
    "DuplicateName",
    "Exhausted",
    "Expired",
    "ExpiringSoon",
    "Finding",
    "FunctionRule",
    "Idle",
    "KeyChange",
    "KeyRule",
    "KeySpend",
    "ListRule",
    "MissingFromAccount",
    "NearLimit",
    "NeverUsed",
    "NoExpiry",
    "NoLimit",
    "NotInRegistry",
    "Notice",
    "Old",
    "Overspent",
    "Policy",
    "Progress",
    "Registry",
    "Remark",
    "Rule",
    "Severity",
    "Spike",
    "Totals",
    "WorkspaceNames",
    "compare",
    "evaluate",
    "read_registry",
    "rule",
    "state_of",
]
