"""Errors to statuses: the only place that aborts a call."""

import asyncio
from collections.abc import Iterator
from typing import Any, NoReturn

import structlog
from grpc import StatusCode
from grpc.aio import AbortError

from chassis import context
from chassis.errors import Internal, MeshError
from chassis.interceptors.base import Interceptor, Proceed, ServerCall
from chassis.policy import MethodPlan
from chassis.wire import DETAILS_KEY, to_status

_CODES = {code.value[0]: code for code in StatusCode}

# All that a caller learns of a fault of ours; its request id finds it in the logs.
FAULT = "something went wrong on our side"

log = structlog.get_logger()


class Errors(Interceptor):
    """Everything inside may simply raise."""

    def covers(self, plan: MethodPlan | None) -> bool:
        return True

    async def intercept(self, call: ServerCall, proceed: Proceed) -> Any:
        failure: MeshError
        try:
            return await proceed(call)
        except AbortError:
            # A servicer that is not ours (health) has answered by itself.
            call.status = _CODES[_number(call.context.code())].name
            raise
        except asyncio.CancelledError as error:
            # Nobody waits for the answer to a call that was cancelled; but one that
            # was not, and meets a cancelled task of ours, has to be answered.
            if _is_cancelling():
                raise
            failure = self._fault(call, error)
        except MeshError as error:
            failure = self._told(call, error)
        except BaseExceptionGroup as group:
            failure = self._of_group(call, group)
        except Exception as error:
            if _has_left(call):
                # The caller left, and the answer met a closed stream.
                log.info("call cancelled", method=call.path, cause=repr(error))
                raise asyncio.CancelledError from error
            failure = self._fault(call, error)
        return await _abort(call, failure)

    def _of_group(
        self, call: ServerCall, group: BaseExceptionGroup[BaseException]
    ) -> MeshError:
        """A group of a task group: what its tasks failed with, the first of them."""
        leaves = list(_leaves(group))
        if not all(isinstance(leaf, Exception) for leaf in leaves):
            raise group
        known = [leaf for leaf in leaves if isinstance(leaf, MeshError)]
        if len(known) < len(leaves):
            return self._fault(call, group)
        return self._told(call, known[0])

    def _told(self, call: ServerCall, error: MeshError) -> MeshError:
        if isinstance(error, Internal):
            return self._fault(call, error)
        # Health watches end with every connection; nobody wants to read of it.
        mild = log.debug if call.plan is None else log.info
        tell = log.error if error.is_ours else mild
        tell(
            "call refused",
            method=call.path,
            status=error.status,
            reason=error.reason,
            detail=error.message,
            cause=repr(error.__cause__) if error.__cause__ else None,
        )
        return error

    def _fault(self, call: ServerCall, error: BaseException) -> Internal:
        log.error("call failed", method=call.path, exc_info=error)
        return Internal(
            "INTERNAL", FAULT, metadata={"request_id": context.request_id()}
        )


def _has_left(call: ServerCall) -> bool:
    """Whether the caller is gone: grpc cancels our task, or has ended the call."""
    return _is_cancelling() or call.context.done()


def _is_cancelling() -> bool:
    task = asyncio.current_task()
    return task is None or bool(task.cancelling())


async def _abort(call: ServerCall, error: MeshError) -> NoReturn:
    call.status = error.status
    status = to_status(error)
    await call.context.abort(
        _CODES[error.code],
        status.message,
        trailing_metadata=((DETAILS_KEY, status.SerializeToString()),),
    )


def _leaves(group: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(error)
        else:
            yield error


def _number(code: StatusCode | int) -> int:
    """grpc.aio answers a number where its types promise a StatusCode."""
    return code if isinstance(code, int) else code.value[0]
