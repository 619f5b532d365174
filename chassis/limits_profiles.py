"""How often, by class of calls: generous for development, strict for production."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

MINUTE = 60.0
HOUR = 3600.0


@dataclass(frozen=True)
class Limit:
    """So many calls in so many seconds, of which `burst` may come at once."""

    calls: int
    period: float
    burst: int


@dataclass(frozen=True)
class RateClass:
    """The limits of one class. All of them must have room for a call."""

    per_user: tuple[Limit, ...] = ()
    """For callers with a token."""

    per_ip: tuple[Limit, ...] = ()
    """For everybody behind one address."""

    fails_closed: bool = False
    """True: refused while the buckets cannot be read, because guesses go here."""


def _at(calls: int, period: float, burst: int | None = None) -> Limit:
    return Limit(calls, period, burst or calls)


# What one person, or one address, does in earnest.
PRODUCTION: Mapping[str, RateClass] = MappingProxyType(
    {
        "signup": RateClass(per_ip=(_at(5, MINUTE),), fails_closed=True),
        "login": RateClass(
            per_user=(_at(5, MINUTE),), per_ip=(_at(5, MINUTE),), fails_closed=True
        ),
        "write": RateClass(per_user=(_at(60, MINUTE, 20),)),
        "create_post": RateClass(per_user=(_at(10, HOUR), _at(3, 10))),
        "follow": RateClass(per_user=(_at(60, HOUR),)),
        "feed": RateClass(per_user=(_at(5, 1),)),
        "read": RateClass(per_user=(_at(20, 1, 40),)),
        "search": RateClass(per_user=(_at(30, MINUTE),)),
        "handshake": RateClass(per_ip=(_at(5, MINUTE),)),
        "anonymous": RateClass(per_ip=(_at(60, MINUTE),)),
        "admin": RateClass(per_user=(_at(100, 1, 200),)),
    }
)

_PERSON = (_at(200, 1, 400),)
_ADDRESS = (_at(200, 1, 400),)

# A laptop is one address with many people, and load is what it is for.
DEVELOPMENT: Mapping[str, RateClass] = MappingProxyType(
    {
        "signup": RateClass(per_ip=_ADDRESS, fails_closed=True),
        "login": RateClass(per_user=_PERSON, per_ip=_ADDRESS, fails_closed=True),
        "write": RateClass(per_user=_PERSON),
        "create_post": RateClass(per_user=_PERSON),
        "follow": RateClass(per_user=_PERSON),
        "feed": RateClass(per_user=_PERSON),
        "read": RateClass(per_user=_PERSON),
        "search": RateClass(per_user=_PERSON),
        "handshake": RateClass(per_ip=_ADDRESS),
        "anonymous": RateClass(per_ip=_ADDRESS),
        "admin": RateClass(per_user=_PERSON),
    }
)
