"""Ordinary gRPC calls over HTTP/2: what every peer speaks."""

import ipaddress
from collections.abc import Sequence

import grpc

from chassis import policy

MIB = 1024 * 1024

OPTIONS = (
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    # The default of two minutes would leave a restarted peer out of reach.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    ("grpc.max_receive_message_length", 4 * MIB),
    ("grpc.max_send_message_length", MIB),
    # Peers are on our own network: a proxy of the environment is not for them.
    ("grpc.enable_http_proxy", 0),
    # Retries live in the gateway alone.
    ("grpc.enable_retries", 0),
    # Connections and their backoff belong to the channel that closes them.
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.service_config_disable_resolution", 1),
)


def open_plain(
    target: str,
    *,
    services: Sequence[str],
    interceptors: Sequence[grpc.aio.ClientInterceptor] = (),
) -> grpc.aio.Channel:
    """A channel to the backends of a target, taken in turn while they are healthy."""
    return grpc.aio.insecure_channel(
        resolvable(target),
        options=[*OPTIONS, ("grpc.service_config", policy.service_config(services))],
        interceptors=list(interceptors),
    )


def resolvable(target: str) -> str:
    """A target as gRPC resolves it.

    "host:port" is looked up by DNS; a comma-separated list must be of addresses. A
    target with a scheme of its own ("dns:///…", "unix:…") stays as it is.
    """
    if "://" in target or target.startswith(("unix:", "ipv4:", "ipv6:", "dns:")):
        return target
    backends = [part.strip() for part in target.split(",")]
    if all(_is_ipv4(backend) for backend in backends):
        return f"ipv4:{','.join(backends)}"
    if len(backends) > 1:
        raise ValueError(f"{target}: a list must be of IPv4 addresses with ports")
    return f"dns:///{backends[0]}"


def _is_ipv4(backend: str) -> bool:
    host, _, port = backend.rpartition(":")
    try:
        return bool(ipaddress.IPv4Address(host)) and port.isdecimal()
    except ValueError:
        return False
