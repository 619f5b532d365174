"""I1, I8, I9, I12: what was acknowledged is there once, and what was deleted is not."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from tests.faults.findings import WITHHELD, Evidence, Finding, Harm
from tests.faults.history import Facts, Operation


def no_post_is_lost(evidence: Evidence) -> Iterator[Finding]:
    """I1: every acknowledged post is in its author's list in the end."""
    listed: dict[int, set[int]] = defaultdict(set)
    for page in evidence.final("user_posts"):
        if page.is_ok and page.args["author"] == page.args["me"]:
            listed[page.args["me"]].update(item["id"] for item in page.answer["items"])
    posts = evidence.posts
    for post, write in posts.acknowledged.items():
        author = write.args["me"]
        if author not in listed or posts.may_be_deleted(post):
            continue
        if post not in listed[author]:
            yield Finding(
                invariant="I1",
                text=f"post {post} of {author} was acknowledged and is gone",
                at=write.end,
                harm=Harm.LOST,
            )


def nothing_was_invented(evidence: Evidence) -> Iterator[Finding]:
    """I1: nobody reads a post that nobody tried to write."""
    attempted = evidence.posts.attempted
    reported = set()
    for read in evidence.of("feed", "user_posts", "get_post"):
        for item in items(read.answer):
            if item["id"] in reported or (item["by"], item["text"]) in attempted:
                continue
            reported.add(item["id"])
            yield Finding(
                invariant="I1",
                text=f"post {item['id']} of {item['by']} was read, never written",
                at=read.end,
            )


def one_key_is_one_post(evidence: Evidence) -> Iterator[Finding]:
    """I8: all tries of one write come to the same post, and to no other."""
    ids: dict[tuple[int, str], set[int]] = defaultdict(set)
    times: dict[tuple[int, str], float] = {}
    for write in evidence.posts.writes:
        key = (write.args["me"], write.args["key"])
        ids[key].update(answer["id"] for answer in write.answers)
        times[key] = write.begin
    for read in evidence.of("feed", "user_posts", "get_post"):
        for item in items(read.answer):
            ids[item["by"], item["text"]].add(item["id"])
    for key, found in ids.items():
        if len(found) > 1:
            yield Finding(
                invariant="I8",
                text=f"key {key[1]} of {key[0]} made posts {sorted(found)}",
                at=times.get(key, 0.0),
                harm=Harm.DOUBLED,
            )


def authors_see_their_own(evidence: Evidence) -> Iterator[Finding]:
    """I9: a page of newest posts that is asked for after a post was acknowledged to
    its author holds it, where its place is on that page."""
    own: dict[int, list[tuple[float, int]]] = defaultdict(list)
    for post, write in evidence.posts.acknowledged.items():
        own[write.args["me"]].append((write.end, post))
    for page in evidence.of("feed"):
        if not page.is_ok or page.args["order"] != "ORDER_LATEST" or page.args["page"]:
            continue
        shown = {item["id"] for item in page.answer["items"]}
        # Where relations are unknown a page ends early, and says so.
        is_cut = page.answer["token"] or page.answer["end"] == WITHHELD
        floor = min(shown, default=0) if is_cut else 0
        for acknowledged, post in own[page.args["me"]]:
            if acknowledged >= page.begin or post < floor or post in shown:
                continue
            if not evidence.posts.may_be_deleted(post, by=page.end):
                yield Finding(
                    invariant="I9",
                    text=f"{page.args['me']} does not see own post {post} {_on(page)}",
                    at=page.end,
                )


def _on(page: Operation) -> str:
    return f"(from {page.answer['from']}, end {page.answer['end']!r})"


def deleted_stays_deleted(evidence: Evidence) -> Iterator[Finding]:
    """I12: in the end a deleted post is in no answer, no list and no shared copy."""
    deleted = set(evidence.posts.deleted)
    for read in evidence.final("feed", "user_posts", "get_post"):
        for item in items(read.answer):
            if item["id"] in deleted:
                yield _resurrected(item["id"], f"{read.op} of {read.client}", read.end)
    for copies in evidence.final("copies_of_deleted"):
        for post in copies.answer["posts"]:
            yield _resurrected(post, "Valkey", copies.end)


def logs_end_with_the_removal(evidence: Evidence) -> Iterator[Finding]:
    """I12: who replays the live events ends without the deleted posts."""
    there: dict[tuple[str, int], Operation] = {}
    for log in evidence.final("sync"):
        for event in log.answer.get("events", []):
            place = (log.client, event["id"])
            if event["kind"] == "postAdded":
                there[place] = log
            elif event["kind"] == "postRemoved":
                there.pop(place, None)
            elif event["kind"] == "authorRemoved":
                _leave(evidence, there, log.client, event["by"])
    for (client, post), log in there.items():
        if post in evidence.posts.deleted:
            yield _resurrected(post, f"the log of {client}", log.end)


def _leave(
    evidence: Evidence, there: dict[tuple[str, int], Operation], client: str, by: int
) -> None:
    """All posts of an author left somebody's feed."""
    written = evidence.posts.acknowledged
    for place in [place for place in there if place[0] == client]:
        if place[1] in written and evidence.posts.author(place[1]) == by:
            del there[place]


def _resurrected(post: int, where: str, at: float) -> Finding:
    return Finding(
        invariant="I12",
        text=f"deleted post {post} is still in {where}",
        at=at,
        harm=Harm.LEAKED,
    )


def no_delete_was_forgotten(evidence: Evidence) -> Iterator[Finding]:
    """I12: an author who deleted a post does not get it any more, from then on."""
    for read in evidence.of("get_post"):
        for item in items(read.answer):
            if evidence.posts.is_deleted(item["id"], before=read.begin):
                yield Finding(
                    invariant="I12",
                    text=f"{read.client} was shown post {item['id']} after its end",
                    at=read.end,
                    harm=Harm.LEAKED,
                )


def items(answer: Facts) -> list[dict[str, Any]]:
    """Posts of an answer, whatever its kind; none of a refusal."""
    return list(answer.get("items", [answer] if "id" in answer else []))
