"""Keys and audits as tables, CSV, JSON, NDJSON and HTML.

Only the tables need rich (extra `cli`); only `html` needs Jinja2 (extra `report`).
"""

import typing

if typing.TYPE_CHECKING:
    from openrouter_async.report._audit_rows import (
        GROUPINGS,
        audit_end,
        audit_line,
        audit_rows,
        by_urgency,
        each_row,
        grouped,
        keys_by_urgency,
    )
    from openrouter_async.report._columns import (
        BY_NAME,
        KEY_COLUMNS,
        OF_FINDINGS,
        Column,
        KeyRow,
        sort_rows,
        whole,
    )
    from openrouter_async.report._facts import (
        created_line,
        current_facts,
        key_facts,
        workspace_facts,
    )
    from openrouter_async.report._format import (
        ago,
        cell,
        count,
        day,
        minute,
        percent,
        plain,
        stamp,
        usd,
        utf8,
    )
    from openrouter_async.report._html import html, require_html
    from openrouter_async.report._sheets import (
        csv_head,
        csv_lines,
        csv_rows,
        json_line,
        json_pieces,
        json_text,
    )
else:  # type checkers would accept any name
    from openrouter_async._lazy import lazily as _lazily

    __getattr__, __dir__ = _lazily(
        __name__, "_format", "_columns", "_sheets", "_facts", "_audit_rows", "_html"
    )

__all__ = [
    "BY_NAME",
    "GROUPINGS",
    "KEY_COLUMNS",
    "OF_FINDINGS",
    "Column",
    "KeyRow",
    "ago",
    "audit_end",
    "audit_line",
    "audit_rows",
    "by_urgency",
    "cell",
    "count",
    "created_line",
    "csv_head",
    "csv_lines",
    "csv_rows",
    "current_facts",
    "day",
    "each_row",
    "grouped",
    "html",
    "json_line",
    "json_pieces",
    "json_text",
    "key_facts",
    "keys_by_urgency",
    "minute",
    "percent",
    "plain",
    "require_html",
    "sort_rows",
    "stamp",
    "usd",
    "utf8",
    "whole",
    "workspace_facts",
]
