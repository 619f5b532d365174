"""Where settings come from: environment variables with our prefix."""

import os
import re
from datetime import timedelta
from typing import Any

from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

PREFIX = "FEEDMESH_"

# A span of time may be written as ISO 8601 (PT15M) or as plain seconds.
SECONDS = re.compile(r"\d+(\.\d+)?")

# Where each room listens unless told otherwise.
PORTS = {
    "gateway": 8080,
    "graph": 50051,
    "ingest": 50052,
    "feed": 50053,
    "rank": 50054,
    "push": 50055,
}

# Read by tools and tests, not by a service.
KNOWN_ELSEWHERE = frozenset({"FEEDMESH_DATA"})


class RoomEnvironment(PydanticBaseSettingsSource):
    """The environment: the room's own variable first, the shared one second."""

    def __init__(self, settings_cls: type[BaseSettings], *, shared: set[str]) -> None:
        super().__init__(settings_cls)
        self._shared = shared
        self._room: str = getattr(settings_cls, "room", "").upper()

    def __call__(self) -> dict[str, Any]:
        """The values set, by field; ValueError for a variable nobody reads."""
        values: dict[str, Any] = {}
        # The room's own variables come last, and so win.
        own = f"{PREFIX}{self._room}_"
        for name in sorted(os.environ, key=lambda name: name.startswith(own)):
            field = self._field(name, own)
            if field is not None:
                values[field] = self._decoded(field, os.environ[name])
        return values

    def _field(self, name: str, own: str) -> str | None:
        """The field that a variable sets; None when it is not for this service."""
        if not name.startswith(PREFIX) or name in KNOWN_ELSEWHERE:
            return None
        if self._room and name.startswith(own):
            field, fields = name.removeprefix(own), set(self.settings_cls.model_fields)
        elif name.startswith(tuple(f"{PREFIX}{room.upper()}_" for room in PORTS)):
            return None
        else:
            field, fields = name.removeprefix(PREFIX), self._shared
        if field.lower() not in fields:
            raise ValueError(f"{name}: no such setting")
        return field.lower()

    def _decoded(self, name: str, value: str) -> Any:  # of the field's type
        field = self.settings_cls.model_fields[name]
        if self.field_is_complex(field):
            return self.decode_complex_value(name, field, value)
        if field.annotation is timedelta and SECONDS.fullmatch(value):
            return float(value)
        return value

    def get_field_value(self, field: Any, field_name: str) -> tuple[Any, str, bool]:
        """Not used: all fields are read at once, to see what nobody reads."""
        raise NotImplementedError
