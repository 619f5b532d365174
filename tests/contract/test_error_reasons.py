"""Every reason that the code names is one of the contract, and the other way round."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from chassis.errors import BY_CODE, REASONS

ROOT = Path(__file__).parents[2]
ROOMS = sorted(
    path.parent.name
    for path in ROOT.glob("*/__init__.py")
    if path.parent.name not in ("tests", "bench")
)
CLASSES = {kind.__name__ for kind in BY_CODE.values()}


def named_reasons(room: str) -> Iterator[tuple[str, str]]:
    """Reasons given as literals to a MeshError, with where that is."""
    for path in sorted((ROOT / room).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call) or not node.args:
                continue
            called = node.func
            name = called.attr if isinstance(called, ast.Attribute) else None
            name = called.id if isinstance(called, ast.Name) else name
            reason = node.args[0]
            if (
                name in CLASSES
                and isinstance(reason, ast.Constant)
                and isinstance(reason.value, str)
            ):
                yield reason.value, f"{path.relative_to(ROOT)}:{node.lineno}"


@pytest.mark.parametrize("room", ROOMS)
def test_reasons_in_code_are_in_the_contract(room: str) -> None:
    """A reason outside the enum would fail where it is raised, in production."""
    unknown = {
        where: reason for reason, where in named_reasons(room) if reason not in REASONS
    }

    assert unknown == {}


def test_scan_finds_what_is_there() -> None:
    """A scan that sees nothing would pass everything."""
    found = {reason for reason, _ in named_reasons("chassis")}

    assert {"DEADLINE_EXCEEDED", "TOKEN_MISSING", "METHOD_UNKNOWN"} <= found


def test_abort_is_called_in_one_file() -> None:
    """Handlers raise; only the error interceptor aborts a call."""
    callers = {
        str(path.relative_to(ROOT))
        for room in ROOMS
        for path in (ROOT / room).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in ("abort", "abort_with_status")
        and ast.unparse(node.func.value).endswith("context")
    }

    assert callers == {"chassis/interceptors/errors.py"}
