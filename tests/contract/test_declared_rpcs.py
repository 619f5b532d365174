"""What the contract declares is served, and declared as the rules of the tree want."""

import importlib
import inspect
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import grpc
import grpc_testing
import pytest
from google.api import field_behavior_pb2
from google.protobuf import message_factory
from google.protobuf.descriptor import Descriptor, FieldDescriptor, ServiceDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorProto, MethodOptions
from google.protobuf.descriptor_pool import Default

from feedmesh.options.v1 import options_pb2

from chassis import policy
from chassis.errors import BY_CODE, REASONS
from chassis.policy import MethodPlan

from gateway_http.image import packaged

ROOT = Path(__file__).parents[2]
ERROR_LINE = re.compile(r"^ *([A-Z_]+) / ([A-Z_]+): \S", re.MULTILINE)
STATUSES = {code.name for code in grpc.StatusCode if code.value[0] in BY_CODE}
# The only ones whose repeat is not the same: each opens or turns something anew.
NOT_IDEMPOTENT = {"CreateSession", "RefreshSession"}
# What they answer is bounded by the request, or by the work of one call.
BOUNDED = {
    *("BatchGetUsers", "GetJwks", "Sync", "ImportUsers"),
    *("AuditFeed", "ReconcileCounters"),
}
PLANS = sorted(policy.methods().values(), key=lambda plan: plan.full_name)
COMMENTS = packaged().comments

every_method = pytest.mark.parametrize(
    "plan", PLANS, ids=[plan.full_name.rpartition(".")[2] for plan in PLANS]
)


@cache
def domains() -> dict[str, str]:
    """Room of each service of the contract."""
    return {name: f"svc_{name.split('.')[1]}" for name in policy.services()}


def generated(service: str) -> type:
    """The servicer base that was generated for a service."""
    file = Default().FindServiceByName(service).file.name.removesuffix(".proto")
    module = importlib.import_module(f"{file.replace('/', '.')}_pb2_grpc")
    base: type = getattr(module, f"{service.rpartition('.')[2]}Servicer")
    return base


def servicer(service: str) -> type:
    """The class of the room that serves a service: it has the service's name."""
    room, name = domains()[service], service.rpartition(".")[2]
    modules = (
        importlib.import_module(f"{room}.{path.stem}")
        for path in sorted((ROOT / room).glob("service*.py"))
    )
    (found,) = {
        kind for module in modules if isinstance(kind := vars(module).get(name), type)
    }
    return found


@pytest.fixture(scope="module", autouse=True)
def _stubs() -> None:
    """Every generated module, so that descriptors can be found by name."""
    for name in packaged_files():
        importlib.import_module(name.removesuffix(".proto").replace("/", ".") + "_pb2")


def packaged_files() -> list[str]:
    return [file.name for file in ours()]


def ours() -> list[FileDescriptorProto]:
    return [file for file in policy.image().file if file.name.startswith("feedmesh/")]


@pytest.mark.parametrize("service", policy.services())
def test_every_declared_rpc_has_a_handler(service: str) -> None:
    """And every handler is declared: no RPC stands without its implementation."""
    base, own = generated(service), servicer(service)
    declared = {plan.method for plan in PLANS if plan.service == service}
    public = {
        name
        for name, _ in inspect.getmembers(own, inspect.isfunction)
        if not name.startswith("_")
    }

    unserved = {m for m in declared if getattr(own, m, None) in (None, vars(base)[m])}
    assert unserved == set()
    assert public == declared


@pytest.mark.parametrize("service", policy.services())
def test_every_handler_takes_a_call(service: str) -> None:
    """As a server finds them: by descriptor, none of them answering UNIMPLEMENTED."""
    descriptor = Default().FindServiceByName(service)
    handlers: Any = servicer(service)
    server = grpc_testing.server_from_dictionary(
        # No collaborators: the call gets as far as the coroutine of the handler.
        {descriptor: object.__new__(handlers)},
        grpc_testing.strict_real_time(),
    )

    assert unanswered(server, descriptor) == set()


def unanswered(server: Any, service: ServiceDescriptor) -> set[str]:
    missing: set[str] = set()
    for method in service.methods:
        if method.server_streaming:
            continue
        request = message_factory.GetMessageClass(method.input_type)()
        call = server.invoke_unary_unary(method, (), request, None)
        answer, _, code, _ = call.termination()
        if code is not grpc.StatusCode.OK or not inspect.iscoroutine(answer):
            missing.add(method.name)
        else:
            answer.close()
    return missing


def test_a_missing_handler_is_seen() -> None:
    """The generated base serves nothing."""
    service = "feedmesh.feed.v1.FeedService"
    descriptor = Default().FindServiceByName(service)
    server = grpc_testing.server_from_dictionary(
        {descriptor: generated(service)()}, grpc_testing.strict_real_time()
    )

    assert unanswered(server, descriptor) == {one.name for one in descriptor.methods}


@pytest.mark.parametrize("service", policy.services())
def test_every_service_is_registered(service: str) -> None:
    """The wiring of its room gives it to the server."""
    wiring = (ROOT / domains()[service] / "wiring.py").read_text()

    assert f"add_{service.rpartition('.')[2]}Servicer_to_server: " in wiring


