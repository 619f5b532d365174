"""Home feeds against a model, under whatever people do and whatever breaks.

A state machine draws what happens. MODEL_EXAMPLES and MODEL_STEPS
set how much of it, MODEL_SEED draws anew; without them it is a minute of the
same every time.
"""

import ast
import asyncio
import os
import sys
from collections.abc import Coroutine, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, ClassVar

import httpx
import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests.support import reference
from tests.support.caches import VALKEY
from tests.support.mesh import Mesh, running_mesh
from tests.support.reference import FOLLOWERS, FRIENDS, PRIVATE, PUBLIC
from tests.support.town import Town
from tests.support.town_reads import LATEST, RANKED

EXAMPLES = int(os.environ.get("MODEL_EXAMPLES", "20"))
STEPS = int(os.environ.get("MODEL_STEPS", "50"))
SEED = os.environ.get("MODEL_SEED")
# Whether things also die under work: what they held comes again half a minute later.
IS_LONG = EXAMPLES > 50

MODEL_LINES = 300
PEOPLE = ("ann", "ben", "cat", "dan", "eve", "fay")
# A window so small that sessions go on behind it.
ENVIRONMENT = {"FEEDMESH_FEED_RANK_CANDIDATES": "8"}
SESSIONS = 4
# Neither end of what is drawn, which would be drawn too often.
RARE = 13
# The program, and not the connections of Postgres that are named after its database.
FEED = "-m svc_feed"

people = st.sampled_from(PEOPLE)
visibilities = st.sampled_from((PUBLIC, PUBLIC, FOLLOWERS, FRIENDS, PRIVATE))
orders = st.sampled_from((LATEST, RANKED))
sizes = st.integers(1, 12)
# The how-manieth newest post.
places = st.integers(0, 30)
switches = st.booleans()


class Stage:
    """The loop in which all of it happens, and the mesh in it."""

    def __init__(self, runner: asyncio.Runner, data: Path) -> None:
        self._runner = runner
        self._data = data
        self._stack = AsyncExitStack()
        self.mesh: Mesh
        self.client: httpx.AsyncClient

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self._runner.run(work)

    async def open(self) -> None:
        running = running_mesh(self._data, "--no-seed", env=ENVIRONMENT)
        self.mesh = await self._stack.enter_async_context(running)
        self.client = await self._stack.enter_async_context(self.mesh.client())

    async def close(self) -> None:
        await self._stack.aclose()


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A mesh of this module's own: its parts are killed."""
    with asyncio.Runner() as runner:
        stage = Stage(runner, tmp_path_factory.mktemp("machine"))
        try:
            stage.run(stage.open())
            yield stage
        finally:
            stage.run(stage.close())


