"""One call: compose the request, wait for a slot, send, interpret, and retry if that is safe."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager, nullcontext, suppress
from datetime import UTC, datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar, cast

import tenacity

from openrouter_async._converter import hash_seen_in
from openrouter_async._deadlines import Deadline
from openrouter_async._operations import CreateKeys, Operation, Request, RetryClass, compose
from openrouter_async._options import Settings
from openrouter_async._responses import Response, interpret, request_id
from openrouter_async._retry import (
    AttemptError,
    Condition,
    SendError,
    Verdict,
    back_off,
    condition_of,
    verdict,
)
from openrouter_async._transport import Attempt
from openrouter_async.errors import (
    APIConnectionError,
    APITimeoutError,
    ClientClosedError,
    InvalidRequestError,
    NotFoundResponseError,
    OpenRouterError,
    TooManyRequestsResponseError,
    ambiguous_class,
)
from openrouter_async.models import DeleteKeysResponse, External
from openrouter_async.secret import Secret

if TYPE_CHECKING:
    from openrouter_async._caller import Throttle
    from openrouter_async._shared import Shared

In = TypeVar("In")
Out = TypeVar("Out")
_LOG: Final = logging.getLogger("openrouter_async")


class Call(Generic[In, Out]):
    """One call of an operation, from its first attempt to its result or error."""

    def __init__(  # noqa: PLR0917  # as the client calls it, which says why
        self,
        shared: Shared,
        operation: Operation[In, Out],
        params: In,
        settings: Settings,
        key: Secret | None,
        throttle: Throttle | None,
    ) -> None:
        self._shared = shared
        self._throttle = throttle
        """The bounds of the bulk run that the call is part of; None: a single call."""
        self._key = key
        """The key to send; None: the caller's function is asked before each attempt."""
        self._clock = shared.clock
        self._is_create = operation.retry is RetryClass.CREATE
        self._operation = operation
        self._params = params
        self._settings = settings
        self._request = _composed(operation, params)
        self._partner_keys = _secrets_in(params) if self._is_create else ()
        self._secrets = self._partner_keys
        """What the latest attempt has sent, which must not come back in any text."""
        self._began_at = time.time()
        self._deadline = shared.clock.time() + settings.total_timeout
        self._attempts = 0
        self._free_attempts = 0
        """Attempts of bulk work that ended in 429, which do not count."""
        self._waited = 0.0
        """Seconds that bulk work has waited for the service's rate limit."""
        self._maybe_done = False
        """Whether an earlier attempt may have carried out the operation."""

    async def run(self) -> Out:
        """Make the call; raises an `OpenRouterError` without a cause or context."""
        try:
            result = await self._attempt()
        except AttemptError as failure:
            failed = failure.with_traceback(None)
        else:
            budget = self._shared.budget
            if budget.tokens < budget.CAPACITY:
                budget.give_back()
            return result
        wait = self._wait_before_next(failed)
        if wait is not None:
            try:
                return await self._repeat(failed, wait)
            except AttemptError as failure:
                failed = failure.with_traceback(None)
        try:
            raise self._error_for(failed)
        finally:
            del failed  # its error's traceback would lead to this frame, and back to the error

    async def _attempt(self) -> Out:
        """Make one attempt; raises `AttemptError`."""
        shared, pacer = self._shared, self._shared.pacer
        observed = shared.on_attempt is not None or _LOG.isEnabledFor(logging.DEBUG)
        attempt = Attempt()
        in_doubt = self._is_create
        try:
            if self._throttle is not None or pacer.active:
                await self._await_turn()
            self._attempts += 1
            began = self._clock.time()
            try:
                response = await self._exchange(attempt)
                result = self._read(response)
            except AttemptError as failure:
                self._learn_from(failure, began)
                in_doubt = failure.verdict is Verdict.AMBIGUOUS
                if observed:
                    outcome = failure.error.status_code or type(failure.error)
                    await self._report(outcome, began, failure.response)
                raise
            if pacer.active:
                pacer.accepted(began)
            else:
                pacer.recent.append(began)
            if observed:
                await self._report(response.status, began, response)
        except AttemptError:
            raise
        except BaseException as interruption:
            if self._is_create:
                self._note_whether_sent(interruption, sent=in_doubt and attempt.sent)
            raise
        return result

    async def _await_turn(self) -> None:
        """Wait until the bulk run's rate and the client's pace allow another request.

        Of bulk work, only one request waits at a time, so that single calls get their turn in
        between. Its waits do not count toward its `total_timeout`.
        """
        began = self._clock.time()
        gate: AbstractAsyncContextManager[object] = nullcontext()
        if self._throttle is not None:
            gate = self._shared.pacer.bulk_gate
            with suppress(TimeoutError), Deadline(self._shared.deadlines, math.inf):
                await self._throttle.begin_request()
            self._deadline += self._clock.time() - began
        if self._shared.pacer.active and self._settings.retries.strategy != "none":
            began = self._clock.time()
            async with gate:
                await self._take_slot(began)
            if self._throttle is not None:
                self._add_wait(self._clock.time() - began)
        if self._throttle is not None:
            self._throttle.requests += 1

    async def _take_slot(self, queued: float) -> None:
        """Wait for a slot of the client's pace; fail at once if there is none soon enough."""
        shared, throttle = self._shared, self._throttle
        pacer = shared.pacer
        while pacer.active and not shared.transport.closed:
            now = self._clock.time()
            patience = self._time_left()
            if throttle is not None:
                patience = throttle.max_wait - self._waited - (now - queued)
            slot = pacer.reserve(patience)
            if slot is None:
                raise self._no_room(pacer.paused_until - now)
            wait = slot - self._clock.time()
            if wait <= 0:
                return
            if throttle is not None:
                await throttle.notify_observer(pacer)
            await self._sleep(wait)
            if pacer.still_holds(slot):
                return

    def _no_room(self, pause: float) -> TooManyRequestsResponseError:
        limit = "before this call's deadline" if self._throttle is None else "within max_wait"
        return TooManyRequestsResponseError(
            f"not sent: the service's rate limit leaves no room {limit}",
            operation=self._operation.name,
            attempts=self._attempts,
            status_code=HTTPStatus.TOO_MANY_REQUESTS.value,
            retry_after=max(pause, 0.0),
        )

    async def _exchange(self, attempt: Attempt) -> Response:
        """Send the request once there is a slot; raises `AttemptError` if there is no response."""
        shared, settings = self._shared, self._settings
        time_left = self._deadline - self._clock.time()
        deadline = Deadline(shared.deadlines, time_left, attempt)
        try:
            with deadline:
                if not shared.slots.take_if_free():
                    await shared.slots.take()  # queueing counts toward total_timeout only
                try:
                    deadline.shorten(settings.timeout)
                    key = self._key
                    if key is None:
                        key = await shared.ask_for_key()
                        deadline.check()  # the caller's function may have ignored its end
                    attempt.key = key
                    self._secrets = (key, *self._partner_keys)
                    return await shared.transport.send(
                        self._request,
                        attempt,
                        base_url=settings.base_url,
                        headers=settings.headers,
                        fresh=self._is_create,
                    )
                finally:
                    shared.slots.give_back()
        except TimeoutError:
            if not deadline.expired:  # raised by the caller's own function for the key
                raise
            failure = self._timed_out(sent=attempt.sent)
        except SendError as error:
            failure = self._failure(APIConnectionError(str(error)), error.condition)
            error.__traceback__ = None  # its frames refer to the error
        raise failure

    def _timed_out(self, *, sent: bool) -> AttemptError:
        what = "no response" if sent else "no connection"
        within = f"the total_timeout of {self._settings.total_timeout:g} s"
        if self._time_left() > 0:
            within = f"the timeout of {self._settings.timeout:g} s"
        return self._failure(
            APITimeoutError(f"{what} within {within}"),
            Condition.NO_RESPONSE if sent else Condition.REFUSED,
        )

    def _read(self, response: Response) -> Out:
        """Convert a response to the result; raises `AttemptError`."""
        try:
            return interpret(self._operation, response, *self._secrets, request=self._request)
        except OpenRouterError as error:
            failure = self._failure(error.with_traceback(None), condition_of(response), response)
        gone = isinstance(failure.error, NotFoundResponseError)
        if gone and self._maybe_done and self._operation.retry is RetryClass.DELETE:
            return cast("Out", DeleteKeysResponse(already_gone=True))
        raise failure

    def _failure(
        self, error: OpenRouterError, condition: Condition, response: Response | None = None
    ) -> AttemptError:
        """Wrap the error, or report `ClientClosedError` if the client was closed meanwhile."""
        if self._shared.transport.closed and condition in _CUT_SHORT:
            error = ClientClosedError("the client was closed during the call")
        return AttemptError(error, condition, response)

    def _learn_from(self, failure: AttemptError, began: float) -> None:
        failure.verdict = verdict(failure, self._operation.retry, self._settings.retries)
        self._maybe_done = self._maybe_done or failure.may_have_arrived
        if failure.condition is Condition.THROTTLED:
            asked = failure.error.retry_after or 0.0
            self._shared.pacer.throttled(began, min(asked, self._longest_pause))
            self._free_attempts += self._throttle is not None
        elif failure.response is not None:
            self._shared.pacer.accepted(began)

    @property
    def _longest_pause(self) -> float:
        """The longest `Retry-After` to wait out, in seconds."""
        if self._throttle is not None:
            return self._throttle.max_wait
        return self._settings.retries.max_retry_after

    async def _repeat(self, first: AttemptError, wait: float) -> Out:
        """Retry, by tenacity, while that is safe; raises the last `AttemptError`."""
        waits = [(first, wait)]

        def is_repeated(error: BaseException) -> bool:
            if not isinstance(error, AttemptError):
                return False
            error.__traceback__ = None  # it leads through tenacity back to the error
            next_wait = self._wait_before_next(error)
            waits[:] = [] if next_wait is None else [(error, next_wait)]
            return next_wait is not None

        async def sleep(_: float) -> None:
            try:
                await self._back_off(*waits[0])
            except asyncio.CancelledError as interruption:
                if self._is_create:
                    self._note_whether_sent(interruption, sent=False)
                raise

        await sleep(wait)
        try:
            return await tenacity.AsyncRetrying(
                sleep=sleep,
                retry=tenacity.retry_if_exception(is_repeated),
                reraise=True,
            )(self._attempt)
        finally:
            waits.clear()  # tenacity's object refers to itself and to both functions
            del first

    async def _back_off(self, failure: AttemptError, seconds: float) -> None:
        """Wait before the next attempt; bulk work's waits after a 429 extend its deadline."""
        if self._throttle is None or failure.condition is not Condition.THROTTLED:
            await self._sleep(seconds)
            return
        began = self._clock.time()
        await self._throttle.notify_observer(self._shared.pacer)
        await self._sleep(seconds)
        self._add_wait(self._clock.time() - began)

    def _add_wait(self, seconds: float) -> None:
        """Record how long bulk work has waited for the service's rate limit."""
        self._waited += seconds
        self._deadline += seconds

    async def _sleep(self, seconds: float) -> None:
        """Wait, but no longer than the client is open: the next attempt then reports that."""
        with suppress(TimeoutError), Deadline(self._shared.deadlines, math.inf):
            await self._clock.sleep(seconds)

    def _wait_before_next(self, failure: AttemptError) -> float | None:  # noqa: PLR0911  # one for each reason
        """Return the seconds until the next attempt, or None if there is to be none."""
        if self._shared.transport.closed or failure.verdict not in _AGAIN:
            return None
        retries = self._settings.retries
        most = _TWICE if failure.verdict is Verdict.ONCE_MORE else retries.max_attempts
        counted = self._attempts - self._free_attempts
        if counted >= min(most, retries.max_attempts):
            return None
        asked = failure.error.retry_after
        throttled = failure.condition is Condition.THROTTLED
        number = self._attempts if throttled and asked is None else max(1, counted)
        pause = self._shared.pacer.paused_until - self._clock.time()
        wait = max(back_off(retries, number, self._clock), asked or 0.0, pause)
        if throttled and self._throttle is not None:
            return wait if self._waited + wait <= self._throttle.max_wait else None
        if (asked or 0.0) > retries.max_retry_after or wait >= self._time_left():
            return None
        if throttled and asked is not None:
            return wait  # Retry-After is obeyed, and costs no budget
        if not self._shared.budget.take(failure.condition):
            failure.error.message += "; not retried: the client's retry budget is empty"
            return None
        return wait

    def _error_for(self, failure: AttemptError) -> OpenRouterError:
        """Complete the error that is raised to the caller."""
        error = failure.error
        if failure.verdict is Verdict.AMBIGUOUS:
            params = cast("CreateKeys", self._params)
            error = ambiguous_class(error)(
                f"{error.message}; whether a key was made is unknown",
                **{fact: value for fact, value in vars(error).items() if fact != "message"},
                name=params.name,
                workspace_id=str(params.workspace_id) if params.workspace_id else None,
                not_before=datetime.fromtimestamp(self._began_at, UTC),
                not_after=datetime.now(UTC),
                hash=hash_seen_in(failure.response.body) if failure.response else None,
            )
        error.operation = self._operation.name
        error.attempts = self._attempts
        return error

    def _time_left(self) -> float:
        return self._deadline - self._clock.time()

    async def _report(
        self, outcome: int | type[OpenRouterError], began: float, response: Response | None
    ) -> None:
        """Report an attempt to the log and the caller's observer, without headers and bodies."""
        seconds = self._clock.time() - began
        name, attempt = self._operation.name, self._attempts
        with suppress(Exception):  # the caller's handlers must not cost them the result
            _LOG.debug(
                "%s %s (%s): attempt %d, %s, %.0f ms, request %s",
                self._request.method, self._request.route, name, attempt,
                outcome if isinstance(outcome, int) else outcome.__name__, seconds * 1000,
                request_id(response, *self._secrets) if response else None,
            )  # fmt: skip
        await self._shared.notify_observer(name, attempt, outcome, seconds)

    def _note_whether_sent(self, interruption: BaseException, *, sent: bool) -> None:
        """Record on an interruption of a create whether there can be a key."""
        vars(interruption)["sent"] = sent
        if not sent:
            return
        moment = datetime.now(UTC).isoformat(timespec="seconds")
        note = f"a create was interrupted at {moment} and may have made a key"
        interruption.add_note(f"{note} named {cast('CreateKeys', self._params).name!r}")
        with suppress(Exception):  # the caller's handlers must not replace the interruption
            _LOG.warning("%s", note)


_CUT_SHORT: Final = {Condition.REFUSED, Condition.NO_RESPONSE, Condition.TRUNCATED}
_AGAIN: Final = {Verdict.RETRY, Verdict.ONCE_MORE}
_TWICE: Final = 2


def _secrets_in(params: object) -> tuple[Secret, ...]:
    """Return the partner's key in the parameters of a create, since no error may show it."""
    external = getattr(params, "external", None)
    key: object = None
    if isinstance(external, External):
        key = external.api_key
    elif isinstance(external, Mapping):
        key = external.get("api_key")
    return (Secret(key),) if isinstance(key, (str, Secret)) else ()


def _composed(operation: Operation[In, Any], params: In) -> Request:
    try:
        return compose(operation, params)
    except InvalidRequestError as error:
        refusal = error.with_traceback(None)  # its frames have a partner's key in plain text
    refusal.operation = operation.name
    raise refusal
