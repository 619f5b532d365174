"""Whether calls should be sent here: asked of what the service needs."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import structlog

from chassis.health import Health

Check: TypeAlias = Callable[[], Awaitable[None]]

CHECK_TIMEOUT = 1.0
INTERVAL = 1.0

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Report:
    """What a round of checks found."""

    is_ready: bool
    failures: Mapping[str, str]
    """What is wrong, by check; the kind of error only, as anybody may read it."""

    names: tuple[str, ...]

    def lines(self) -> str:
        """One line for each check, as people read it."""
        rows = [
            f"[-] {name}: {self.failures[name]}"
            if name in self.failures
            else f"[+] {name}: ok"
            for name in self.names
        ]
        return "\n".join([*rows, "ready" if self.is_ready else "not ready"])


class Readiness:
    """All of some checks and any of others must pass; reports are only shown."""

    def __init__(
        self,
        *,
        requires_all: Mapping[str, Check],
        requires_any: Mapping[str, Check],
        reports: Mapping[str, Check],
    ) -> None:
        self._all = requires_all
        self._any = requires_any
        self._checks = {**requires_all, **requires_any, **reports}
        self._is_draining = False
        self._was_ready: bool | None = None

    async def check(self) -> Report:
        """Runs every check now, side by side, each for a second at most."""
        outcomes = await asyncio.gather(
            *(self._outcome(check) for check in self._checks.values())
        )
        failures = {
            name: outcome
            for name, outcome in zip(self._checks, outcomes, strict=True)
            if outcome is not None
        }
        is_ready = (
            not self._is_draining
            and not failures.keys() & self._all.keys()
            and (not self._any or bool(self._any.keys() - failures.keys()))
        )
        return Report(is_ready, failures, tuple(self._checks))

    def drain(self) -> None:
        """Not ready from now on."""
        self._is_draining = True

    async def watch(self, health: Health | None) -> None:
        """Checks every second, tells the health service and logs what changes."""
        while True:
            report = await self.check()
            if health is not None:
                await health.report(is_ready=report.is_ready)
            if report.is_ready != self._was_ready and not self._is_draining:
                self._was_ready = report.is_ready
                if report.is_ready:
                    log.info("ready")
                else:
                    log.warning("not ready", failures=dict(report.failures))
            await asyncio.sleep(INTERVAL)

    async def _outcome(self, check: Check) -> str | None:
        try:
            async with asyncio.timeout(CHECK_TIMEOUT):
                await check()
        except Exception as error:  # noqa: BLE001 - any failure is an answer here
            return type(error).__name__
        return None
