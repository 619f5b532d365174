"""The handlers against the contract."""

import inspect
from typing import Any

from feedmesh.ingest.v1 import post_pb2

from chassis.policy import event_subject

from svc_ingest import events
from svc_ingest.service import PostService

METHODS = post_pb2.DESCRIPTOR.services_by_name["PostService"].methods


def test_every_rpc_of_the_contract_has_a_handler() -> None:
    """And no handler is left over from an RPC that is gone."""
    handlers = {
        name
        for name, value in inspect.getmembers(PostService)
        if inspect.iscoroutinefunction(value)
    }

    assert handlers == {method.name for method in METHODS}


def test_consumers_have_names_of_their_own() -> None:
    """Two consumers of one durable name would share its events."""
    consumers: list[Any] = [
        value
        for _, value in inspect.getmembers(events, inspect.isclass)
        if value.__module__ == events.__name__ and hasattr(value, "durable")
    ]

    names = [value.durable for value in consumers]
    assert len(set(names)) == len(names) == 9
    for value in consumers:
        assert event_subject(value.event).startswith("ev.")
        assert value.durable.startswith("ingest-")
        assert hasattr(value, "handle") != hasattr(value, "handle_many")
