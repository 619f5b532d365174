"""What svc_graph can be told."""

from datetime import timedelta
from typing import ClassVar

import argon2
from pydantic import Field

from chassis.settings import ServiceSettings


class GraphSettings(ServiceSettings):
    """Settings of svc_graph: FEEDMESH_GRAPH_…"""

    room: ClassVar[str] = "graph"

    celebrity_threshold: int = Field(default=10_000, ge=1)
    """Followers from which on posts are pulled by readers instead of fanned out."""

    celebrity_grace: timedelta = Field(default=timedelta(seconds=35), ge=timedelta(0))
    """How long posts of a new celebrity are still fanned out as well: longer than any
    reader's near copy of whom they pull lives."""

    access_ttl: timedelta = timedelta(minutes=15)
    """How long an access token is good; also how long a missed revocation can last."""

    refresh_ttl: timedelta = timedelta(days=30)
    """How long a session lasts without being refreshed."""

    password_threads: int = Field(default=2, ge=1)
    """Passwords hashed at the same time; each takes a core and password_memory_kib."""

    password_time_cost: int = Field(default=argon2.DEFAULT_TIME_COST, ge=1)
    """Passes of argon2. Lower it in development only."""

    password_memory_kib: int = Field(default=argon2.DEFAULT_MEMORY_COST, ge=8)
    """Memory of argon2. Lower it in development only."""

    password_parallelism: int = Field(default=argon2.DEFAULT_PARALLELISM, ge=1)
    """Lanes of argon2."""
