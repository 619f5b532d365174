"""What commands say: results to standard output, complaints to standard error."""

import contextlib
import logging
import sys

import structlog
from rich.console import Console
from rich.table import Table

# For output that goes into a file or another program.
WIDE = 400

# Long lines stay whole, so that they can be copied.
_out = Console(soft_wrap=True, highlight=False, markup=False)
_err = Console(stderr=True, soft_wrap=True, highlight=False, markup=False)


def say(text: str) -> None:
    """A line of output, seen at once. Nobody may be there to read it any more."""
    with contextlib.suppress(BrokenPipeError):
        _out.print(text)
        _out.file.flush()


def show(table: Table) -> None:
    """A table, as wide as the terminal; cells stay whole where there is none."""
    Console(width=None if _out.is_terminal else WIDE, highlight=False).print(table)


def complain(text: str) -> None:
    """A line for the person who has to do something about it."""
    _err.print(text, style="red")


def quieten() -> None:
    """Have the library code that commands call log what is wrong, and only that."""
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
