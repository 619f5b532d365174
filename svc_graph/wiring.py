"""How svc_graph is put together. Nothing is constructed anywhere else."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace

from argon2 import PasswordHasher

from feedmesh.graph.v1 import (
    graph_pb2_grpc,
    session_pb2_grpc,
    user_pb2_grpc,
)

from chassis import migrate, partitions
from chassis.auth import AccessTokens
from chassis.bus import open_bus
from chassis.clock import SystemClock
from chassis.dead_letter_table import DeadLetterTable
from chassis.freshness import ChangeLog, VersionMarks
from chassis.idempotency import RequestRecords
from chassis.ids import Ids, allot_node
from chassis.outbox import Outbox, OutboxRelay
from chassis.paging import PageTokens
from chassis.postgres import open_pool
from chassis.run import App, Background
from chassis.valkey import open_valkey

from .accounts import Accounts
from .blocks import Blocks, Mutes
from .counters import Reconciliation
from .events import AcceptRequests, EndSessions, EraseUser
from .follows import Follows
from .hot import MarkedRelations, ValkeyRevocations
from .imports import BulkImport, IssuedTokens
from .lists import Lists
from .passwords import open_passwords
from .relationships import Relationships
from .service import GraphService
from .service_sessions import SessionService
from .service_users import UserService
from .sessions import Sessions
from .settings import GraphSettings
from .signing import AccessTokenSigner
from .store_audit import PostgresAuditTrail
from .store_celebrities import PostgresCelebrities
from .store_change import Changes
from .store_counters import PostgresCounters
from .store_credentials import PostgresCredentials
from .store_edges import PostgresEdges
from .store_imports import PostgresImports
from .store_lists import PostgresListings
from .store_relations import PostgresRelations
from .store_sessions import PostgresSessionRecords
from .store_standing import PostgresStanding
from .store_sweeps import PostgresSweeps
from .store_users import PostgresUsers
from .sweeping import Aftermath, Upkeep

LOCK_TIMEOUT_MS = 1_500


@asynccontextmanager
async def assemble(settings: GraphSettings) -> AsyncIterator[App]:
    """The service with its engines open."""
    async with AsyncExitStack() as stack:
        clock = SystemClock()
        # An import may hold the rows of the famous for longer than is usual.
        postgres = replace(settings.postgres, lock_timeout_ms=LOCK_TIMEOUT_MS)
        pool = await stack.enter_async_context(open_pool(postgres))
        await migrate.verify(pool, "svc_graph")
        valkey = await stack.enter_async_context(open_valkey(settings.valkey))
        letters = DeadLetterTable(pool=pool)
        bus = await stack.enter_async_context(
            open_bus(settings.nats, name="svc_graph", letters=letters)
        )
        passwords = await stack.enter_async_context(
            open_passwords(
                PasswordHasher(
                    time_cost=settings.password_time_cost,
                    memory_cost=settings.password_memory_kib,
                    parallelism=settings.password_parallelism,
                ),
                threads=settings.password_threads,
            )
        )

        ids = Ids(clock=clock, node=await allot_node(pool))
        outbox = Outbox(source="graph", ids=ids, clock=clock, bus=bus)
        relay = OutboxRelay(pool=pool, bus=bus, clock=clock, source="graph")
        marks = VersionMarks(valkey)
        changes = Changes(
            pool=pool,
            outbox=outbox,
            marks=marks,
            log=ChangeLog(valkey),
            clock=clock,
            celebrity_threshold=settings.celebrity_threshold,
        )
        requests = RequestRecords(clock=clock)
        users = PostgresUsers(
            pool=pool, changes=changes, requests=requests, clock=clock
        )
        credentials = PostgresCredentials(pool=pool)
        edges = PostgresEdges(changes=changes, clock=clock)
        relations = PostgresRelations(
            pool=pool, celebrity_grace=settings.celebrity_grace
        )
        celebrities = PostgresCelebrities(
            pool=pool, changes=changes, threshold=settings.celebrity_threshold
        )
        trail = PostgresAuditTrail(pool=pool)
        revocations = ValkeyRevocations(valkey=valkey, access_ttl=settings.access_ttl)
        signer = AccessTokenSigner(tokens=AccessTokens(settings.secrets_dir))

        sessions = Sessions(
            credentials=credentials,
            records=PostgresSessionRecords(pool=pool),
            passwords=passwords,
            signer=signer,
            revocations=revocations,
            trail=trail,
            clock=clock,
            access_ttl=settings.access_ttl,
            refresh_ttl=settings.refresh_ttl,
        )
        aftermath = Aftermath(
            sweeps=PostgresSweeps(pool=pool, changes=changes), revocations=revocations
        )
        upkeep = Upkeep(sessions=sessions, celebrities=celebrities)
        user_service = UserService(
            accounts=Accounts(
                users=users,
                standing=PostgresStanding(pool=pool, changes=changes, clock=clock),
                credentials=credentials,
                passwords=passwords,
                revocations=revocations,
                trail=trail,
                ids=ids,
                clock=clock,
            )
        )
        graph_service = GraphService(
            follows=Follows(edges=edges),
            blocks=Blocks(edges=edges, trail=trail),
            mutes=Mutes(edges=edges, clock=clock),
            lists=Lists(
                listings=PostgresListings(pool=pool),
                relations=relations,
                tokens=PageTokens(
                    keys=settings.page_token_keys,
                    clock=clock,
                    ttl=settings.page_token_ttl,
                ),
                clock=clock,
            ),
            relationships=Relationships(
                relations=MarkedRelations(relations=relations, marks=marks),
                celebrities=celebrities,
                clock=clock,
            ),
            counters=Reconciliation(
                counters=PostgresCounters(pool=pool, changes=changes), trail=trail
            ),
            imports=BulkImport(
                imports=PostgresImports(pool=pool, changes=changes, clock=clock),
                trail=trail,
                ids=ids,
            ),
            issued=IssuedTokens(profiles=users, signer=signer, trail=trail),
        )

        yield App(
            name="svc_graph",
            rpcs={
                user_pb2_grpc.add_UserServiceServicer_to_server: user_service,
                session_pb2_grpc.add_SessionServiceServicer_to_server: SessionService(
                    sessions=sessions, signer=signer
                ),
                graph_pb2_grpc.add_GraphServiceServicer_to_server: graph_service,
            },
            consumers=[
                bus.consumer(EraseUser(aftermath=aftermath)),
                bus.consumer(EndSessions(aftermath=aftermath)),
                bus.consumer(AcceptRequests(aftermath=aftermath)),
            ],
            background=[
                Background(
                    "partitions",
                    lambda: partitions.keep_all_ahead([pool], clock),
                    role="worker",
                ),
                Background("outbox-relay", relay.run, role="worker"),
                Background("mark-revocations", upkeep.mark_revocations, role="worker"),
                Background(
                    "request-records",
                    lambda: requests.keep_pruned(pool),
                    role="worker",
                ),
                Background("prune", upkeep.prune, role="worker"),
            ],
            requires_all={"postgres": pool.ping},
            reports={"valkey": valkey.ping, "bus": bus.ping},
        )
