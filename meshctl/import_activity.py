"""`meshctl import activity`: what people did, replayed through the public RPCs.

A mention is a post that names somebody; a retweet shares, and a reply comments on,
the newest post of its target, who first writes one if there is none. Each author's
lines run in order, authors side by side. Every request id comes from the line, so
that a run that was interrupted can be repeated.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from feedmesh.ingest.v1 import post_pb2, post_pb2_grpc

from chassis.errors import Aborted

from .datasets import TEXT_LIMIT, Action, ActionKind
from .patience import patiently

# Authors at work at once.
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
        self._first_posts: dict[str, asyncio.Lock] = {}
        self.result = ImportedActivity()

    async def run(self, actions: Iterable[Action]) -> ImportedActivity:
        """Replays the actions; raises the first error of any of them."""
        by_author: dict[str, list[Action]] = {}
        for action in actions:
            by_author.setdefault(action.actor, []).append(action)
        waiting = iter(by_author.values())

        async def worker() -> None:
            for lines in waiting:
                for action in lines:
                    await self._one(action)
                    self._on_action(1)

        async with asyncio.TaskGroup() as group:
            for _ in range(IN_FLIGHT):
                group.create_task(worker())
        return self.result

    async def _one(self, action: Action) -> None:
        if action.kind is ActionKind.MENTION:
            text = f"@{action.target} {self._text(str(action.line))}"
            await self._post(action.actor, text, key=f"line-{action.line}")
            return

        target = await self._newest_of(action.target)
        try:
            if action.kind is ActionKind.SHARE:
                await self._share(action, target)
            else:
                await self._comment(action, target)
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

    async def _newest_of(self, handle: str) -> int:
        """The newest post of a person, who writes one if there is none."""
        if handle in self._newest:
            return self._newest[handle]
        async with self._first_posts.setdefault(handle, asyncio.Lock()):
            if handle not in self._newest:
                await self._post(handle, self._text(handle), key=f"first-{handle}")
        return self._newest[handle]

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

    async def _create(
        self, author: str, request: post_pb2.CreatePostRequest
    ) -> post_pb2.CreatePostResponse:
        who = self._act_as(self._user_ids[author])
        return await patiently(lambda: self._posts.CreatePost(request, metadata=who))

    def _text(self, seed: str) -> str:
        """A text that depends on the seed alone, so that a repeat sends the same."""
        digest = hashlib.blake2b(seed.encode(), digest_size=8).digest()
        return self._texts[int.from_bytes(digest) % len(self._texts)]
