"""Requests to wire bytes: what fills which field, and what is refused."""

import json
from contextlib import suppress
from typing import Any

import pytest
from google.protobuf import json_format
from hypothesis import given
from hypothesis import strategies as st

from chassis.errors import InvalidArgument, Unauthenticated

from gateway_http.binding import Binding, Inputs
from gateway_http.image import packaged
from gateway_http.routes import build

CONTRACT = packaged()
ROUTES = {route.method.name: route for route in build(CONTRACT).all}
CALLER = 7

Path = dict[tuple[str, ...], str]


def bound(name: str, **given: Any) -> dict[str, Any]:
    """The request that a route makes of some inputs, as JSON."""
    route = ROUTES[name]
    wire = route.binding.bind(inputs(**given))
    message = CONTRACT.message_class(route.method.input).FromString(wire)
    return json_format.MessageToDict(message)


def inputs(
    *,
    path: Path | None = None,
    query: str = "",
    body: Any = b"",
    user_id: int = CALLER,
    request_id: str = "",
    etag: str = "",
) -> Inputs:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Inputs(path or {}, query.encode(), raw, user_id, request_id, etag)


def violations(name: str, **given: Any) -> dict[str, str]:
    with pytest.raises(InvalidArgument) as caught:
        ROUTES[name].binding.bind(inputs(**given))
    return dict(caught.value.violations)


POST: Path = {("post", "post_id"): "5"}
USER: Path = {("user_id",): "9"}


def test_the_path_sets_its_field() -> None:
    """A number in the path arrives as a number."""
    assert bound("GetPost", path={("post_id",): "5"}) == {"postId": "5"}


@pytest.mark.parametrize("name", ["GetUser", "ListFollowers", "ListUserPosts"])
def test_me_is_the_caller(name: str) -> None:
    """`me` becomes the caller's id before it reaches the field."""
    assert bound(name, path={("user_id",): "me"}) == {"userId": str(CALLER)}


def test_me_needs_a_caller() -> None:
    """Without a token `me` is nobody."""
    with pytest.raises(Unauthenticated) as caught:
        bound("GetUser", path={("user_id",): "me"}, user_id=0)

    assert caught.value.reason == "TOKEN_MISSING"


def test_me_is_no_post() -> None:
    """Only where a person is meant."""
    assert "postId" in violations("GetPost", path={("post_id",): "me"})


@pytest.mark.parametrize(
    "text", ["", "x", "1.0", "1e3", "+1", "01", " 1", "1_0", "٣", "9223372036854775808"]
)
def test_only_a_plain_number_is_an_id(text: str) -> None:
    """What int() would take besides digits is refused."""
    assert list(violations("GetPost", path={("post_id",): text})) == ["postId"]


def test_the_query_sets_the_rest() -> None:
    """Numbers, flags, names of enums; names in either spelling."""
    query = "pageSize=5&order=ORDER_LATEST&refresh=true&page_token=a%2Bb+c"

    assert bound("GetHomeFeed", query=query) == {
        "pageSize": 5,
        "order": "ORDER_LATEST",
        "refresh": True,
        "pageToken": "a+b c",
    }


def test_a_repeated_parameter_fills_a_list() -> None:
    """In the order given."""
    query = "user_ids=3&user_ids=1&user_ids=2"
    assert bound("BatchGetUsers", query=query) == {"userIds": ["3", "1", "2"]}


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("nonsense=1", "nonsense"),
        ("userId=1", "userId"),
        ("pageSize=1&pageSize=2", "pageSize"),
        ("pageSize=1&page_size=1", "page_size"),
        ("pageSize=x", "pageSize"),
        ("pageSize", "pageSize"),
        ("pageSize=2147483648", "pageSize"),
        ("order=LATEST", "order"),
        ("order=2", "order"),
        ("refresh=1", "refresh"),
        ("refresh=TRUE", "refresh"),
        ("pageToken=%FF", "pageToken"),
        ("pageToken=%00", "pageToken"),
    ],
)
def test_a_bad_parameter_is_named(query: str, field: str) -> None:
    """Unknown, doubled or of another type: the answer says which."""
    assert list(violations("GetHomeFeed", query=query)) == [field]


