"""`meshctl up`: the whole mesh on this machine, until Ctrl-C."""

import asyncio
import contextlib
import os
import signal
from typing import Annotated

import typer

from meshctl import seed, stack
from meshctl.children import StartFailed
from meshctl.console import complain, quieten, say
from meshctl.layout import DATA, DataOption, Layout, OffsetOption
from meshctl.plan import MAX_WORKERS, Plan

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def up(
    data: DataOption = DATA,
    http: Annotated[
        str,
        typer.Option(
            metavar="HOST:PORT",
            help="Where the gateway listens. Not shifted by --port-offset.",
            show_default="127.0.0.1:8080, shifted",
        ),
    ] = "",
    port_offset: OffsetOption = 0,
    workers: Annotated[
        int,
        typer.Option(
            min=1, max=MAX_WORKERS, help="Processes of the gateway and each service."
        ),
    ] = 1,
    with_seed: Annotated[
        bool,
        typer.Option(
            "--seed/--no-seed", help="Load a small generated world on first start."
        ),
    ] = True,
) -> None:
    """Start the whole mesh on this machine and keep it until Ctrl-C.

    Postgres, Valkey and NATS come from their wheels and keep their data in the data
    folder, unless FEEDMESH_POSTGRES_URL, FEEDMESH_VALKEY_URL or FEEDMESH_NATS_URL
    name others. Every service is a process of its own with a log under logs/; one
    that dies is started again. It says `ready` when calls are served. Ctrl-C or
    SIGTERM drains the gateway, then the services, then stops the engines; a second
    one stops everything at once.

    Other FEEDMESH_ variables reach the services: see docs/settings.md.
    """
    quieten()
    host, port = address_of(http, port_offset)
    plan = Plan(
        layout=Layout(data.absolute()),
        offset=port_offset,
        http_host=host,
        http_port=port,
        workers=workers,
    )
    raise typer.Exit(asyncio.run(_until_signalled(plan, with_seed=with_seed)))


async def _until_signalled(plan: Plan, *, with_seed: bool) -> int:
    """The whole life of the mesh; the exit code."""
    task = asyncio.current_task()
    assert task is not None
    signals = 0

    def on_signal() -> None:
        nonlocal signals
        signals += 1
        if signals == 1:
            say("stopping; a second Ctrl-C stops at once")
            task.cancel()
        else:
            # Everything we started ends with us.
            os._exit(1)

    loop = asyncio.get_running_loop()
    for number in _SIGNALS:
        # nohup has a hang-up ignored, and means it. A shell has SIGINT ignored for
        # whatever it starts in the background: who sends it all the same means us.
        ignored = signal.getsignal(number) is signal.SIG_IGN
        if number is not signal.SIGHUP or not ignored:
            loop.add_signal_handler(number, on_signal)
    try:
        async with stack.running(plan, os.environ, say=say):
            if with_seed:
                await seed.once(plan, say=say)
            _tell(plan, seeded=plan.layout.seeded.exists())
            stack.announce(plan)
            say("ready")
            await asyncio.Event().wait()
    except StartFailed as failure:
        complain(str(failure))
        return 1
    except asyncio.CancelledError:
        if not signals:
            raise
    say("stopped")
    return 0


def _tell(plan: Plan, *, seeded: bool) -> None:
    """Where everything is, and how to begin."""
    base = f"http://{plan.http_host}:{plan.http_port}"
    json_body = "-H 'content-type: application/json'"
    say("")
    say(f"  HTTP/JSON   {base}   (contract: {base}/openapi.json)")
    for room, target in plan.targets.items():
        say(f"  svc_{room:<8}{target}")
    say(f"  data, logs  {plan.layout.data}")
    say("")
    if seeded:
        who = f'{{"handle":"{seed.HANDLES[0]}","password":"{seed.PASSWORD}"}}'
        say(f"Log in as {seed.HANDLES[0]} (or as {', '.join(seed.HANDLES[1:4])}, …):")
        say(f"  curl -s {base}/v1/sessions {json_body} -d '{who}'")
    else:
        who = '{"handle":"ann","password":"feedmesh"}'
        say("Nobody is here yet. Sign up, then log in:")
        for path in ("users", "sessions"):
            say(f"  curl -s {base}/v1/{path} {json_body} -d '{who}'")
    say("")


def address_of(http: str, offset: int) -> tuple[str, int]:
    """Host and port the gateway is to listen on."""
    if not http:
        return "127.0.0.1", 8080 + offset
    host, _, port = http.rpartition(":")
    with contextlib.suppress(ValueError):
        if 0 < int(port) < 65536:
            return host.strip("[]") or "127.0.0.1", int(port)
    raise typer.BadParameter(f"{http} is not HOST:PORT", param_hint="--http")
