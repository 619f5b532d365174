"""python -m bench: measures, prints the table and keeps it under .feedmesh/bench/."""

import asyncio
import signal
import traceback
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Annotated

import typer
import uvloop

from bench import results
from bench.create_post import create_post
from bench.delivery import delivery
from bench.fan_out import fan_out
from bench.home_feed import home_feed
from bench.http_feed import http_feed
from bench.import_speed import import_speed
from bench.results import Line
from bench.shared import Run
from bench.start_up import start_up
from meshctl.console import quieten

# In the order of their run: fan-out has engines of its own, and comes when no mesh is
# there yet; the import wants an empty one.
LINES: dict[str, Callable[[Run], Awaitable[list[Line]]]] = {
    "P3": fan_out,
    "P11": start_up,
    "import": import_speed,
    "P1": home_feed,
    "P2": http_feed,
    "P4": create_post,
    "P5": delivery,
}
FOLDER = Path(".feedmesh/bench")


def main(
    only: Annotated[
        str, typer.Option(help="Comma-separated: " + ", ".join(LINES))
    ] = "",
    quick: Annotated[
        bool, typer.Option("--quick", help="Little of everything, to see that it runs.")
    ] = False,
    rounds: Annotated[
        int, typer.Option(min=0, help="Of each line.", show_default="5, or 2 if quick")
    ] = 0,
    folder: Annotated[
        Path, typer.Option(help="Where results go; data of meshes, meanwhile.")
    ] = FOLDER,
) -> None:
    """Measure feedmesh against its ceilings, driven in turn in the same run.

    Ratios are comparable between machines, and larger is better; absolute figures are
    not. Let nothing else run meanwhile.
    """
    quieten()
    names = [name for name in only.split(",") if name] or list(LINES)
    if unknown := [name for name in names if name not in LINES]:
        raise typer.BadParameter(f"no such line: {', '.join(unknown)}")
    rounds = rounds or (2 if quick else 5)
    is_whole = uvloop.run(_measure(names, folder.absolute(), quick, rounds))
    raise typer.Exit(0 if is_whole else 1)


async def _measure(names: list[str], folder: Path, quick: bool, rounds: int) -> bool:
    task = asyncio.current_task()
    assert task is not None
    # Ends what was started and removes its data, as Ctrl-C does.
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    lines: list[Line] = []
    is_whole = True
    async with AsyncExitStack() as stack:
        run = Run(folder=folder, stack=stack, quick=quick, rounds=rounds)
        for name, measure in LINES.items():
            if name in names:
                print(f"{name} …", flush=True)
                try:
                    lines += await measure(run)
                except Exception:  # noqa: BLE001 - the other lines are worth having
                    traceback.print_exc()
                    is_whole = False
    results.show(lines)
    path = results.keep(lines, folder, quick=quick)
    print(f"\nkept in {path}")
    return is_whole


if __name__ == "__main__":
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(main)
    app()
