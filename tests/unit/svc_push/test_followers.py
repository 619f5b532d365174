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


def test_followers_of_anybody_are_found() -> None:
    """Celebrity or not, at either end of what a reader follows."""
    followers = LocalFollowers()
    followers.put(ANN, ())
    followers.put(BOB, ())
    followers.put_all(ANN, [UserId(9), UserId(3), UserId(5)])
    followers.put_all(BOB, [UserId(5)])
    found = [followers.of_anybody(UserId(author)) for author in (2, 3, 4, 5, 9, 10)]
    followers.drop(ANN)

    assert found == [[], [ANN], [], [ANN, BOB], [ANN], []]
    assert followers.of_anybody(UserId(3)) == []
