"""The OpenAPI document: valid, complete, and in step with what is served."""

import json
from functools import cache
from typing import Any

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from chassis.errors import REASONS

from gateway_http.image import packaged
from gateway_http.openapi import VARIABLE, document
from gateway_http.routes import Route, build

CONTRACT = packaged()
ROUTES = build(CONTRACT)


@cache
def spec() -> dict[str, Any]:
    """The document as a client reads it."""
    return dict(json.loads(json.dumps(document(CONTRACT, ROUTES))))


def operations() -> dict[str, dict[str, Any]]:
    return {
        operation["operationId"]: operation
        for item in spec()["paths"].values()
        for operation in item.values()
    }


def operation_of(route: Route) -> dict[str, Any]:
    service = route.method.service.rpartition(".")[2]
    return operations()[f"{service}_{route.method.name}"]


def test_the_document_is_openapi_3_1() -> None:
    """As a validator of the specification sees it, references and all."""
    assert spec()["openapi"] == "3.1.0"
    assert list(OpenAPIV31SpecValidator(spec()).iter_errors()) == []


def test_every_route_is_documented_and_nothing_else() -> None:
    """Routing and document come from one place and cannot disagree (T30)."""
    documented = {
        (verb.upper(), path) for path, item in spec()["paths"].items() for verb in item
    }

    assert len(documented) == len(ROUTES.all) == len(operations())
    shapes = {(verb, VARIABLE.sub("{}", path)) for verb, path in documented}
    assert shapes == {
        (route.rule.verb, VARIABLE.sub("{}", route.template.text))
        for route in ROUTES.all
    }


@pytest.mark.parametrize("route", ROUTES.all, ids=lambda r: r.method.name)
def test_an_operation_says_what_the_contract_says(route: Route) -> None:
    """Comment, parameters, body, success, errors, audience."""
    operation = operation_of(route)

    assert operation["summary"]
    assert operation["description"] == CONTRACT.comments[route.method.full_name]
    named = {p["name"] for p in operation["parameters"] if p["in"] != "header"}
    assert named == {
        *route.binding.parameters,
        *(".".join(f.json_name for f in p) for p in route.binding.path_fields.values()),
    }
    assert all(p["description"] for p in operation["parameters"])
    assert ("requestBody" in operation) is bool(route.rule.body)
    assert str(route.success) in operation["responses"]
    assert "default" in operation["responses"]


def test_the_errors_of_a_comment_become_responses() -> None:
    """By status, with their reasons; 412 beside 409 where If-Match is taken."""
    responses = operations()["PostService_UpdatePost"]["responses"]

    assert responses["404"]["description"] == "POST_NOT_FOUND"
    assert responses["409"]["description"] == "ETAG_MISMATCH"
    assert responses["412"]["description"] == "ETAG_MISMATCH"
    assert responses["403"]["description"] == "NOT_OWNER"
    assert "304" in operations()["PostService_GetPost"]["responses"]


def test_a_body_shows_what_can_be_written() -> None:
    """Rules of the fields, without what the path sets and what only answers hold."""
    create = body("UserService_CreateUser")
    assert create["required"] == ["handle", "password"]
    assert create["properties"]["handle"]["pattern"].startswith("^[a-z0-9_]")
    assert create["properties"]["password"]["minLength"] == 8
    assert create["properties"]["password"]["writeOnly"] is True
    assert create["additionalProperties"] is False

    update = body("PostService_UpdatePost")
    assert not {"postId", "authorId", "createTime"} & set(update["properties"])
    assert "userId" not in body("GraphService_Follow").get("properties", {})


def body(operation: str) -> dict[str, Any]:
    content = operations()[operation]["requestBody"]["content"]
    return dict(content["application/json"]["schema"])


def test_ids_are_strings_and_times_are_dates() -> None:
    """As proto3 JSON has them."""
    post = spec()["components"]["schemas"]["ingest.v1.Post"]["properties"]

    assert post["postId"]["type"] == "string"
    assert post["createTime"]["format"] == "date-time"
    assert post["visibility"]["$ref"] == "#/components/schemas/ingest.v1.Visibility"


def test_the_catalogue_has_every_reason() -> None:
    """With its comment."""
    catalogue = spec()["components"]["schemas"]["ErrorReason"]

    assert set(catalogue["enum"]) == REASONS
    assert all(f"- {reason}: " in catalogue["description"] for reason in REASONS)


def test_public_operations_need_no_token() -> None:
    """And the others say that they do."""
    assert {} in operations()["PostService_GetPost"]["security"]
    assert operations()["FeedService_GetHomeFeed"]["security"] == [{"token": []}]


def test_the_stream_is_shown_in_all_its_forms() -> None:
    """SSE, lines, an array."""
    content = operations()["PushService_Subscribe"]["responses"]["200"]["content"]

    assert set(content) == {
        "text/event-stream",
        "application/x-ndjson",
        "application/json",
    }