class FeedMachine(RuleBasedStateMachine):
    """What may happen. Everybody is new in each example; the mesh stays."""

    stage: ClassVar[Stage]
    failures: ClassVar[list[BaseException]]

    def __init__(self) -> None:
        super().__init__()
        self.town = Town(mesh=self.stage.mesh, client=self.stage.client)
        self.has_failed = False

    def do(self, work: Coroutine[Any, Any, Any]) -> Any:
        try:
            return self.stage.run(work)
        except BaseException as error:
            self.has_failed = True
            error.add_note("\n".join(self.town.trail[-60:]))
            self.failures.append(error)
            raise

    @initialize(is_dense=switches)
    def begin(self, is_dense: bool) -> None:
        """Some follow each other, and there is something to read."""

        async def begun() -> None:
            await self.town.meet(*PEOPLE)
            for at, who in enumerate(PEOPLE):
                count = len(PEOPLE) if is_dense else 3
                for whom in (PEOPLE + PEOPLE)[at + 1 : at + count]:
                    await self.town.edge("follow", who, whom)
                await self.town.post(who)
                await self.town.post(who, visibility=FRIENDS)
            await self.town.come_to_rest()

        self.do(begun())

    def edge(self, act: str, who: str, whom: str) -> None:
        """And what the two see of it at once."""
        if who == whom:
            return

        async def done() -> None:
            await self.town.edge(act, who, whom)
            for viewer in (who, whom):
                await self.town.crawl(viewer, LATEST)

        self.do(done())

    def chosen(self, place: int) -> int:
        posts = sorted(self.town.model.posts)
        return posts[-1 - place % len(posts)]

    @rule(who=people, whom=people)
    def follow(self, who: str, whom: str) -> None:
        self.edge("follow", who, whom)

    @rule(who=people, whom=people, again=switches)
    def unfollow(self, who: str, whom: str, again: bool) -> None:
        self.edge("unfollow", who, whom)
        if again:
            self.edge("follow", who, whom)

    @rule(who=people, whom=people, again=switches)
    def block(self, who: str, whom: str, again: bool) -> None:
        self.edge("block", who, whom)
        if again:
            self.edge("unblock", who, whom)
            self.edge("follow", who, whom)

    @rule(who=people, whom=people)
    def unblock(self, who: str, whom: str) -> None:
        self.edge("unblock", who, whom)

    @rule(who=people, whom=people)
    def mute(self, who: str, whom: str) -> None:
        self.edge("mute", who, whom)

    @rule(who=people, whom=people)
    def unmute(self, who: str, whom: str) -> None:
        self.edge("unmute", who, whom)

    @rule(who=people, is_private=switches)
    def set_private(self, who: str, is_private: bool) -> None:
        self.do(self.town.set_private(who, is_private=is_private))

    @precondition(lambda self: self.town.model.requests)
    @rule(place=places, is_welcome=switches)
    def decide(self, place: int, is_welcome: bool) -> None:
        """Over somebody who asks to follow."""
        requests = sorted(self.town.model.requests)
        asking, who = requests[place % len(requests)]
        self.edge("approve" if is_welcome else "deny", who, asking)

    @rule(who=people, visibility=visibilities)
    def post(self, who: str, visibility: str) -> None:
        self.do(self.town.post(who, visibility=visibility))

    @rule(who=people, count=st.sampled_from((10, 20, 60)))
    def flood(self, who: str, count: int) -> None:
        if len(self.town.model.posts) < 150:
            self.do(self.town.flood(who, count))

    @precondition(lambda self: self.town.model.posts)
    @rule(who=people, place=places, act=st.sampled_from(("share", "quote", "reply")))
    def refer(self, who: str, place: int, act: str) -> None:
        post_id = self.chosen(place)
        if act == "share":
            self.do(self.town.share(who, post_id))
        elif act == "quote":
            self.do(self.town.post(who, quote_of=post_id))
        else:
            self.do(self.town.post(who, reply_to=post_id))

    @precondition(lambda self: self.town.model.posts)
    @rule(who=people, place=places)
    def unshare(self, who: str, place: int) -> None:
        self.do(self.town.unshare(who, self.chosen(place)))

    @precondition(lambda self: self.town.model.posts)
    @rule(place=places, visibility=visibilities)
    def edit(self, place: int, visibility: str) -> None:
        self.do(self.town.edit(self.chosen(place), visibility))

    @precondition(lambda self: self.town.model.posts)
    @rule(place=places)
    def delete(self, place: int) -> None:
        self.do(self.town.delete(self.chosen(place)))

    @precondition(lambda self: self.town.model.posts)
    @rule(who=people, place=places, is_liked=switches)
    def like(self, who: str, place: int, is_liked: bool) -> None:
        self.do(self.town.like(who, self.chosen(place), is_liked=is_liked))

    @rule(who=people, order=orders, size=sizes, refresh=switches)
    def open(self, who: str, order: str, size: int, refresh: bool) -> None:
        """A session, which goes on some other time."""
        session = self.do(self.town.open(who, order, size, refresh=refresh))
        if session.token:
            self.town.sessions.append(session)
        while len(self.town.sessions) > SESSIONS:
            self.do(self.town.read_out(self.town.sessions.pop(0)))

    @rule(place=places)
    def go_on(self, place: int) -> None:
        # No precondition: how long a session lasts is the mesh's to say, and what is
        # drawn must not hang on it.
        if not self.town.sessions:
            return
        session = self.town.sessions[place % len(self.town.sessions)]
        self.do(self.town.go_on(session))
        if not session.token:
            self.town.sessions.remove(session)

    @rule(who=people)
    def count(self, who: str) -> None:
        self.do(self.town.count(who))

    @precondition(lambda self: self.town.model.posts)
    @rule(who=people, whom=people, place=places)
    def look(self, who: str, whom: str, place: int) -> None:
        self.do(self.town.look(who, self.chosen(place)))
        self.do(self.town.list_of(who, whom))

    @rule()
    def lose_cache(self) -> None:
        self.do(self.town.flush())

    @rule(is_now=st.sampled_from((True, False, False)))
    def crash(self, is_now: bool) -> None:
        if is_now:
            self.do(self.town.kill(VALKEY))

    @rule(one_in=st.integers(1, 25))
    def crash_feed(self, one_in: int) -> None:
        """Seldom: who dies often is started again late."""
        if one_in != RARE:
            return
        if not IS_LONG:
            self.rest()
        self.do(self.town.kill(FEED))

    @rule()
    def rest(self) -> None:
        self.do(self.town.come_to_rest())

    def teardown(self) -> None:
        if self.has_failed or not self.town.model.people:
            return
        for session in self.town.sessions:
            self.do(self.town.read_out(session))
        self.rest()


