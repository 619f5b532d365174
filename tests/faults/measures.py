"""What is no violation and worth knowing all the same."""

from __future__ import annotations

from tests.faults.checkers_feeds import ON_ITS_WAY, is_steady, missed
from tests.faults.findings import FINAL, Evidence
from tests.faults.reading import LATEST


def gone_for_a_moment(evidence: Evidence) -> int:
    """How often a post on its way was seen and not there again; no violation."""
    waited = (
        page.begin - evidence.posts.acknowledged[post].end
        for post, page in missed(evidence)
    )
    return sum(seconds < ON_ITS_WAY for seconds in waited)


def left_in_the_index(evidence: Evidence) -> int:
    """Deleted posts whose ids the feed index still has. Reads pass over them; taking
    them out is tidying up, and no violation."""
    return sum(len(r.answer["posts"]) for r in evidence.final("index_of_deleted"))


def times_missing(evidence: Evidence) -> list[float]:
    """Seconds after the answer to an author at which a steady follower's top page was
    read and still lacked the post; 0 where every read had it."""
    seen: set[tuple[int, int]] = set()
    last_read: dict[int, float] = {}
    found = []
    for read in evidence.of("feed"):
        is_top = read.is_ok and read.args["order"] == LATEST and not read.args["page"]
        if not is_top or read.args.get("phase") == FINAL:
            continue
        reader = read.args["me"]
        for item in read.answer["items"]:
            place = (reader, item["id"])
            write = evidence.posts.acknowledged.get(item["id"])
            if place in seen or write is None or write.args["me"] == reader:
                continue
            seen.add(place)
            if is_steady(evidence, reader, write.args["me"], write.begin, read.begin):
                found.append(max(0.0, last_read.get(reader, 0.0) - write.end))
        last_read[reader] = read.begin
    return sorted(found)
