"""The name that this package first had; import from `openrouter_async.bulk`."""

from openrouter_async.bulk import Action, BulkRun, ChangeProgress, Outcome, Status, widened_by

__all__ = ["Action", "BulkRun", "ChangeProgress", "Outcome", "Status", "widened_by"]
