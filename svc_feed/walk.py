"""Steps 1 to 3 together: going down a feed until a page is full.

What the rules hide is replaced by older posts, up to a work budget.
"""

from __future__ import annotations

from collections.abc import Sequence

from chassis.errors import MeshError

from .hydration import Hydration
from .model import ABOVE_ALL, Candidate, PostId, UserId
from .ports import ReaderGraph
from .rules import Hidden, Rules
from .skeleton import Skeleton

# Entries of one stretch at least: asking for fewer saves nothing.
SLICE = 24


class Walk:
    """One reader's way down their feed during one page."""

    def __init__(
        self,
        *,
        viewer: UserId,
        skeleton: Skeleton,
        hydration: Hydration,
        graph: ReaderGraph,
        celebrities: frozenset[UserId],
        budget: int,
    ) -> None:
        """`budget`: entries to look at before a page is cut short."""
        self._viewer = viewer
        self._skeleton = skeleton
        self._hydration = hydration
        self._graph = graph
        self._celebrities = celebrities
        self._budget = budget

        self.before = ABOVE_ALL
        """Everything above was looked at."""

        self.is_end = False
        """Nothing older is there."""

        self.is_withheld = False
        """Something was left out because a relation is not known."""

    async def down(
        self, before: PostId, count: int, *, is_more: bool = False
    ) -> list[Candidate]:
        """The newest posts older than `before` that may be shown, up to `count`.

        Fewer mean the end, a spent budget, or an index out of reach: that is an error
        only where there is nothing to show without it. `is_more` says that there is.
        """
        found: list[Candidate] = []
        self.before = before
        while len(found) < count and self._budget > 0 and not self.is_end:
            try:
                part = await self._skeleton.older(
                    self.before, max(SLICE, count - len(found))
                )
            except MeshError:
                if not found and not is_more:
                    raise
                break
            self._budget -= max(1, len(part.entries))
            for candidate in await self.judged([e.post_id for e in part.entries]):
                found.append(candidate)
                if len(found) == count:
                    break
            is_whole = not part.entries or (
                len(found) < count or found[-1].post_id == part.entries[-1].post_id
            )
            self.before = part.before if is_whole else found[-1].post_id
            self.is_end = is_whole and part.is_end
            if self.is_withheld:
                # Without relations going deeper finds nothing but the reader's own.
                break
        return found

    async def judged(self, ids: Sequence[PostId]) -> list[Candidate]:
        """Those of the posts that may be shown, in the order given."""
        if not ids:
            return []
        contents = await self._hydration.contents(self._viewer, ids, self._graph)
        rules = Rules(
            self._viewer, contents.relations, contents.posts, self._celebrities
        )
        shown: list[Candidate] = []
        for post_id in ids:
            verdict = rules.judge(post_id)
            if isinstance(verdict, Candidate):
                shown.append(verdict)
            elif verdict is Hidden.UNKNOWN:
                self.is_withheld = True
        return shown

    async def count_above(self, floor: PostId, most: int) -> int:
        """How many posts above a floor may be shown, up to `most` and the budget.

        Spends nothing of what the page may look at, or a page with much above it would
        never get anywhere.
        """
        count = 0
        before = ABOVE_ALL
        left = self._budget
        while count < most and left > 0:
            part = await self._skeleton.older(before, most)
            newer = [one.post_id for one in part.entries if one.post_id > floor]
            left -= max(1, len(newer))
            count += len(await self.judged(newer))
            if part.is_end or len(newer) < len(part.entries) or part.before <= floor:
                break
            before = part.before
        return min(count, most)

    async def ids_above(self, floor: PostId, most: int) -> list[PostId]:
        """The newest ids above a floor, unjudged; at least `most` if there are."""
        found: list[PostId] = []
        before = ABOVE_ALL
        while len(found) < most:
            part = await self._skeleton.older(before, most)
            newer = [one.post_id for one in part.entries if one.post_id > floor]
            found += newer
            if part.is_end or len(newer) < len(part.entries) or part.before <= floor:
                break
            before = part.before
        return found
