"""Whom readers held here follow."""

from svc_push.followers import LocalFollowers
from svc_push.model import UserId

ANN, BOB, EVE, ZOE = UserId(1), UserId(2), UserId(3), UserId(4)


def test_both_ways_round_say_the_same() -> None:
    """A reader who follows an author is among the author's followers."""
    followers = LocalFollowers()
    followers.put(BOB, {EVE})
    followers.put(ANN, {EVE, ZOE})

    assert followers.of(EVE) == [ANN, BOB]
    assert followers.followed_by(ANN) == {EVE, ZOE}
    assert followers.authors() == {EVE, ZOE}


def test_authors_without_followers_are_not_kept() -> None:
    """Nobody need listen to them."""
    followers = LocalFollowers()
    followers.put(ANN, {EVE, ZOE})
    followers.put(ANN, {ZOE})
    changed = set(followers.authors())
    followers.drop(ANN)

    assert (changed, set(followers.authors())) == ({ZOE}, set())
    assert followers.of(EVE) == []
