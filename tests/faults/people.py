"""People who use the mesh over HTTP and have everything they do written down."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx

from chassis.testing import eventually

from tests.faults.facts import answer_facts, error_facts, outcome_of
from tests.faults.history import Facts, History, Operation, Outcome
from tests.support.people import PASSWORD

# Longer than the gateway may take for any call: who waits so long got no answer.
PATIENCE = 5.0
# Between two tries of an operation whose outcome is not known.
PAUSE = (0.2, 1.0)
# How long one operation is tried; longer than any fault lasts.
TRY_SECONDS = 120.0


@dataclass
class Person:
    """One person, signed in."""

    name: str
    user_id: int
    token: str
    client: httpx.AsyncClient
    history: History
    dice: random.Random
    following: set[int] = field(default_factory=set)
    muting: set[int] = field(default_factory=set)
    blocking: set[int] = field(default_factory=set)
    # Newest last; without those that were deleted.
    posts: list[int] = field(default_factory=list)
    numbers: int = 0

    def key(self) -> str:
        """A fresh idempotency key, which is also the text of what is posted."""
        self.numbers += 1
        return f"{self.name}-{self.numbers}"

    async def once(
        self,
        op: str,
        args: Facts,
        method: str,
        path: str,
        *,
        body: Mapping[str, object] | None = None,
        params: Mapping[str, Any] | None = None,
        key: str = "",
    ) -> tuple[Operation, dict[str, Any]]:
        """One try, written down; and the document that was answered."""
        headers = {"authorization": f"Bearer {self.token}"}
        if key:
            headers["idempotency-key"] = key
        begin = self.history.now()
        document: dict[str, Any] = {}
        facts: Facts
        try:
            async with asyncio.timeout(PATIENCE):
                answer = await self.client.request(
                    method, f"/v1{path}", headers=headers, json=body, params=params
                )
            status = answer.status_code
            document = answer.json() if answer.content else {}
        except (httpx.TransportError, TimeoutError, ValueError) as error:
            status, facts = 0, {"error": type(error).__name__}
            refused = isinstance(error, httpx.ConnectError)
            outcome = Outcome.FAIL if refused else Outcome.UNKNOWN
        except asyncio.CancelledError:
            # Given up by us: it may have happened all the same.
            self.history.add(
                self.name,
                op,
                {**args, "me": self.user_id},
                begin=begin,
                outcome=Outcome.UNKNOWN,
            )
            raise
        else:
            outcome = outcome_of(method, status)
            facts = (
                error_facts(document) if status >= 400 else answer_facts(op, document)
            )
        done = self.history.add(
            self.name,
            op,
            {**args, "me": self.user_id},
            begin=begin,
            outcome=outcome,
            answer={"status": status, **facts},
        )
        return done, document

    async def surely(
        self,
        op: str,
        args: Facts,
        method: str,
        path: str,
        *,
        body: Mapping[str, object] | None = None,
    ) -> Operation:
        """Tries with the same key until it is known what came of it."""
        key = self.key()
        args = {**args, "key": key}
        if op == "post":
            body = {**(body or {}), "text": key}
        began = self.history.now()
        while True:
            done, _ = await self.once(op, args, method, path, body=body, key=key)
            known = done.outcome is not Outcome.UNKNOWN and done.answer["status"]
            if known or self.history.now() - began > TRY_SECONDS:
                return done
            await asyncio.sleep(self.dice.uniform(*PAUSE))


async def sign_up(
    client: httpx.AsyncClient, history: History, name: str, dice: random.Random
) -> Person:
    """A new person. The mesh may still be warming up."""
    credentials = {"handle": name, "password": PASSWORD}

    async def session_of() -> dict[str, str]:
        # Refused when an earlier try came through.
        await client.post("/v1/users", json=credentials)
        answer = await client.post("/v1/sessions", json=credentials)
        assert answer.status_code == 201, answer.text
        return dict(answer.json()["session"])

    session = await eventually(session_of, timeout=30)
    return Person(
        name=name,
        user_id=int(session["userId"]),
        token=session["accessToken"],
        client=client,
        history=history,
        dice=dice,
    )
