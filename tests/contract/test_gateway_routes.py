"""Routes against the contract: all there, none besides, none to what is internal."""

from pathlib import Path
from typing import Any

import pytest
from google.protobuf import json_format
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from feedmesh.options.v1 import options_pb2

from chassis.policy import image

from gateway_http.image import HTTP_RULE, Image, ImageError, Method, packaged
from gateway_http.routes import build
from gateway_http.trie import TemplateError

# Kept by hand: verb, path, RPC and status of success, as contract.md has them.
TABLE = Path(__file__).with_name("routes.txt")

CONTRACT = packaged()
ROUTES = build(CONTRACT)


def test_the_routes_are_those_of_the_table() -> None:
    """A route more or less has to be written down here too."""
    served = {
        f"{route.rule.verb} {route.rule.template} "
        f"{route.method.service.rpartition('.')[2]}.{route.method.name} {route.success}"
        for route in ROUTES.all
    }
    lines = TABLE.read_text().splitlines()

    assert served == {line for line in lines if not line.startswith("#")}


def test_no_route_leads_to_an_internal_method() -> None:
    """The edge cannot reach what is not for it (T5)."""
    internal = {
        method.path
        for method in CONTRACT.methods
        if method.policy.audience == options_pb2.AUDIENCE_INTERNAL
    }

    assert internal
    assert not internal & {route.method.path for route in ROUTES.all}


@pytest.mark.parametrize("method", CONTRACT.methods, ids=lambda m: m.name)
def test_a_post_has_a_body_and_a_get_has_none(method: Method) -> None:
    """DELETE neither: what it says stands in path and query."""
    for rule in method.rules:
        assert bool(rule.body) is (rule.verb not in ("GET", "DELETE"))


def test_reads_with_an_etag_and_streams_are_told_apart_by_policy() -> None:
    """What may be kept follows from the contract alone."""
    by_name = {route.method.name: route for route in ROUTES.all}

    assert by_name["GetHomeFeed"].conditional
    assert by_name["GetHomeFeed"].cache_control == b"private, no-cache"
    assert by_name["GetJwks"].cache_control == b"public, max-age=300"
    assert not by_name["Sync"].conditional
    assert by_name["Subscribe"].timeout is None
    assert by_name["GetPost"].etag is not None
    assert by_name["GetHomeFeed"].etag is None


@pytest.mark.parametrize(
    ("method", "rule"),
    [
        ("GetUser", {"get": "/v1/x/{nothing}"}),
        ("GetUser", {"get": "/v1/x/{"}),
        ("GetUser", {"get": "/v1/posts/{user_id}"}),
        ("GetUser", {"get": "/v1/x", "response_body": "nothing"}),
        ("BatchGetUsers", {"get": "/v1/x/{user_ids}"}),
        ("CreateUser", {"post": "/v1/x", "body": "nothing"}),
        ("CreateUser", {"post": "/v1/x", "body": "handle"}),
        # A list of messages has no form in a query.
        ("ImportUsers", {"get": "/v1/x"}),
        # Not for the edge, whatever its rule says.
        ("GetReach", {"get": "/v1/x"}),
        ("StreamFollowers", {"get": "/v1/x"}),
    ],
)
def test_a_rule_that_cannot_be_served_stops_the_start(
    method: str, rule: dict[str, str]
) -> None:
    """A mistake in the contract is found before a caller finds it."""
    with pytest.raises((ImageError, TemplateError)):
        build(image_with(method, rule))


def test_further_bindings_and_parts_of_answers_are_served() -> None:
    """What the grammar has and no route uses yet."""
    rule = {"get": "/v1/{user_id}", "response_body": "user"}
    more = {"additional_bindings": [{"custom": {"kind": "COPY", "path": "/v1/copy"}}]}
    routes = build(image_with("GetUser", {**rule, **more})).all

    mine = [route for route in routes if route.method.name == "GetUser"]
    assert [(r.rule.verb, r.response_field) for r in mine] == [
        ("GET", "user"),
        ("COPY", ""),
    ]


def image_with(name: str, rule: dict[str, Any]) -> Image:
    """The contract, with another HTTP rule for one method."""
    files = FileDescriptorSet()
    files.CopyFrom(image())
    found = [
        method
        for file in files.file
        for service in file.service
        for method in service.method
        if method.name == name
    ]
    (method,) = found
    extension = method.options.Extensions[HTTP_RULE]
    extension.Clear()
    json_format.ParseDict(rule, extension)
    return Image(files.SerializeToString())
