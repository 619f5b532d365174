"""Which routes the path matrix goes along, and when.

The rows are kept by hand in tests/contract/paths.txt: a route that joins the contract
has to be written there, with its paths or with the reason why it has none.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

from gateway_http.routes import Routes

ROWS = Path(__file__).parents[1] / "contract" / "paths.txt"
# Begins a row that is no route.
OTHER = "-"

ALWAYS = {
    *("LATEST", "RANKED", "post by id", "likes", "comments", "author lists", "acts"),
    *("Sync", "SSE resume"),
}
PEOPLE = {"names", "profiles", "lists"}

# What each way of the change is read along.
BEFORE = ALWAYS | PEOPLE | {"ranking down", "cold cache", "warm cache"}
AFTER = (
    ALWAYS
    | PEOPLE
    | {"second page ORDER_LATEST", "second page ORDER_RANKED", "CACHED_REFRESH"}
    | {"new count", "conditional", "replay", "explained", "meshctl feed"}
    | {"ranking down", "stale cache"}
)
DURING = ALWAYS | {"SSE live"}


def rows() -> dict[str, set[str]]:
    """Paths by route; none where the row gives a reason instead."""
    found = {}
    for line in ROWS.read_text().splitlines():
        if line.startswith("#"):
            continue
        route, bar, paths = line.partition(" | ")
        reason = line.partition(" - ")[2]
        assert bool(bar) != bool(reason), f"neither paths nor a reason: {line}"
        route = route.partition(" - ")[0]
        found[route] = {path.strip() for path in paths.split(",")} if bar else set()
    return found


def routes_of(routes: Routes) -> set[str]:
    """Verb and path of every route."""
    return {f"{route.rule.verb} {route.rule.template}" for route in routes.all}


def without_row(routes: Iterable[str], table: Mapping[str, object]) -> set[str]:
    return set(routes) - table.keys()
