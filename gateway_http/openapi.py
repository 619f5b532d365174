"""The OpenAPI 3.1 document, from the same routes that requests take."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib import metadata

from feedmesh.options.v1 import options_pb2

from chassis.errors import BY_CODE

from . import fields, frames, headers, problems
from .image import Image
from .routes import Route, Routes
from .schemas import Schema, Schemas

REASONS = "feedmesh.types.v1.ErrorReason"

# "NOT_FOUND / POST_NOT_FOUND: no such post" in the comment of an RPC.
ERROR = re.compile(r"^ {2}([A-Z_]+) / ([A-Z_]+): ", re.MULTILINE)
VARIABLE = re.compile(r"\{([^}=]+)(?:=[^}]*)?\}")

STATUS_SCHEMA: Schema = {
    "type": "object",
    "description": "google.rpc.Status: what went wrong, with typed details.",
    "required": ["code", "message", "details"],
    "properties": {
        "code": {"type": "integer", "description": "google.rpc.Code."},
        "message": {"type": "string"},
        "details": {
            "type": "array",
            "description": "ErrorInfo always; BadRequest, RetryInfo, RequestInfo.",
            "items": {
                "type": "object",
                "required": ["@type"],
                "properties": {
                    "@type": {"type": "string"},
                    "reason": {"$ref": "#/components/schemas/ErrorReason"},
                    "domain": {"type": "string", "const": problems.DOMAIN},
                    "metadata": {
                        "type": "object",
                        "additionalProperties": {"type": "string"},
                    },
                    "fieldViolations": {
                        "type": "array",
                        "items": {"$ref": "#/components/schemas/FieldViolation"},
                    },
                    "retryDelay": {"type": "string"},
                    "requestId": {"type": "string"},
                },
            },
        },
    },
}
VIOLATION_SCHEMA: Schema = {
    "type": "object",
    "required": ["field", "description"],
    "properties": {"field": {"type": "string"}, "description": {"type": "string"}},
}
PROBLEM_SCHEMA: Schema = {
    "type": "object",
    "description": "RFC 9457 problem document; the same facts as in Status.",
    "required": ["type", "title", "status", "detail", "code", "reason"],
    "properties": {
        "type": {"type": "string", "format": "uri"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "instance": {"type": "string"},
        "code": {"type": "integer"},
        "reason": {"$ref": "#/components/schemas/ErrorReason"},
        "domain": {"type": "string"},
        "metadata": {"type": "object", "additionalProperties": {"type": "string"}},
        "violations": {
            "type": "array",
            "items": {"$ref": "#/components/schemas/FieldViolation"},
        },
        "retryAfter": {"type": "number"},
    },
}
ERROR_CONTENT: Schema = {
    headers.JSON: {"schema": {"$ref": "#/components/schemas/Status"}},
    headers.PROBLEM: {"schema": {"$ref": "#/components/schemas/Problem"}},
}


def document(image: Image, routes: Routes) -> Schema:
    """The whole document."""
    schemas = Schemas(image)
    paths: dict[str, Schema] = {}
    for route in routes.all:
        operation = _operation(route, schemas)
        paths.setdefault(_path(route), {})[route.rule.verb.lower()] = operation
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "feedmesh",
            "version": metadata.version("feedmesh"),
            "description": (
                "A social activity-feed backend. JSON is canonical proto3 JSON: "
                "lowerCamelCase names, 64-bit ids as strings, defaults left out. "
                "`me` in a path means the caller."
            ),
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "tags": list(_tags(routes, schemas)),
        "paths": paths,
        "components": {
            "schemas": {
                **schemas.components,
                "Status": STATUS_SCHEMA,
                "Problem": PROBLEM_SCHEMA,
                "FieldViolation": VIOLATION_SCHEMA,
                "ErrorReason": _reasons(image, schemas),
            },
            "responses": {
                "Error": {"description": "An error.", "content": ERROR_CONTENT}
            },
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "bearerFormat": "JWT",
                    "description": "The accessToken of a session.",
                }
            },
        },
    }


def _operation(route: Route, schemas: Schemas) -> Schema:
    method = route.method
    comment = schemas.comment(method.full_name)
    policy = method.policy
    operation: Schema = {
        "operationId": f"{method.service.rpartition('.')[2]}_{method.name}",
        "tags": [method.service.rpartition(".")[2]],
        "summary": _summary(comment),
        "description": comment,
        "parameters": list(_parameters(route, schemas)),
        "responses": _responses(route, schemas, comment),
        "security": (
            [{}, {"token": []}]
            if policy.audience == options_pb2.AUDIENCE_PUBLIC
            else [{"token": []}]
        ),
        "x-feedmesh-policy": {
            "audience": options_pb2.Audience.Name(policy.audience),
            "rateLimit": {"class": route.rate_class, "cost": route.rate_cost},
            **({"deadline": f"{route.timeout:g}s"} if route.timeout else {}),
        },
    }
    if route.binding.body_message is not None:
        operation["requestBody"] = _body(route, schemas)
    return operation


def _body(route: Route, schemas: Schemas) -> Schema:
    message = route.binding.body_message
    assert message is not None
    bound = [path[-1] for path in route.binding.path_fields.values()]
    schema = schemas.message(message, without=bound, writable=True)
    return {
        "required": bool(schema.get("required")),
        "content": {headers.JSON: {"schema": schema}},
    }


def _parameters(route: Route, schemas: Schemas) -> Iterator[Schema]:
    binding = route.binding
    for path in binding.path_fields.values():
        schema = schemas.field(path[-1])
        described = schema.pop("description", "")
        schema.pop("readOnly", None)
        if path[-1].name == "user_id":
            schema = {"anyOf": [schema, {"const": "me"}]}
        yield {
            "name": fields.dotted(path, json=True),
            "in": "path",
            "required": True,
            "description": described,
            "schema": schema,
        }
    for name, path in binding.parameters.items():
        schema = schemas.field(path[-1])
        yield {
            "name": name,
            "in": "query",
            "required": len(path) == 1 and schemas.is_required(path[0]),
            "description": schema.pop("description", ""),
            "schema": schema,
        }
    yield from _header_parameters(route)


def _header_parameters(route: Route) -> Iterator[Schema]:
    if route.binding.request_id is not None:
        yield _header(
            "Idempotency-Key",
            "Makes a repeat safe; the same as requestId.",
            {"type": "string", "pattern": "^[!-~]{1,128}$"},
        )
    if route.binding.etag is not None:
        yield _header(
            "If-Match", "The etag that the resource must still have; else 412."
        )
    if route.conditional:
        yield _header("If-None-Match", "The ETag of the answer already at hand.")
    if route.method.server_streaming:
        yield _header("Last-Event-ID", "Position to go on from.")
    else:
        yield _header("X-Request-Timeout", "Seconds the caller waits.")
    yield _header(
        "X-Feedmesh-Graph-Version",
        "Answers are never from relations older than this version.",
    )


def _header(name: str, description: str, schema: Schema | None = None) -> Schema:
    return {
        "name": name,
        "in": "header",
        "required": False,
        "description": description,
        "schema": schema or {"type": "string"},
    }


def _responses(route: Route, schemas: Schemas, comment: str) -> Schema:
    responses: Schema = {str(route.success): _success(route, schemas)}
    if route.conditional:
        responses["304"] = {"description": "The answer at hand is still the answer."}
    for status, lines in sorted(_errors(route, comment).items()):
        responses[str(status)] = {
            "description": "\n".join(lines),
            "content": ERROR_CONTENT,
        }
    responses["default"] = {"$ref": "#/components/responses/Error"}
    return responses


def _success(route: Route, schemas: Schemas) -> Schema:
    output = route.method.output
    described = schemas.comment(output.full_name) or "Success."
    if route.response_field:
        part = fields.by_any_name(output)[route.response_field]
        return {
            "description": described,
            "content": {headers.JSON: {"schema": schemas.field(part)}},
        }
    schema = schemas.reference(output)
    media = frames.OFFERED if route.method.server_streaming else (headers.JSON,)
    return {
        "description": described,
        "content": {
            name: {"schema": {"type": "string"} if name == headers.SSE else schema}
            for name in media
        },
    }


def _errors(route: Route, comment: str) -> dict[int, list[str]]:
    """The errors that the comment lists, by HTTP status."""
    codes = {kind.status: kind for kind in BY_CODE.values()}
    found: dict[int, list[str]] = {}
    takes_if_match = route.binding.etag is not None
    for code, reason in ERROR.findall(comment):
        status = problems.status_of(codes[code](reason))
        found.setdefault(status, []).append(reason)
        if reason == "ETAG_MISMATCH" and takes_if_match:
            found.setdefault(412, []).append(reason)
    return found


def _tags(routes: Routes, schemas: Schemas) -> Iterator[Schema]:
    services = dict.fromkeys(route.method.service for route in routes.all)
    for service in services:
        yield {
            "name": service.rpartition(".")[2],
            "description": schemas.comment(service),
        }


def _reasons(image: Image, schemas: Schemas) -> Schema:
    enum = image.enum(REASONS)
    names = [value.name for value in enum.values if value.number]
    told = {name: schemas.comment(f"{REASONS}.{name}") for name in names}
    prefix = "ERROR_REASON_"
    return {
        "type": "string",
        "description": "\n".join(
            f"- {name.removeprefix(prefix)}: {' '.join(text.split())}"
            for name, text in told.items()
        ),
        "enum": [name.removeprefix(prefix) for name in names],
    }


def _path(route: Route) -> str:
    """The template with the names of the parameters, as OpenAPI writes it."""
    return VARIABLE.sub(
        lambda found: f"{{{fields.json_name(found[1])}}}", route.template.text
    )


def _summary(comment: str) -> str:
    first = " ".join(comment.split("\n\n", maxsplit=1)[0].split())
    return first.split(". ")[0].rstrip(".")
