"""What the contract says about its methods, as the services read it."""

import json

import pytest
from google.protobuf.descriptor_pb2 import MethodOptions

from feedmesh.ingest.v1 import events_pb2
from feedmesh.options.v1 import options_pb2
from feedmesh.rank.v1 import rank_pb2

from chassis import policy

RANK = "/feedmesh.rank.v1.RankService/Rank"
SUBSCRIBE = "/feedmesh.push.v1.PushService/Subscribe"


def test_plan_of_a_unary_method() -> None:
    """Audience, deadline, criticality and messages come from the proto."""
    plan = policy.methods()[RANK]

    assert plan.policy.audience == options_pb2.AUDIENCE_INTERNAL
    assert (plan.deadline, plan.max_deadline) == (0.08, 0.08)
    assert plan.idempotency == MethodOptions.NO_SIDE_EFFECTS
    assert plan.input == "feedmesh.rank.v1.RankRequest"
    assert not plan.is_long_lived


def test_plan_of_a_long_lived_stream() -> None:
    """Only what streams may be without a deadline."""
    assert policy.methods()[SUBSCRIBE].is_long_lived


@pytest.mark.parametrize("path", policy.methods())
def test_every_method_has_a_policy(path: str) -> None:
    """A server would refuse to start with one that has none."""
    plan = policy.methods()[path]

    assert plan.policy.audience != options_pb2.AUDIENCE_UNSPECIFIED
    assert plan.is_long_lived or plan.deadline
    assert (plan.max_deadline or 0) >= (plan.deadline or 0)


def test_event_subject() -> None:
    """The subject is an option of the message; what has none is no event."""
    assert policy.event_subject(events_pb2.PostPublished).startswith("ev.")
    with pytest.raises(ValueError, match="RankRequest is not an event"):
        policy.event_subject(rank_pb2.RankRequest)


def test_service_config() -> None:
    """Round robin among the healthy, a timeout for each method, no retries."""
    services = policy.services("feedmesh.rank.")
    config = json.loads(policy.service_config(services))

    assert config["loadBalancingConfig"] == [{"round_robin": {}}]
    assert config["healthCheckConfig"] == {"serviceName": ""}
    assert config["methodConfig"] == [
        {
            "name": [{"service": "feedmesh.rank.v1.RankService", "method": "Rank"}],
            "timeout": "2.080s",
        }
    ]
    assert "retryPolicy" not in str(config)


def test_streams_have_no_configured_timeout() -> None:
    """gRPC would cut a long-lived stream."""
    config = json.loads(policy.service_config(policy.services("feedmesh.push.")))

    named = [entry["name"][0]["method"] for entry in config["methodConfig"]]
    assert "Subscribe" not in named
    assert "Sync" in named
