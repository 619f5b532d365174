"""I2 to I5: what a reader has to see, sees once, and may not see."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from tests.faults.checkers_posts import items
from tests.faults.findings import FINAL, Evidence, Finding, Harm, is_whole, reaches_end
from tests.faults.history import Operation
from tests.faults.model import BLOCK, FOLLOW
from tests.faults.reading import LATEST, ids

# A follow places the 50 newest posts of the last day; a few may be deleted meanwhile.
BACKFILLED = 40

# Seconds after which fan-out has been taken up again by somebody else, when the process
# that was at it died: until then the index may have what the hot copy lacks.
ON_ITS_WAY = 40.0

# Answers that say of themselves that something may be missing.
LABELLED = ("SERVED_FROM_CACHE_ONLY", "END_REASON_WITHHELD")


def followers_see_it(evidence: Evidence) -> Iterator[Finding]:
    """I2: in the end each post is in the feed of everybody who followed its author
    from before it was written, or in time for the backfill."""
    last = [s for s in evidence.sessions if s[0].args.get("phase") == FINAL]
    whole = [session for session in last if reaches_end(session)]
    for client in {s[0].client for s in last} - {s[0].client for s in whole}:
        yield Finding(
            invariant="I2",
            text=f"{client} cannot read a feed to its end when all is quiet",
            at=last[-1][-1].end,
        )
    for session in whole:
        missing = sorted(_must_see(evidence, session) - set(ids(session)))
        for post in missing:
            write = evidence.posts.acknowledged[post]
            yield Finding(
                invariant="I2",
                text=f"{session[0].client} does not see post {post} of"
                f" {write.client} ({session[0].args['order']})",
                at=write.begin,
                harm=Harm.LOST,
            )


def _must_see(evidence: Evidence, session: Sequence[Operation]) -> set[int]:
    reader, begin, end = session[0].args["me"], session[0].begin, session[-1].end
    relations, posts = evidence.relations, evidence.posts
    by_author: dict[int, list[int]] = defaultdict(list)
    for post, write in posts.acknowledged.items():
        if not posts.may_be_deleted(post) and write.end < begin:
            by_author[write.args["me"]].append(post)
    must: set[int] = set()
    for author, theirs in by_author.items():
        if not relations.must_show(reader, author, begin, end):
            continue
        since = relations.since(FOLLOW, reader, author, on=True, begin=begin, end=end)
        if reader == author or since is None:
            must.update(theirs)
            continue
        began = {post: posts.acknowledged[post].begin for post in theirs}
        must.update(post for post in theirs if began[post] > since)
        before = [post for post in sorted(theirs) if began[post] <= since]
        must.update(before[-BACKFILLED:])
    return must


def nothing_comes_twice(evidence: Evidence) -> Iterator[Finding]:
    """I3: no post twice in one paging session, whatever its order; no live event
    twice, and LATEST is in order."""
    for session in evidence.sessions:
        shown = ids(session)
        twice = sorted({post for post in shown if shown.count(post) > 1})
        for post in twice:
            yield _doubled(f"post {post} twice in a session of", session[0])
        is_latest = session[0].args["order"] == LATEST
        if is_latest and not twice and shown != sorted(shown, reverse=True):
            yield _doubled("newest posts out of order for", session[0])
    heard: set[tuple[str, str]] = set()
    for event in evidence.of("event"):
        if event.answer["kind"] in ("heartbeat", "reset"):
            continue
        place = (event.client, event.answer["position"])
        if place in heard:
            yield _doubled(f"live event {place[1]} twice for", event)
        heard.add(place)


def _doubled(what: str, operation: Operation) -> Finding:
    return Finding(
        invariant="I3",
        text=f"{what} {operation.client} {dict(operation.args)}",
        at=operation.end,
        harm=Harm.DOUBLED,
    )


def nothing_leaks(evidence: Evidence) -> Iterator[Finding]:
    """I4: no answer holds what was taken from its reader before it was asked for."""
    relations, posts = evidence.relations, evidence.posts
    for read in evidence.of("feed", "user_posts", "get_post"):
        reader = read.args["me"]
        for item in items(read.answer):
            post, author = item["id"], item["by"]
            why = ""
            if posts.is_deleted(post, before=read.begin):
                why = "it is deleted"
            elif read.op == "feed":
                why = relations.hides_from_feed(reader, author, read.begin, read.end)
            elif reader != author:
                why = relations.hides(reader, author, read.begin, read.end)
            if why:
                yield Finding(
                    invariant="I4",
                    text=f"{read.client} was shown post {post} by {read.op}, but {why}"
                    f" (from {read.answer.get('from', '')})",
                    at=read.end,
                    harm=Harm.LEAKED,
                )


def pages_have_no_gaps(evidence: Evidence) -> Iterator[Finding]:
    """I5: what a reader has once seen, and nobody took away, is on every later page
    where its place is, when it is no longer on its way."""
    for post, page in missed(evidence):
        if page.begin - evidence.posts.acknowledged[post].end < ON_ITS_WAY:
            continue
        yield Finding(
            invariant="I5",
            text=f"{page.client} saw post {post} and misses it later"
            f" {dict(page.args)} (from {page.answer['from']})",
            at=page.end,
            harm=Harm.LOST,
        )


def missed(evidence: Evidence) -> Iterator[tuple[int, Operation]]:
    """Posts seen before, and the last pages of the sessions that lack them."""
    first_seen: dict[int, dict[int, float]] = defaultdict(dict)
    for read in evidence.of("feed"):
        if read.is_ok:
            seen = first_seen[read.args["me"]]
            for item in read.answer["items"]:
                seen.setdefault(item["id"], read.end)
    for session in evidence.sessions:
        if session[0].args["order"] != LATEST and not reaches_end(session):
            continue
        if not is_whole(session) or any(_is_labelled(page) for page in session):
            continue
        for post in _gaps(evidence, session, first_seen[session[0].args["me"]]):
            yield post, session[-1]


def _gaps(
    evidence: Evidence, session: Sequence[Operation], first_seen: dict[int, float]
) -> Iterator[int]:
    shown = set(ids(session))
    reader, begin, end = session[0].args["me"], session[0].begin, session[-1].end
    floor = min(shown, default=0) if session[-1].answer["token"] else 0
    for post, seen in first_seen.items():
        if seen >= begin or post in shown or post < floor:
            continue
        if post not in evidence.posts.acknowledged:
            continue
        if evidence.posts.may_be_deleted(post, by=end):
            continue
        author = evidence.posts.author(post)
        if is_steady(evidence, reader, author, seen, end):
            yield post


def is_steady(
    evidence: Evidence, reader: int, author: int, begin: float, end: float
) -> bool:
    """Never unfollowed or blocked: an undoing takes its time to be made good, for
    the quiet at the end to judge."""
    relations = evidence.relations
    if relations.was_ever(FOLLOW, reader, author, on=False, before=end):
        return False
    if relations.was_ever(BLOCK, author, reader, on=True, before=end):
        return False
    return relations.must_show(reader, author, begin, end)


def _is_labelled(page: Operation) -> bool:
    return page.answer["from"] in LABELLED or page.answer["end"] in LABELLED
