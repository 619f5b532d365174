"""What every refusal has to say, over HTTP and over gRPC."""

import grpc
import grpc.aio
import httpx
from google.rpc import error_details_pb2, status_pb2

from chassis.errors import REASONS
from chassis.wire import DETAILS_KEY

DOMAIN = "feedmesh"


def refusal(answer: httpx.Response) -> tuple[int, str]:
    """Status and reason of an error answer that is as it has to be."""
    assert answer.is_error, f"{answer.request.url}: {answer.status_code} {answer.text}"
    body = answer.json()
    info = body["details"][0]
    assert info["@type"].endswith(
        f"/{error_details_pb2.ErrorInfo.DESCRIPTOR.full_name}"
    )
    assert info["reason"] in REASONS, answer.text
    assert info["domain"] == DOMAIN
    assert body["message"]
    assert answer.headers["content-type"] == "application/json"
    return answer.status_code, str(info["reason"])


def fields_of(answer: httpx.Response) -> set[str]:
    """The fields that a refusal complains of."""
    return {
        violation["field"]
        for detail in answer.json()["details"]
        for violation in detail.get("fieldViolations", [])
    }


def without_request_id(answer: httpx.Response) -> bytes:
    """The bytes of an answer but for the id of its request."""
    own = answer.headers["x-request-id"].encode()
    return answer.content.replace(own, b"")


def rpc_refusal(error: grpc.aio.AioRpcError) -> tuple[grpc.StatusCode, str]:
    """Status and reason of a refused call that says all it has to."""
    trailers = dict(error.trailing_metadata() or ())
    status = status_pb2.Status.FromString(bytes(trailers[DETAILS_KEY]))
    info = error_details_pb2.ErrorInfo()
    assert status.code == error.code().value[0]
    assert any(detail.Unpack(info) for detail in status.details)
    assert info.reason in REASONS
    assert info.domain == DOMAIN
    return error.code(), info.reason
