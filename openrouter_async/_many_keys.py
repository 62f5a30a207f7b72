"""The part of `client.api_keys` that changes many keys; what it gives is in `bulk_changes`."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Unpack

from openrouter_async._options import MAX_WAIT, CallOptions, OnWait
from openrouter_async._pacing import Throttle

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
        rate: float | None = None,
        max_wait: float = MAX_WAIT,
        on_wait: OnWait | None = None,
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
            sink: Gives the sink of one key; it is told the key's parameters and its `index`. What
                it raises fails that key only.
            concurrency: How many keys may be under way at once.
            rate: How many requests a second may begin, retries included; needs the extra `audit`.
                None: no bound of yours, only what the service allows.
            max_wait: Seconds that each request may wait for the service's rate limit, in all;
                after that it fails with `TooManyRequestsResponseError`.
            on_wait: Called with a `Waiting` whenever the service slows the run down; an async
                function is awaited.
            dry_run: Send nothing; the outcomes say what would be done.
            progress: Called with each outcome, how many there are and how many there will be; an
                async function is awaited.
            outcomes_file: A file (NDJSON, 0600) that outcomes are added to as they come. What it
                says is done is not done again, nor is a create that may have been done. It belongs
                to one account: which one this key belongs to is asked first, and the file of
                another one or of another `server_url` is refused.
            journal_dir: As for `provision`.
            **options: See `CallOptions`; they apply to each request.

        Raises:
            InvalidRequestError: A parameter is wrong; nothing was sent, and it names the place.
            ConfigurationError: The file of outcomes cannot be used.

        """
        from openrouter_async.bulk_changes import BulkRun, _carry, _items

        client = Throttle(
            self._caller, concurrency=concurrency, rate=rate, max_wait=max_wait, on_wait=on_wait
        )
        carrier = _carry.Carrier(
            client=client,
            options=options,
            dry_run=dry_run,
            sink=sink,
            journal_dir=journal_dir,
        )
        return BulkRun(
            carrier,
            _items.creates(keys),
            progress=progress,
            outcomes_file=outcomes_file,
        )

    def update_many(
        self,
        changes: Iterable[Mapping[str, Any]],
        *,
        concurrency: int = 10,
        rate: float | None = None,
        max_wait: float = MAX_WAIT,
        on_wait: OnWait | None = None,
        dry_run: bool = False,
        progress: ChangeProgress | None = None,
        outcomes_file: str | os.PathLike[str] | None = None,
        **options: Unpack[CallOptions],
    ) -> BulkRun:
        """Change many keys; what is omitted stays as it is.

        Args:
            changes: The parameters of `update` for each key, such as `{"hash": …, "limit": 5}`.
            concurrency: As for `create_many`.
            rate: As for `create_many`.
            max_wait: As for `create_many`.
            on_wait: As for `create_many`.
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

        client = Throttle(
            self._caller, concurrency=concurrency, rate=rate, max_wait=max_wait, on_wait=on_wait
        )
        carrier = _carry.Carrier(client=client, options=options, dry_run=dry_run)
        return BulkRun(
            carrier,
            _items.updates(changes),
            progress=progress,
            outcomes_file=outcomes_file,
        )

    def disable_many(
        self,
        hashes: Iterable[str],
        *,
        concurrency: int = 10,
        rate: float | None = None,
        max_wait: float = MAX_WAIT,
        on_wait: OnWait | None = None,
        dry_run: bool = False,
        progress: ChangeProgress | None = None,
        outcomes_file: str | os.PathLike[str] | None = None,
        **options: Unpack[CallOptions],
    ) -> BulkRun:
        """Disable many keys.

        Parameters and errors are those of `delete_many`.
        """
        from openrouter_async.bulk_changes import Action, BulkRun, _carry, _items

        client = Throttle(
            self._caller, concurrency=concurrency, rate=rate, max_wait=max_wait, on_wait=on_wait
        )
        carrier = _carry.Carrier(client=client, options=options, dry_run=dry_run)
        return BulkRun(
            carrier,
            _items.of_hashes(Action.DISABLE, hashes),
            progress=progress,
            outcomes_file=outcomes_file,
        )

    def delete_many(
        self,
        hashes: Iterable[str],
        *,
        concurrency: int = 10,
        rate: float | None = None,
        max_wait: float = MAX_WAIT,
        on_wait: OnWait | None = None,
        dry_run: bool = False,
        progress: ChangeProgress | None = None,
        outcomes_file: str | os.PathLike[str] | None = None,
        **options: Unpack[CallOptions],
    ) -> BulkRun:
        """Delete many keys for good.

        Args:
            hashes: The keys' hashes; one that stands there twice is deleted once.
            concurrency: As for `create_many`.
            rate: As for `create_many`.
            max_wait: As for `create_many`.
            on_wait: As for `create_many`.
            dry_run: Only read the keys.
            progress: As for `create_many`.
            outcomes_file: As for `create_many`.
            **options: See `CallOptions`; they apply to each request.

        Raises:
            InvalidRequestError: A hash is none; nothing was sent, and it names the place.
            ConfigurationError: The file of outcomes cannot be used.

        """
        from openrouter_async.bulk_changes import Action, BulkRun, _carry, _items

        client = Throttle(
            self._caller, concurrency=concurrency, rate=rate, max_wait=max_wait, on_wait=on_wait
        )
        carrier = _carry.Carrier(client=client, options=options, dry_run=dry_run)
        return BulkRun(
            carrier,
            _items.of_hashes(Action.DELETE, hashes),
            progress=progress,
            outcomes_file=outcomes_file,
        )
