"""I2, I6, I7, I10: live events, counters, fan-outs and resources."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping

from tests.faults.findings import Evidence, Finding, Harm
from tests.faults.history import Operation
from tests.faults.model import BLOCK, FOLLOW

# What a process may have more of than before the faults, when all is quiet.
MORE_MEMORY = 160e6
MORE_FILES = 60
MORE_CONNECTIONS = 3
# And while they last.
MOST_MORE_MEMORY = 500e6
LEAST_LAG = 5.0


def live_events_have_no_gaps(evidence: Evidence) -> Iterator[Finding]:
    """I6: positions go up by one over all connections, but after a reset."""
    stands: dict[str, tuple[str, int]] = {}
    for event in evidence.of("event"):
        epoch, _, number = event.answer["position"].partition(":")
        now, kind = (epoch, int(number)), event.answer["kind"]
        before = stands.get(event.client)
        stands[event.client] = now
        if before is None or kind == "reset":
            continue
        step = now[1] - before[1]
        wanted = (0,) if kind == "heartbeat" else (1,)
        if now[0] != before[0] or step not in wanted:
            yield Finding(
                invariant="I6",
                text=f"{event.client}: {kind} at {event.answer['position']}"
                f" after {before[0]}:{before[1]}",
                at=event.end,
                harm=Harm.DOUBLED if step < 0 else Harm.LOST,
            )


def listeners_hear_of_posts(evidence: Evidence) -> Iterator[Finding]:
    """I6: a post by somebody always followed is heard of, or a reset told the
    listener to read anew."""
    began: dict[int, float] = {}
    added: dict[int, set[int]] = defaultdict(set)
    reset: dict[int, float] = {}
    last: dict[int, float] = {}
    for event in evidence.of("event"):
        me = event.args["me"]
        began.setdefault(me, event.end)
        last[me] = event.end
        if event.answer["kind"] == "postAdded":
            added[me].add(event.answer["id"])
        elif event.answer["kind"] == "reset":
            reset[me] = event.end
    for me, since in began.items():
        for post, write in evidence.posts.acknowledged.items():
            author = write.args["me"]
            if write.begin < max(since, reset.get(me, 0.0)) or post in added[me]:
                continue
            if evidence.posts.may_be_deleted(post) or author == me:
                continue
            if _always_follows(evidence, me, author, write.begin, last[me]):
                yield Finding(
                    invariant="I6",
                    text=f"{me} never heard of post {post} of {author}",
                    at=write.end,
                    harm=Harm.LOST,
                )


def _always_follows(
    evidence: Evidence, reader: int, author: int, begin: float, end: float
) -> bool:
    relations = evidence.relations
    undone = relations.was_ever(FOLLOW, reader, author, on=False, before=end)
    blocked = relations.was_ever(BLOCK, author, reader, on=True, before=end)
    return (
        not undone
        and not blocked
        and relations.surely(FOLLOW, reader, author, on=True, begin=begin, end=end)
    )


def counters_converge(evidence: Evidence) -> Iterator[Finding]:
    """I7: in the end counts are those of the rows; at no time are they negative."""
    for counted in evidence.final("counters"):
        for name, drift in counted.answer.items():
            for row in drift:
                yield Finding(invariant="I7", text=f"{name}: {row}", at=counted.end)
    for read in evidence.of("feed", "user_posts", "get_post"):
        for item in read.answer.get("items", [read.answer]):
            if min(item.get("counts", [0])) < 0:
                yield Finding(invariant="I7", text=f"negative: {item}", at=read.end)


def fan_outs_are_whole(evidence: Evidence) -> Iterator[Finding]:
    """I2: a post to thousands is in each of their feeds."""
    for placed in evidence.final("placed"):
        if placed.answer["rows"] != placed.answer["wanted"]:
            yield Finding(
                invariant="I2",
                text=f"post {placed.args['post']} is in {placed.answer['rows']} of"
                f" {placed.answer['wanted']} feeds",
                at=placed.args["written"],
                harm=Harm.LOST,
            )


def nothing_is_given_up(evidence: Evidence) -> Iterator[Finding]:
    """I2: no fault makes dead letters of events that can be handled."""
    for letters in evidence.final("letters"):
        for letter in letters.answer["strange"]:
            yield Finding(
                invariant="I2",
                text=f"a dead letter: {letter}",
                at=letters.end,
                harm=Harm.LOST,
            )


def resources_are_bounded(evidence: Evidence) -> Iterator[Finding]:
    """I10: memory, files and connections are bounded, and as before in the end."""
    samples = list(evidence.of("sample"))
    if not samples:
        return
    first, last = samples[0], samples[-1]
    for name, before in first.answer["processes"].items():
        for sample in samples:
            after = sample.answer["processes"].get(name)
            if after is not None:
                more = MORE_MEMORY if sample is last else MOST_MORE_MEMORY
                yield from _grown(name, before, after, more, sample, sample is last)
    if last.answer["lag"] > LEAST_LAG:
        text = f"the outbox lags {last.answer['lag']:.0f} s in the end"
        yield Finding(invariant="I10", text=text, at=last.end)
    for durable, left in last.answer["pending"].items():
        if left:
            text = f"{durable} has {left} events left in the end"
            yield Finding(invariant="I10", text=text, at=last.end)


def _grown(
    name: str,
    before: Mapping[str, float],
    after: Mapping[str, float],
    memory: float,
    sample: Operation,
    is_last: bool,
) -> Iterator[Finding]:
    limits = {"rss": memory}
    if is_last:
        limits |= {"files": MORE_FILES, "in_use": MORE_CONNECTIONS}
    for what, more in limits.items():
        if after[what] > before[what] + more:
            yield Finding(
                invariant="I10",
                text=f"{name}: {what} was {before[what]:g} and is {after[what]:g}",
                at=sample.end,
            )
