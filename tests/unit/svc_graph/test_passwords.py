"""Password hashes."""

import asyncio
import threading
from typing import Literal

import pytest
from argon2 import PasswordHasher

from svc_graph.passwords import open_passwords
from svc_graph.settings import GraphSettings

CHEAP = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)


class Counting(PasswordHasher):
    """Notes in which thread each password was verified."""

    def __init__(self) -> None:
        super().__init__(time_cost=1, memory_cost=64, parallelism=1)
        self.threads: list[str] = []

    def verify(
        self,
        hash: str | bytes,  # noqa: A002 - argon2's name
        password: str | bytes,
    ) -> Literal[True]:
        self.threads.append(threading.current_thread().name)
        return super().verify(hash, password)


async def test_only_the_password_fits() -> None:
    """Two hashes of it differ, and both fit."""
    async with open_passwords(CHEAP, threads=1) as passwords:
        one, two = await asyncio.gather(
            passwords.hash("secret one"), passwords.hash("secret one")
        )

        assert one != two
        assert await passwords.fits("secret one", one)
        assert not await passwords.fits("secret two", two)


@pytest.mark.parametrize("stored", [None, "", "not a hash"])
async def test_nothing_fits_nobody(stored: str | None) -> None:
    """No hash, or a broken one, is no way in."""
    async with open_passwords(CHEAP, threads=1) as passwords:
        assert not await passwords.fits("secret", stored)


async def test_nobody_costs_as_much_as_somebody() -> None:
    """One verification each, away from the event loop, so that times do not tell."""
    hasher = Counting()
    async with open_passwords(hasher, threads=2) as passwords:
        stored = await passwords.hash("secret")
        await passwords.fits("secret", stored)
        await passwords.fits("secret", None)

    assert len(hasher.threads) == 2
    assert all(name.startswith("argon2") for name in hasher.threads)


def test_production_costs_are_argon2s_own() -> None:
    """Unless told otherwise: 175 ms and 64 MiB a password."""
    settings = GraphSettings()

    assert settings.password_time_cost == 3
    assert settings.password_memory_kib == 65536