@every_method
def test_a_method_says_all_that_its_callers_need(plan: MethodPlan) -> None:
    """Policy, whether it can be repeated, rate and criticality; text above it."""
    said = {descriptor.name for descriptor, _ in plan.policy.ListFields()}
    routed = any(m.rules for m in packaged().methods if m.path == plan.full_name)

    assert {"audience", "criticality", "cache"} <= said
    assert plan.is_long_lived is ("deadline" not in said)
    assert plan.is_long_lived is ("stream" in said)
    # Calls between services are not rated: they come from calls that were.
    assert ("rate" in said) is routed
    assert COMMENTS[plan.full_name[1:].replace("/", ".")].startswith(plan.method)


@every_method
def test_a_method_says_whether_it_can_be_repeated(plan: MethodPlan) -> None:
    """Reads have no side effects; only those may be retried without a request id."""
    once = plan.method in NOT_IDEMPOTENT

    assert (plan.idempotency == MethodOptions.IDEMPOTENCY_UNKNOWN) is once
    if plan.policy.retryable:
        assert plan.idempotency == MethodOptions.NO_SIDE_EFFECTS
    if plan.method.startswith(("Get", "List", "BatchGet", "BatchList", "Lookup")):
        assert plan.idempotency == MethodOptions.NO_SIDE_EFFECTS


@every_method
def test_errors_of_a_comment_are_in_the_contract(plan: MethodPlan) -> None:
    """Each line names a status and a reason that exist."""
    comment = COMMENTS[plan.full_name[1:].replace("/", ".")]
    head, listed, errors = comment.partition("Errors:")
    lines = ERROR_LINE.findall(errors)

    assert bool(lines) is bool(listed)
    assert ERROR_LINE.findall(head) == []
    assert {reason for _, reason in lines} <= REASONS
    assert {status for status, _ in lines} <= STATUSES


def test_every_reason_has_its_words() -> None:
    """A reason is documented where it is declared."""
    told = {name.rpartition("ERROR_REASON_")[2] for name in COMMENTS}

    assert told >= REASONS


@every_method
def test_a_change_takes_a_request_id(plan: MethodPlan) -> None:
    """So that it can be sent again (AIP-155); a read needs none."""
    request = Default().FindMessageTypeByName(plan.input)
    field = request.fields_by_name.get("request_id")

    changes = plan.idempotency != MethodOptions.NO_SIDE_EFFECTS
    assert (field is not None) is changes
    assert field is None or field.type == FieldDescriptor.TYPE_STRING


@every_method
def test_a_list_is_read_in_pages(plan: MethodPlan) -> None:
    """page_size and page_token in, next_page_token out (AIP-158), or none of them.

    What services ask of each other is bounded by its request instead, and a poll
    goes on from its position.
    """
    request = Default().FindMessageTypeByName(plan.input).fields_by_name
    answer = Default().FindMessageTypeByName(plan.output).fields_by_name
    pages = "page_token" in request

    assert pages is ("next_page_token" in answer)
    assert not pages or "page_size" in request
    if plan.policy.audience != options_pb2.AUDIENCE_INTERNAL:
        repeated = any(field.is_repeated for field in answer.values())
        bounded = plan.method in BOUNDED
        assert pages is (repeated and not bounded)
    if plan.method.startswith("List") and not plan.method.endswith("Celebrities"):
        assert pages


def fields_of_requests() -> Iterator[FieldDescriptor]:
    """Every field that a caller may write, at any depth."""
    seen: set[str] = set()
    todo: list[Descriptor] = [
        Default().FindMessageTypeByName(plan.input) for plan in PLANS
    ]
    while todo:
        message = todo.pop()
        if message.full_name in seen or not message.full_name.startswith("feedmesh."):
            continue
        seen.add(message.full_name)
        for field in message.fields:
            yield field
            if field.message_type is not None:
                todo.append(field.message_type)


def test_every_field_of_a_request_says_who_writes_it() -> None:
    """google.api.field_behavior, nested messages too (AIP-203)."""
    behavior: Any = field_behavior_pb2.field_behavior
    silent = [
        field.full_name
        for field in fields_of_requests()
        if not field.GetOptions().Extensions[behavior]
    ]

    assert silent == []


def test_every_event_has_an_envelope_and_a_subject() -> None:
    """Its own subject, of fixed tokens: ev.<domain>.<what happened>."""
    events = [
        (file, message)
        for file in ours()
        if file.name.endswith("events.proto")
        for message in file.message_type
    ]
    subjects: dict[str, str] = {}
    for file, message in events:
        full = f"{file.package}.{message.name}"
        kind = message_factory.GetMessageClass(Default().FindMessageTypeByName(full))
        subjects[full] = policy.event_subject(kind)
        head = message.field[0]
        assert (head.name, head.type_name) == (
            "envelope",
            ".feedmesh.types.v1.EventEnvelope",
        )
        snake = re.sub(r"(?<!^)(?=[A-Z])", "_", message.name).lower()
        assert subjects[full] == f"ev.{file.package.split('.')[1]}.{snake}"

    assert len(events) > 10
    assert len(set(subjects.values())) == len(events)
