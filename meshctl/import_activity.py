"""`meshctl import activity`: what people did, replayed through the public RPCs.

A mention is a post that names somebody; a retweet shares, and a reply comments on,
the newest post of its target, who first writes one if there is none. Each author's
lines run in order, authors side by side. Every request id comes from the line, so
that a run that was interrupted can be repeated.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from feedmesh.ingest.v1 import post_pb2, post_pb2_grpc

from chassis.errors import Aborted

from .datasets import TEXT_LIMIT, Action, ActionKind
from .patience import patiently

# Lines under way at once.
IN_FLIGHT = 64

ActAs = Callable[[int], Sequence[tuple[str, str]]]


@dataclass
class ImportedActivity:
    """What an import came to, and the ids that came back."""

    posts: int = 0
    shares: int = 0
    comments: int = 0
    # Actions that an earlier run had done, or that changed nothing.
    repeats: int = 0
    # Every (post id, author handle, id of the shared post or 0) that was answered.
    placed: list[tuple[int, str, int]] = field(default_factory=list)


class ActivityImport:
    """One run over a list of actions."""

    def __init__(
        self,
        *,
        posts: post_pb2_grpc.PostServiceAsyncStub,
        act_as: ActAs,
        user_ids: Mapping[str, int],
        texts: Sequence[str],
        on_action: Callable[[int], None],
    ) -> None:
        """`act_as` gives the metadata that names the person a call is made for."""
        self._posts = posts
        self._act_as = act_as
        self._user_ids = user_ids
        self._texts = texts
        self._on_action = on_action
        self._newest: dict[str, int] = {}
        self._has_posted: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)
        self._places = asyncio.Semaphore(IN_FLIGHT)
        self.result = ImportedActivity()

    async def run(self, actions: Iterable[Action]) -> ImportedActivity:
        """Replays the actions; raises the first error of any of them."""
        # Whether a target needs a first post follows from the file alone, not from
        # how far other authors are: a second run decides as the first one did.
        authors: set[str] = set()
        turns: dict[str, asyncio.Task[None]] = {}
        async with asyncio.TaskGroup() as group:
            for action in actions:
                mentions = action.kind is ActionKind.MENTION
                author = action.actor if mentions else action.target
                writes_first = not mentions and author not in authors
                authors.add(author)
                # Places are given in the order of the lines, and lines wait for
                # earlier ones only: the earliest under way can always go on.
                await self._places.acquire()
                turns[action.actor] = group.create_task(
                    self._one(action, turns.get(action.actor), writes_first)
                )
        return self.result

    async def _one(
        self, action: Action, before: asyncio.Task[None] | None, writes_first: bool
    ) -> None:
        """One line, after the line before it of the same author."""
        try:
            if before is not None:
                await asyncio.wait([before])
            if writes_first:
                text = self._text(action.target)
                await self._post(action.target, text, key=f"first-{action.target}")
            await self._act(action)
            self._on_action(1)
        finally:
            self._places.release()

    async def _act(self, action: Action) -> None:
        if action.kind is ActionKind.MENTION:
            text = f"@{action.target} {self._text(str(action.line))}"
            await self._post(action.actor, text, key=f"line-{action.line}")
            return

        await self._has_posted[action.target].wait()
        try:
            if action.kind is ActionKind.SHARE:
                await self._share(action, self._newest[action.target])
            else:
                await self._comment(action, self._newest[action.target])
        except Aborted:
            # An earlier run did this line when another post was the newest.
            self.result.repeats += 1

    async def _share(self, action: Action, target: int) -> None:
        answer = await self._create(
            action.actor,
            post_pb2.CreatePostRequest(
                share_of=target, request_id=f"line-{action.line}"
            ),
        )
        if answer.replayed:
            self.result.repeats += 1
        else:
            self.result.shares += 1
        self.result.placed.append((answer.post.post_id, action.actor, target))

    async def _comment(self, action: Action, target: int) -> None:
        request = post_pb2.CreateCommentRequest(
            post_id=target,
            text=self._text(str(action.line)),
            request_id=f"line-{action.line}",
        )
        who = self._act_as(self._user_ids[action.actor])
        answer = await patiently(
            lambda: self._posts.CreateComment(request, metadata=who)
        )
        if answer.replayed:
            self.result.repeats += 1
        else:
            self.result.comments += 1

    async def _post(self, author: str, text: str, *, key: str) -> None:
        answer = await self._create(
            author, post_pb2.CreatePostRequest(text=text[:TEXT_LIMIT], request_id=key)
        )
        if answer.replayed:
            self.result.repeats += 1
        else:
            self.result.posts += 1
        post_id = answer.post.post_id
        self.result.placed.append((post_id, author, 0))
        self._newest[author] = max(post_id, self._newest.get(author, 0))
        self._has_posted[author].set()

    async def _create(
        self, author: str, request: post_pb2.CreatePostRequest
    ) -> post_pb2.CreatePostResponse:
        who = self._act_as(self._user_ids[author])
        return await patiently(lambda: self._posts.CreatePost(request, metadata=who))

    def _text(self, seed: str) -> str:
        """A text that depends on the seed alone, so that a repeat sends the same."""
        digest = hashlib.blake2b(seed.encode(), digest_size=8).digest()
        return self._texts[int.from_bytes(digest) % len(self._texts)]
