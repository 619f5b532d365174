"""The small world that a new mesh is given."""

from meshctl.seed import HANDLES, POSTS_OF_EACH, world


def test_it_is_the_same_every_time() -> None:
    """A seed that was interrupted goes on with the same requests."""
    assert world() == world()


def test_nobody_follows_themself_or_anybody_twice() -> None:
    """Such requests would be refused, or counted wrong."""
    follows = world().follows

    assert len(follows) == len(set(follows))
    assert not [who for who, whom in follows if who == whom]
    assert {who for who, _ in follows} == set(HANDLES)


def test_everybody_writes() -> None:
    """No feed is empty."""
    authors = [author for author, _ in world().posts]

    assert {authors.count(handle) for handle in HANDLES} == {POSTS_OF_EACH}


def test_a_like_is_of_a_post_and_by_somebody_else() -> None:
    """Once each."""
    made = world()

    assert len(made.likes) == len(set(made.likes))
    assert not [fan for fan, number in made.likes if made.posts[number][0] == fan]
