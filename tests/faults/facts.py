"""What the checkers need of an answer, out of its document."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.faults.history import Facts, Outcome

# Nothing was done: the request was refused, not lost.
REFUSED = range(400, 500)


def outcome_of(method: str, status: int) -> Outcome:
    if status < 400:
        return Outcome.OK
    if status in REFUSED or method == "GET":
        return Outcome.FAIL
    return Outcome.UNKNOWN


def error_facts(document: Mapping[str, Any]) -> Facts:
    reasons = [d["reason"] for d in document.get("details", []) if "reason" in d]
    return {"reason": reasons[0] if reasons else ""}


def answer_facts(op: str, document: Mapping[str, Any]) -> dict[str, Any]:
    """What the checkers need of an answer."""
    if op in ("post", "get_post"):
        return _item(document)
    if op in ("feed", "user_posts"):
        return {
            "items": [_item(item) for item in document.get("items", [])],
            "token": bool(document.get("nextPageToken")),
            "as": document.get("servedAs", ""),
            "from": document.get("servedFrom", ""),
            "end": document.get("endReason", ""),
        }
    if op == "sync":
        return {
            "events": [event_facts(event) for event in document.get("events", [])],
            "position": document.get("position", ""),
            "more": document.get("hasMore", False),
        }
    return {}


def _item(item: Mapping[str, Any]) -> dict[str, Any]:
    post, stats = item["post"], item.get("stats", {})
    return {
        "id": int(post["postId"]),
        "by": int(post["authorId"]),
        "text": post.get("text", ""),
        "reason": item.get("reason", ""),
        "counts": [
            int(stats.get(name, 0))
            for name in ("likeCount", "commentCount", "shareCount")
        ],
    }


def event_facts(event: Mapping[str, Any]) -> dict[str, Any]:
    """A live event, as it comes by stream and by Sync."""
    kinds = ("postAdded", "postRemoved", "authorRemoved", "reset", "heartbeat")
    kind = next((kind for kind in kinds if kind in event), "")
    body = event.get(kind, {})
    return {
        "position": event.get("position", ""),
        "kind": kind,
        "id": int(body.get("postId", 0)),
        "by": int(body.get("authorId", 0)),
    }
