"""The HTML report: one page with its data, styles and script, made by Jinja2 from `assets`."""

from __future__ import annotations

from openrouter_async.report._html._page import html, require_html

__all__ = ["html", "require_html"]