def test_feeds_are_those_of_the_model(stage: Stage) -> None:
    """No leak, no repeat, no gap, full pages; and in the end the very same posts."""
    FeedMachine.stage, FeedMachine.failures = stage, []
    machine = seed(int(SEED))(FeedMachine) if SEED else FeedMachine
    try:
        run_machine(machine)
    except Exception:
        # Run again, the example may end otherwise, and only that would be told.
        if not FeedMachine.failures:
            raise
        raise FeedMachine.failures[0] from None


def run_machine(machine: type[RuleBasedStateMachine]) -> None:
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            derandomize=not SEED,
            database=None,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            # Smaller examples would take long to find, and need not fail again.
            phases=[Phase.generate],
            print_blob=False,
        ),
    )


async def town_of(stage: Stage, *names: str) -> Town:
    town = Town(mesh=stage.mesh, client=stage.client)
    await town.meet(*names)
    return town


def test_an_unmute_shows_all_at_once(stage: Stage) -> None:
    """A mute hides at reading only: what was posted meanwhile was placed."""

    async def story() -> None:
        town = await town_of(stage, "ann", "ben")
        await town.edge("follow", "ann", "ben")
        await town.post("ben")
        await town.edge("mute", "ann", "ben")
        await town.flood("ben", 60)
        await town.come_to_rest()
        assert await town.crawl("ann", LATEST) == []

        await town.edge("unmute", "ann", "ben")

        assert len(await town.crawl("ann", LATEST)) == 61

    stage.run(story())


def test_a_refollow_ends_right(stage: Stage) -> None:
    """However fast: what is recent is back, and nothing is there twice."""

    async def story() -> None:
        town = await town_of(stage, "ann", "ben")
        await town.edge("follow", "ann", "ben")
        await town.flood("ben", 30)
        await town.come_to_rest()
        for _ in range(10):
            await town.edge("unfollow", "ann", "ben")
            assert await town.crawl("ann", LATEST) == []
            await town.edge("follow", "ann", "ben")
        await town.come_to_rest()

        assert len(await town.crawl("ann", LATEST)) == 30

    stage.run(story())


def test_the_model_is_small_and_shares_no_code() -> None:
    """It can be read in one sitting, and does not repeat a mistake of the product."""
    text = Path(reference.__file__).read_text()
    imported = {
        name.split(".")[0]
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
        )
    }

    assert len(text.splitlines()) < MODEL_LINES
    assert imported <= sys.stdlib_module_names
