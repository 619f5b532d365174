"""The main job on real input: follow graphs and an activity log, imported whole.

What the feeds hold is compared with a model that is fed with the ids that came back.
"""

import random
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass

import pytest
import pytest_asyncio

from feedmesh.feed.v1 import feed_pb2

from chassis.testing import eventually

from meshctl import datasets
from meshctl.connection import Connection, Place, connect_as_service
from meshctl.import_activity import ActivityImport, ImportedActivity
from meshctl.import_follows import ImportedFollows, import_follows
from meshctl.layout import Layout
from tests.support import world
from tests.support.feed_model import FeedModel
from tests.support.mesh import Mesh, running_mesh

# In the loop that the mesh was started in.
pytestmark = pytest.mark.asyncio(loop_scope="session")

READERS = 200
ACTIVITY_LINES = 20_000
PAGE = 50
CELEBRITY = "hg88"


@dataclass(frozen=True)
class Imported:
    """A mesh with the world in it, and the model of it."""

    mesh: Mesh
    connection: Connection
    world: world.World
    model: FeedModel
    ids: Mapping[str, int]
    dense: ImportedFollows
    sparse: ImportedFollows
    activity: ImportedActivity

    async def feed(self, reader: str, order: feed_pb2.Order.ValueType) -> list[int]:
        """All post ids of a reader's feed, page by page."""
        found: list[int] = []
        token = ""
        while True:
            page = await self.connection.feeds.GetHomeFeed(
                feed_pb2.GetHomeFeedRequest(
                    page_size=PAGE, page_token=token, order=order
                ),
                metadata=Connection.acting_as(self.ids[reader]),
            )
            found += [item.post.post_id for item in page.items]
            token = page.next_page_token
            if not token:
                assert page.end_reason == feed_pb2.END_REASON_COMPLETE
                return found
            assert len(page.items) == PAGE


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def imported(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Imported]:
    """Both graphs and 20,000 lines of activity, through the RPCs everyone uses."""
    found = world.real_world() or world.generate(tmp_path_factory.mktemp("world"))
    data = tmp_path_factory.mktemp("real")
    async with (
        running_mesh(data, "--no-seed") as mesh,
        connect_as_service(Place(Layout(data), mesh.offset)) as connection,
    ):
        dense = list(datasets.follows(found.follows, "fb"))
        sparse = list(datasets.follows_from_activity(found.activity, "hg"))
        dense_result, _ = await import_follows(dense, graph=connection.graph)
        sparse_result, ids = await import_follows(sparse, graph=connection.graph)

        run = ActivityImport(
            posts=connection.posts,
            act_as=Connection.acting_as,
            user_ids=ids,
            texts=datasets.texts(found.texts),
            on_action=lambda _: None,
        )
        actions = datasets.activity(found.activity, "hg", limit=ACTIVITY_LINES)
        activity = await run.run(actions)

        model = FeedModel()
        model.follow(dense)
        model.follow(sparse)
        for post_id, author, _ in activity.placed:
            model.place(post_id, author)
        yield Imported(
            mesh=mesh,
            connection=connection,
            world=found,
            model=model,
            ids=ids,
            dense=dense_result,
            sparse=sparse_result,
            activity=activity,
        )


def readers(imported: Imported) -> list[str]:
    """Readers with a feed, always the same; half of them follow the celebrity."""
    dice = random.Random(20_120_704)
    fans = dice.sample(imported.model.followers_of(CELEBRITY), READERS // 2)
    everyone = sorted(imported.model.following)
    others = [r for r in everyone if r.startswith("hg") and imported.model.latest(r)]
    return [*fans, *dice.sample(others, READERS - len(fans))]


async def test_the_graphs_are_there_whole(imported: Imported) -> None:
    """Every follow of the files is stored once."""
    if imported.world.is_real:
        assert imported.dense.follows == 176_468
        assert imported.sparse.follows == 461_192
        assert imported.sparse.people == 304_198
    assert imported.dense.new_follows == imported.dense.follows
    assert imported.sparse.new_follows == imported.sparse.follows


async def test_latest_feeds_are_what_the_model_says(imported: Imported) -> None:
    """200 readers, page by page: every post once, newest first, none missing."""
    for reader in readers(imported):

        async def agrees(reader: str = reader) -> None:
            feed = await imported.feed(reader, feed_pb2.ORDER_LATEST)
            assert feed == imported.model.latest(reader), reader

        # Fan-out of the last posts may be under way; after that nothing changes.
        await eventually(agrees, timeout=120)


async def test_ranked_feeds_hold_the_same_posts(imported: Imported) -> None:
    """Ranking changes the order and nothing else."""
    reordered = 0
    for reader in readers(imported):
        ranked = await imported.feed(reader, feed_pb2.ORDER_RANKED)
        latest = imported.model.latest(reader)

        assert sorted(ranked) == sorted(latest), reader
        reordered += ranked != latest

    assert reordered > 0


async def test_the_celebrity_is_pulled_not_pushed(imported: Imported) -> None:
    """Her posts are in nobody's index but her own, and in her followers' feeds."""
    celebrity = imported.ids[CELEBRITY]
    posts = imported.model.posts_of[CELEBRITY]
    rows = await imported.mesh.fetch(
        "svc_feed",
        "SELECT DISTINCT viewer_id FROM feed_entry WHERE author_id = $1",
        celebrity,
    )
    fan = next(f for f in imported.model.followers_of(CELEBRITY) if f in imported.ids)
    feed = await imported.feed(fan, feed_pb2.ORDER_LATEST)

    assert rows in ([], [celebrity])
    assert posts
    assert posts <= set(feed)


async def test_importing_again_changes_nothing(imported: Imported) -> None:
    """A run that was interrupted can be repeated: no line is done twice."""
    found = imported.world
    again = ActivityImport(
        posts=imported.connection.posts,
        act_as=Connection.acting_as,
        user_ids=imported.ids,
        texts=datasets.texts(found.texts),
        on_action=lambda _: None,
    )
    result = await again.run(datasets.activity(found.activity, "hg", limit=500))

    assert (result.posts, result.shares, result.comments) == (0, 0, 0)
    assert result.repeats > 0
