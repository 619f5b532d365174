"""The contract suites of svc_graph's ports against Postgres and Valkey."""

from contextlib import AbstractAsyncContextManager

from tests.contract.graph_counters_contract import CountersContract
from tests.contract.graph_edges_contract import EdgesContract
from tests.contract.graph_imports_contract import ImportsContract
from tests.contract.graph_reach_contract import ReachContract
from tests.contract.graph_reads_contract import ReadsContract
from tests.contract.graph_sessions_contract import SessionsContract
from tests.contract.graph_users_contract import UsersContract
from tests.support.graph import GraphStores, graph_stores


class _OnEngines:
    def open(self) -> AbstractAsyncContextManager[GraphStores]:
        return graph_stores()


class TestPostgresEdges(_OnEngines, EdgesContract):
    """PostgresEdges keeps the rules of Edges."""


class TestPostgresUsers(_OnEngines, UsersContract):
    """PostgresUsers and PostgresSweeps keep the rules of Users and Sweeps."""


class TestPostgresReads(_OnEngines, ReadsContract):
    """PostgresListings and PostgresRelations keep the rules of the reads."""


class TestPostgresSessions(_OnEngines, SessionsContract):
    """PostgresSessionRecords and ValkeyRevocations keep the rules of sessions."""


class TestPostgresImports(_OnEngines, ImportsContract):
    """PostgresImports keeps the rules of Imports."""


class TestPostgresReach(_OnEngines, ReachContract):
    """PostgresCelebrities and Changes keep the rules of Celebrities."""


class TestPostgresCounters(_OnEngines, CountersContract):
    """PostgresCounters keeps the rules of Counters."""
