"""Which processes a mesh has, and on which ports."""

from pathlib import Path

import pytest
import typer

from chassis.environment import PORTS

from meshctl.layout import Layout
from meshctl.plan import MAX_WORKERS, ROOMS, STOP_ORDER, Plan
from meshctl.ports import wanted
from meshctl.up import address_of


def plan(*, offset: int = 0, workers: int = 1) -> Plan:
    return Plan(
        layout=Layout(Path("/mesh")),
        offset=offset,
        http_host="127.0.0.1",
        http_port=PORTS["gateway"] + offset,
        workers=workers,
    )


def test_ports_are_the_usual_ones() -> None:
    """Gateway 8080, services from 50051 on, admin ports 100 above."""
    ports = {one.name: (one.port, one.admin_port) for one in plan().processes({}, {})}

    assert ports == {
        "svc_graph": (50051, 50151),
        "svc_rank": (50054, 50154),
        "svc_ingest": (50052, 50152),
        "svc_feed": (50053, 50153),
        "svc_push": (50055, 50155),
        "gateway_http": (8080, 8180),
    }


def test_an_offset_shifts_every_port() -> None:
    """Engines too, so that two meshes fit on one machine."""
    usual = [port for _, port, _ in wanted(plan(), embedded=True)]
    shifted = [port for _, port, _ in wanted(plan(offset=1000), embedded=True)]

    assert shifted == [port + 1000 for port in usual]


def test_workers_share_no_port_but_that_of_the_gateway() -> None:
    """The gateway's is shared by the kernel; all others are called in turn."""
    many = plan(workers=MAX_WORKERS)
    services = [p for p in many.processes({}, {}) if p.package != "gateway_http"]
    gateways = [p for p in many.processes({}, {}) if p.package == "gateway_http"]
    ports = [port for p in services for port in (p.port, p.admin_port)]
    ports += [p.admin_port for p in gateways] + list(vars(many.engine_ports).values())

    assert {p.port for p in gateways} == {8080}
    assert len(ports) == len(set(ports))


def test_each_service_is_told_all_processes_of_the_others() -> None:
    """So that callers spread their calls."""
    env = plan(workers=2).processes({}, {})[0].env

    assert env["FEEDMESH_TARGET_FEED"] == "127.0.0.1:50053,127.0.0.1:50063"


def test_what_the_environment_says_wins_over_development() -> None:
    """A developer may slow down password hashing, or name other secrets."""
    mine = {"FEEDMESH_GRAPH_PASSWORD_TIME_COST": "3", "HOME": "/home/ann"}
    env = plan().processes({"nats_url": "nats://here"}, mine)[0].env

    assert env["FEEDMESH_GRAPH_PASSWORD_TIME_COST"] == "3"
    assert env["FEEDMESH_NATS_URL"] == "nats://here"
    assert env["HOME"] == "/home/ann"


def test_every_room_is_stopped_once() -> None:
    """A room that no group names would be killed at the end."""
    assert sorted(name for group in STOP_ORDER for name in group) == sorted(
        ROOMS.values()
    )


@pytest.mark.parametrize(
    ("given", "address"),
    [
        ("", ("127.0.0.1", 8580)),
        ("0.0.0.0:80", ("0.0.0.0", 80)),
        (":9000", ("127.0.0.1", 9000)),
        ("[::1]:9000", ("::1", 9000)),
    ],
)
def test_http_is_an_address(given: str, address: tuple[str, int]) -> None:
    """Only the usual port is shifted: one that is given is meant."""
    assert address_of(given, 500) == address


@pytest.mark.parametrize("given", ["here", "here:", "here:x", "here:0", "here:70000"])
def test_anything_else_is_not(given: str) -> None:
    """It is refused before anything starts."""
    with pytest.raises(typer.BadParameter):
        address_of(given, 0)