def test_all_findings_are_told_at_once() -> None:
    """A caller need not find them one by one."""
    assert set(violations("GetHomeFeed", query="a=1&pageSize=x&order=y")) == {
        "a",
        "pageSize",
        "order",
    }


def test_too_many_parameters_are_refused() -> None:
    """A bound on the work that a query makes."""
    with pytest.raises(InvalidArgument) as caught:
        bound("BatchGetUsers", query="&".join(["user_ids=1"] * 101))

    assert caught.value.reason == "REQUEST_TOO_LARGE"


def test_the_body_is_the_request() -> None:
    """Body `*`: every field but those of the path, in either spelling."""
    body = {"text": "é", "visibility": "VISIBILITY_FRIENDS", "reply_to": "3"}

    assert bound("CreatePost", body=body) == {
        "text": "é",
        "visibility": "VISIBILITY_FRIENDS",
        "replyTo": "3",
    }


@pytest.mark.parametrize("body", [b"", b"  ", b"{}", b'{"requestId":null}'])
def test_an_empty_body_is_an_empty_object(body: bytes) -> None:
    """PUT and POST need no body where nothing has to be said."""
    assert bound("Follow", path=USER, body=body) == {"userId": "9"}


def test_a_time_is_read_from_text() -> None:
    """Well-known types come as proto3 JSON writes them."""
    body = {"expireTime": "2026-01-31T12:00:00.5Z"}
    assert bound("Mute", path=USER, body=body)["expireTime"] == (
        "2026-01-31T12:00:00.500Z"
    )


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ([], [""]),
        ("text", [""]),
        (None, [""]),
        ({"text": 5}, ["text"]),
        ({"text": ["a"]}, ["text"]),
        ({"text": True}, ["text"]),
        ({"replyTo": True}, ["replyTo"]),
        ({"replyTo": 1.5}, ["replyTo"]),
        ({"replyTo": 1e300}, ["replyTo"]),
        ({"replyTo": "1e3"}, ["replyTo"]),
        ({"replyTo": 2**63}, ["replyTo"]),
        ({"replyTo": 10**300}, None),
        ({"visibility": "PUBLIC"}, ["visibility"]),
        ({"visibility": {}}, ["visibility"]),
        ({"visibility": 2**40}, ["visibility"]),
        ({"authorId": "1"}, ["authorId"]),
        ({"isAdmin": True, "likeCount": 5}, ["isAdmin", "likeCount"]),
        ({"replyTo": 1, "reply_to": 1}, ["reply_to"]),
        ({"Text": "a"}, ["Text"]),
    ],
)
def test_a_body_of_another_shape_is_refused(
    body: Any, fields: list[str] | None
) -> None:
    """Unknown fields, doubled names, other types: each is named (T4, T8)."""
    found = violations("CreatePost", body=body)

    assert fields is None or list(found) == fields


def test_a_larger_enum_number_is_left_to_the_rules_of_the_field() -> None:
    """Numbers are open in proto3; the service refuses those without a name."""
    assert bound("CreatePost", body={"visibility": 77}) == {"visibility": 77}


def test_a_query_beside_a_whole_body_is_refused() -> None:
    """Body `*` takes every field, so the query has none."""
    assert list(violations("CreatePost", query="text=a", body={})) == ["text"]


def test_a_body_where_none_is_taken_is_refused() -> None:
    """A GET or DELETE does not silently drop what came with it."""
    with pytest.raises(InvalidArgument) as caught:
        bound("DeletePost", path={("post_id",): "5"}, body={})

    assert caught.value.reason == "BODY_INVALID"


@pytest.mark.parametrize("name", ["userId", "user_id"])
def test_what_the_path_sets_the_body_may_not(name: str) -> None:
    """Not even to the same value: no request says who is meant twice (T1)."""
    assert list(violations("Follow", path=USER, body={name: "9"})) == ["userId"]


