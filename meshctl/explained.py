"""What goes wrong in a command, in one line for the person at the terminal."""

from collections.abc import Iterator
from contextlib import contextmanager

import typer

from chassis.errors import MeshError

from .console import complain
from .datasets import DataError


@contextmanager
def explained() -> Iterator[None]:
    """Ends the command with status 1 and a line instead of a traceback."""
    try:
        yield
    except (DataError, MeshError, FileNotFoundError) as error:
        complain(_line(error))
        raise typer.Exit(1) from error
    except ExceptionGroup as group:
        expected, others = group.split((DataError, MeshError))
        if expected is None or others is not None:
            raise
        complain(_line(_first(expected)))
        raise typer.Exit(1) from group


def _line(error: Exception) -> str:
    if isinstance(error, MeshError):
        return f"{error.reason}: {error.message}" if error.message else error.reason
    if isinstance(error, FileNotFoundError):
        return f"no mesh was started here: {error.filename} is missing (see --data)"
    return str(error)


def _first(group: BaseExceptionGroup[Exception]) -> Exception:
    one = group.exceptions[0]
    return _first(one) if isinstance(one, BaseExceptionGroup) else one
