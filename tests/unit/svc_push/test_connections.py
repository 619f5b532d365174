"""One stream: what its client is given, whatever order things come in."""

import asyncio

import pytest

from chassis.errors import Unavailable
from chassis.testing import refuses

from svc_push.connections import Connection, Connections
from svc_push.model import Change, Hint, Logged, Position, PostId, UserId, added

ANN, EVE = UserId(1), UserId(3)


def change(number: int) -> Change:
    return added(PostId(number), EVE)


def at(sequence: int, epoch: str = "e") -> Position:
    return Position(epoch, sequence)


def begun(known: int = 0, capacity: int = 4) -> Connection:
    connection = Connection(viewer=ANN, capacity=capacity)
    connection.begin(at(0), known=known)
    return connection


def taken(connection: Connection) -> list[int]:
    """Sequences of all that is queued."""
    sequences = []
    while (logged := connection.take()) is not None:
        sequences.append(logged.sequence)
    return sequences


def test_what_follows_is_queued() -> None:
    """The short way: nothing is read from the log."""
    connection = begun()
    connection.offer(at(1), change(1))
    connection.offer(at(2), change(2))

    assert not connection.is_behind
    assert taken(connection) == [1, 2]
    assert connection.position == at(2)


def test_what_came_before_is_dropped() -> None:
    """A repeated hint is not a repeated event."""
    connection = begun()
    connection.offer(at(1), change(1))
    connection.offer(at(1), change(1))
    first = taken(connection)
    connection.offer(at(1), change(1))

    assert (first, taken(connection)) == ([1], [])


def test_a_gap_is_filled_from_the_log() -> None:
    """What overtook a lost hint waits until the log has told what lies between."""
    connection = begun()
    connection.offer(at(3), change(3))
    before = (connection.is_behind, connection.take())
    connection.fill([Logged(number, change(number)) for number in (1, 2, 3)])
    after = connection.is_behind

    assert (before, after) == ((True, None), False)
    assert taken(connection) == [1, 2, 3]


def test_what_comes_while_the_log_is_read_is_not_doubled() -> None:
    """The read and a hint may both bring an event."""
    connection = begun()
    connection.offer(at(2), change(2))
    connection.offer(at(3), change(3))
    connection.fill([Logged(number, change(number)) for number in (1, 2, 3)])
    connection.offer(at(4), change(4))

    assert taken(connection) == [1, 2, 3, 4]


def test_hints_out_of_order_make_no_gap() -> None:
    """What came early is read from the log, unless the rest comes first."""
    connection = begun()
    for number in (3, 1, 2):
        connection.offer(at(number), change(number))
    before = connection.is_behind
    connection.fill([Logged(number, change(number)) for number in (1, 2, 3)])

    assert (before, connection.is_behind) == (True, False)
    assert taken(connection) == [1, 2, 3]


def test_a_head_further_on_leaves_it_behind() -> None:
    """A heartbeat finds what no hint told."""
    connection = begun()
    connection.stands(at(2))

    assert connection.is_behind


def test_another_epoch_is_a_loss() -> None:
    """The log the client knows may be gone."""
    connection = begun()
    connection.offer(at(1, epoch="f"), change(1))

    assert connection.is_lost


def test_an_offer_before_the_beginning_is_not_missed() -> None:
    """Streams are registered before their log is opened."""
    connection = Connection(viewer=ANN, capacity=4)
    connection.offer(at(5), change(5))
    connection.begin(at(4), known=4)

    assert connection.is_behind


def test_a_slow_client_is_ended() -> None:
    """Its queue is bounded, and nothing in it is dropped without a word."""
    connection = begun(capacity=2)
    for number in (1, 2, 3):
        connection.offer(at(number), change(number))

    with refuses(Unavailable, "OVERLOADED"):
        connection.check()


async def test_waiting_ends_when_something_happens() -> None:
    """What happened since settling is not slept through."""
    connection = begun()
    connection.settle()
    connection.offer(at(1), change(1))
    async with asyncio.timeout(1):
        await connection.wait()

    connection.settle()
    connection.beat()
    async with asyncio.timeout(1):
        await connection.wait()
    assert connection.take_beat()
    assert not connection.take_beat()


def test_a_slow_stream_is_offered_nothing_more() -> None:
    """It is over for the process, though its client has not heard of it yet."""
    connections = Connections(capacity=1)
    with connections.register(ANN):
        for number in (1, 2):
            connections.offer(change(number), [Hint(ANN, at(number))])
        assert connections.count(ANN) == 1  # not begun: offers only say what there is

    with connections.register(ANN) as connection:
        connection.begin(at(0), known=0)
        for number in (1, 2):
            connections.offer(change(number), [Hint(ANN, at(number))])

        assert connections.count(ANN) == 0


def test_draining_ends_all_and_takes_no_more() -> None:
    """Clients go elsewhere at once."""
    connections = Connections(capacity=1)
    with connections.register(ANN) as connection:
        connections.drain()
        with refuses(Unavailable, "OVERLOADED"):
            connection.check()

    with refuses(Unavailable, "OVERLOADED"), connections.register(ANN):
        pytest.fail("a stream began in a drained process")
