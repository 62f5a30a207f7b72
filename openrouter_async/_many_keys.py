"""The part of `client.api_keys` that changes many keys; what it gives is in `bulk_changes`."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Unpack

from openrouter_async._options import CallOptions

if TYPE_CHECKING:  # bulk_changes costs 10 ms, and most processes never need it
    from openrouter_async._core import Client
    from openrouter_async.bulk_changes import BulkRun, ChangeProgress
    from openrouter_async.bulk_changes._carry import SinkFactory


class ManyKeys:
    """One change of many keys; nothing is done twice, and each has its outcome."""

    _caller: Client

    def create_many(
        self,
        keys: Iterable[Mapping[str, Any]],
        *,
        sink: SinkFactory,
        concurrency: int = 10,
        dry_run: bool = False,
        progress: ChangeProgress | None = None,
        outcomes_file: str | os.PathLike[str] | None = None,
        journal_dir: str | os.PathLike[str] | None = None,
        **options: Unpack[CallOptions],
    ) -> BulkRun:
        """Create many keys, each plaintext stored before the next key is asked for on its slot.

        Await the result: `outcomes = await client.api_keys.create_many(...)`.

        Args:
            keys: The parameters of `create` for each key, such as `{"name": "acme", "limit": 5}`.
            sink: Gives the sink of one key; it is told the key's parameters and its `index`.
            concurrency: How many keys may be under way at once.
            dry_run: Send nothing; the outcomes say what would be done.
            progress: Called with each outcome, how many there are and how many there will be.
            outcomes_file: A file (NDJSON, 0600) that outcomes are added to as they come. What it
                says is done is not done again, nor is a create that may have been done.
            journal_dir: As for `provision`.
            **options: See `CallOptions`; they apply to each request.

        Raises:
            InvalidRequestError: A parameter is wrong; nothing was sent, and it names the place.
            ConfigurationError: The file of outcomes cannot be used.

        """
        from openrouter_async.bulk_changes import BulkRun, _carry, _items

        carrier = _carry.Carrier(
            client=self._caller,
            options=options,
            dry_run=dry_run,
            sink=sink,
            journal_dir=journal_dir,
        )
        return BulkRun(
            carrier,
            _items.creates(keys),
            concurrency=concurrency,
            progress=progress,
            outcomes_file=outcomes_file,
        )

    def update_many(
        self,
        changes: Iterable[Mapping[str, Any]],
        *,
        concurrency: int = 10,
        dry_run: bool = False,
        progress: ChangeProgress | None = None,
        outcomes_file: str | os.PathLike[str] | None = None,
        **options: Unpack[CallOptions],
    ) -> BulkRun:
        """Change many keys; what is omitted stays as it is.

        Args:
            changes: The parameters of `update` for each key, such as `{"hash": …, "limit": 5}`.
            concurrency: As for `create_many`.
            dry_run: Only read the keys; the outcomes say as `widens` what a key may do then and
                may not do now.
            progress: As for `create_many`.
            outcomes_file: As for `create_many`.
            **options: See `CallOptions`; they apply to each request.

        Raises:
            InvalidRequestError: A parameter is wrong, or a key stands there twice.
            ConfigurationError: The file of outcomes cannot be used.

        """
        from openrouter_async.bulk_changes import BulkRun, _carry, _items

        carrier = _carry.Carrier(client=self._caller, options=options, dry_run=dry_run)
        return BulkRun(
            carrier,
            _items.updates(changes),
            concurrency=concurrency,
            progress=progress,
            outcomes_file=outcomes_file,
        )

    def disable_many(
        self,
        hashes: Iterable[str],
        *,
        concurrency: int = 10,
        dry_run: bool = False,
        progress: ChangeProgress | None = None,
        outcomes_file: str | os.PathLike[str] | None = None,
        **options: Unpack[CallOptions],
    ) -> BulkRun:
        """Disable many keys.

        Parameters and errors are those of `delete_many`.
        """
        from openrouter_async.bulk_changes import Action, BulkRun, _carry, _items

        carrier = _carry.Carrier(client=self._caller, options=options, dry_run=dry_run)
        return BulkRun(
            carrier,
            _items.of_hashes(Action.DISABLE, hashes),
            concurrency=concurrency,
            progress=progress,
            outcomes_file=outcomes_file,
        )

    def delete_many(
        self,
        hashes: Iterable[str],
        *,
        concurrency: int = 10,
        dry_run: bool = False,
        progress: ChangeProgress | None = None,
        outcomes_file: str | os.PathLike[str] | None = None,
        **options: Unpack[CallOptions],
    ) -> BulkRun:
        """Delete many keys for good.

        Args:
            hashes: The keys' hashes; one that stands there twice is deleted once.
            concurrency: As for `create_many`.
            dry_run: Only read the keys.
            progress: As for `create_many`.
            outcomes_file: As for `create_many`.
            **options: See `CallOptions`; they apply to each request.

        Raises:
            InvalidRequestError: A hash is none; nothing was sent, and it names the place.
            ConfigurationError: The file of outcomes cannot be used.

        """
        from openrouter_async.bulk_changes import Action, BulkRun, _carry, _items

        carrier = _carry.Carrier(client=self._caller, options=options, dry_run=dry_run)
        return BulkRun(
            carrier,
            _items.of_hashes(Action.DELETE, hashes),
            concurrency=concurrency,
            progress=progress,
            outcomes_file=outcomes_file,
        )