@pytest.mark.parametrize("name", ["postId", "post_id"])
def test_what_the_path_sets_inside_a_resource_the_body_may_not(name: str) -> None:
    """The same, one level down."""
    assert list(violations("UpdatePost", path=POST, body={name: "9"})) == ["postId"]


# PATCH.


def test_the_mask_is_the_names_in_the_body() -> None:
    """Also of what is set to its default, or to null."""
    body = {"displayName": "", "is_private": False, "bio": None}
    got = bound("UpdateUser", path={("user", "user_id"): "me"}, body=body)

    assert got["updateMask"] == "displayName,isPrivate,bio"
    assert got["user"] == {"userId": str(CALLER)}


def test_a_mask_in_the_query_wins() -> None:
    """In either spelling of its names."""
    for mask in ("text,visibility", "visibility"):
        got = bound("UpdatePost", path=POST, query=f"updateMask={mask}", body={})
        assert got["updateMask"] == mask
    got = bound("UpdatePost", path=POST, query="update_mask=create_time", body={})
    assert got["updateMask"] == "createTime"


def test_what_only_answers_hold_is_ignored() -> None:
    """A resource may be sent back as it was read (AIP-203); nothing of it counts."""
    body = {"text": "x", "authorId": "666", "createTime": "2026-01-01T00:00:00Z"}
    got = bound("UpdatePost", path=POST, body=body)

    assert got == {"post": {"postId": "5", "text": "x"}, "updateMask": "text"}


def test_an_etag_in_the_body_is_no_change() -> None:
    """It says what must still be, not what shall be."""
    got = bound("UpdatePost", path=POST, body={"text": "x", "etag": "e"})

    assert got == {
        "post": {"postId": "5", "text": "x", "etag": "e"},
        "updateMask": "text",
    }


def test_without_names_there_is_no_mask() -> None:
    """The service decides what an empty change means."""
    assert bound("UpdatePost", path=POST, body={}) == {"post": {"postId": "5"}}


# Headers.


def test_the_idempotency_key_is_the_request_id() -> None:
    """One idea with two names: the header for HTTP, the field for gRPC."""
    got = bound("CreatePost", body={"text": "a"}, request_id="k1")
    assert got == {"text": "a", "requestId": "k1"}
    assert bound("Unfollow", path=USER, request_id="k") == {
        "userId": "9",
        "requestId": "k",
    }


def test_the_same_id_twice_is_one() -> None:
    """Only a difference is a conflict."""
    got = bound("CreatePost", body={"requestId": "k"}, request_id="k")
    assert got == {"requestId": "k"}
    found = violations("CreatePost", body={"requestId": "k"}, request_id="j")
    assert list(found) == ["requestId"]


def test_if_match_is_the_etag_wherever_it_stands() -> None:
    """In the request, or in the resource that is its body."""
    assert bound("DeletePost", path={("post_id",): "5"}, etag="e")["etag"] == "e"
    got = bound("UpdatePost", path=POST, body={"text": "x"}, etag="e")
    assert got["post"]["etag"] == "e"
    assert got["updateMask"] == "text"
    found = violations("UpdatePost", path=POST, body={"etag": "f"}, etag="e")
    assert list(found) == ["post.etag"]


json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["text", "replyTo", "reply_to", "visibility", "userId", "x"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=8,
)


@given(st.sampled_from(sorted(ROUTES)), json_values, st.text(max_size=20))
def test_no_input_is_a_fault_of_ours(name: str, body: Any, query: str) -> None:
    """Whatever comes is bound or refused; nothing else is ever raised."""
    route = ROUTES[name]
    path = dict.fromkeys(route.binding.path_fields, "5")
    with suppress(InvalidArgument, Unauthenticated):
        route.binding.bind(inputs(path=path, query=query, body=body))


@pytest.mark.parametrize("route", ROUTES.values(), ids=ROUTES.keys())
def test_every_route_of_the_contract_binds(route: Any) -> None:
    """Compiled at start; bodies say which message they are of."""
    binding: Binding = route.binding
    assert bool(binding.body_message) == bool(route.rule.body)
