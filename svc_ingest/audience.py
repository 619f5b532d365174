"""Who may see what, asked of svc_graph once for all that a page may show."""

from collections.abc import Iterable, Mapping, Sequence

from chassis.errors import FailedPrecondition, NotFound

from domain.visibility import (
    PostFacts,
    Relation,
    UserState,
    Visibility,
    can_view,
)

from .model import PostId, Record, UserId
from .ports import Graph, StoredPosts


def post_not_found() -> NotFound:
    """The one answer for a post that is missing and for one that is hidden."""
    return NotFound("POST_NOT_FOUND")


class Onlooker:
    """One caller during one call: what they may see, each person asked for once."""

    def __init__(self, *, viewer: UserId, graph: Graph) -> None:
        self.viewer = viewer
        self._graph = graph
        self._known: dict[UserId, Relation] = {}

    async def learn(self, people: Iterable[UserId]) -> Mapping[UserId, Relation]:
        """Relations to these people and all learnt before; one call for the new."""
        new = sorted(set(people) - self._known.keys())
        if new:
            self._known.update(await self._graph.relations(self.viewer, new))
        return self._known

    async def posts(self, records: Sequence[Record]) -> list[Record]:
        """Those of the posts that the viewer may see, in their order."""
        people = {record.post.author_id for record in records} | {
            UserId(record.original.author_id)
            for record in records
            if record.original is not None
        }
        # Own posts need no relation.
        known = await self.learn(people - {self.viewer})
        return [record for record in records if self._may_see(record, known)]

    def _may_see(self, record: Record, known: Mapping[UserId, Relation]) -> bool:
        original = None
        if record.original is not None:
            author = UserId(record.original.author_id)
            original = (record.original, known.get(author))
        return can_view(
            self.viewer,
            record.post.facts,
            known.get(record.post.author_id),
            original=original,
        )

    async def people(self, people: Iterable[UserId]) -> set[UserId]:
        """Those who are neither gone nor blocked either way. One is one's own."""
        wanted = set(people)
        known = await self.learn(wanted - {self.viewer})
        return {
            person
            for person in wanted
            if person == self.viewer or is_visible(known[person])
        }


class Audience:
    """Finds posts for a viewer: hidden and missing ones fail alike."""

    def __init__(self, *, posts: StoredPosts, graph: Graph) -> None:
        self._posts = posts
        self._graph = graph

    def onlooker(self, viewer: UserId) -> Onlooker:
        """The viewer, before anything is known of them."""
        return Onlooker(viewer=viewer, graph=self._graph)

    async def find(
        self, viewer: UserId, post_id: PostId, *, onlooker: Onlooker | None = None
    ) -> Record:
        """The post if the viewer may see it. Raises NotFound POST_NOT_FOUND."""
        onlooker = onlooker or self.onlooker(viewer)
        record = (await self._posts.find([post_id], viewer=viewer)).get(post_id)
        if record is None:
            # As much work as for a hidden one: time would tell the two apart.
            await onlooker.learn([viewer or UserId(1)])
            raise post_not_found()
        if not await onlooker.posts([record]):
            raise post_not_found()
        return record

    async def shareable(self, viewer: UserId, post_id: PostId) -> PostFacts:
        """The post that a share or quote of post_id is of: of a share, its original.

        Raises NotFound as find does, and FailedPrecondition POST_NOT_SHAREABLE
        when not everybody may see it.
        """
        onlooker = self.onlooker(viewer)
        record = await self.find(viewer, post_id, onlooker=onlooker)
        facts = record.original or record.post.facts
        author = UserId(facts.author_id)
        # Own posts too: those of a private account are not for everybody.
        relation = (await onlooker.learn([author]))[author]
        if relation.is_private or facts.visibility != Visibility.PUBLIC:
            raise FailedPrecondition("POST_NOT_SHAREABLE")
        return facts


def is_visible(relation: Relation) -> bool:
    """Whether a person may be shown by name: their posts follow rules of their own."""
    return (
        relation.state == UserState.ACTIVE
        and not relation.is_blocking
        and not relation.is_blocked_by
    )
