"""The path matrix knows every route: what it reads along, or why there is nothing."""

import pytest
from google.protobuf import json_format
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from chassis.policy import image

from gateway_http.image import HTTP_RULE, Image, packaged
from gateway_http.routes import build
from tests.support.matrix_rows import (
    AFTER,
    BEFORE,
    DURING,
    routes_of,
    rows,
    without_row,
)

TABLE = rows()
# Ways to posts that are no route of the gateway.
COMMANDS = {"meshctl feed HANDLE"}


def test_every_route_has_a_row() -> None:
    """A new route cannot show what is hidden without anybody looking (T30)."""
    assert without_row(routes_of(build(packaged())), TABLE) == set()


def test_every_row_is_a_route() -> None:
    """Rows of routes that are gone would look like cover."""
    assert set(TABLE) - routes_of(build(packaged())) == COMMANDS


def test_every_path_of_a_row_is_gone_along() -> None:
    """And nothing is gone along that no row names."""
    assert set().union(*TABLE.values()) == BEFORE | AFTER | DURING


@pytest.mark.parametrize("method", ["GetPost", "GetHomeFeed", "ListFollowers"])
def test_a_route_without_a_row_is_found(method: str) -> None:
    """Planted: the same answers at an address that no row knows."""
    routes = routes_of(build(with_second_address(method)))

    assert without_row(routes, TABLE) == {f"GET /v1/back/{method}"}


def with_second_address(name: str) -> Image:
    """The contract, with one more route."""
    files = FileDescriptorSet()
    files.CopyFrom(image())
    (method,) = [
        method
        for file in files.file
        for service in file.service
        for method in service.method
        if method.name == name
    ]
    rule = {"additionalBindings": [{"get": f"/v1/back/{name}"}]}
    json_format.ParseDict(rule, method.options.Extensions[HTTP_RULE])
    return Image(files.SerializeToString())
