"""python -m meshctl, and the command meshctl."""

import logging

import structlog
import typer

from meshctl import dlq, feed, imports, reconcile
from meshctl.probe import probe
from meshctl.token import token
from meshctl.up import up

app = typer.Typer(
    help="Run a feedmesh on this machine, look into it, put data into it.",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
    rich_markup_mode="markdown",
    add_completion=False,
)
app.command()(up)
app.command()(probe)
app.command()(token)
app.add_typer(feed.app, name="feed")
app.add_typer(imports.app, name="import")
app.add_typer(dlq.app, name="dlq")
app.add_typer(reconcile.app, name="reconcile")


def main() -> None:
    """Runs the command that was asked for."""
    # Commands speak for themselves; what the libraries log is for services.
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR)
    )
    app(prog_name="meshctl")


if __name__ == "__main__":
    main()
