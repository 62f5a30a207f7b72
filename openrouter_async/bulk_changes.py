"""The former name of `openrouter_async.bulk`, which is the one to import from."""

from openrouter_async.bulk import Action, BulkRun, ChangeProgress, Outcome, Status, widened_by

__all__ = ["Action", "BulkRun", "ChangeProgress", "Outcome", "Status", "widened_by"]
