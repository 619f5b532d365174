"""Who sees what: a table by hand, apart from everything that decides it.

Contents, by letter; each author writes all of the first line, and Eve, whom everybody
follows and who is a friend of every author, does the second.

  P public  F followers  M friends  X private  D deleted  N made private  n made friends
  R public reply to X  @ followers, names its readers  p, f newer ones, as P and F
  S share of P  d share of D  s share of N  t share of n  Q quote of P  r reply to M
  q what Q quotes is shown with it, in a home feed
"""

WRITTEN = "PFMXDNnR@"
BY_EVE = "SdstQr"
NEWER = "pf"

# Of somebody who hides from a viewer, others may still speak.
HEARSAY = ("Qr", "Qr")
_FOLLOWER = "PFSQRr@pf"
_STRANGER = ("PSQRrp", "SQqr")

# By id, and in the home feed. Relations that begin or end are those after the change.
_OPEN = {
    "self": ("PFMXNnSstQRr@pf", "PFMXNnSstQqRr@pf"),
    "mutual": ("PFMnStQRr@pf", "PFMnStQqRr@pf"),
    "follower": (_FOLLOWER, _FOLLOWER + "q"),
    "late": (_FOLLOWER, _FOLLOWER + "q"),
    "refollower": (_FOLLOWER, _FOLLOWER + "q"),
    "ex_mutual": (_FOLLOWER, _FOLLOWER + "q"),
    "muter": (_FOLLOWER, "Qr"),
    "stranger": _STRANGER,
    "admin": _STRANGER,
    "ex_follower": _STRANGER,
    "pending": _STRANGER,
    "anonymous": ("PSQRrp", ""),
    "blocked": HEARSAY,
    "blocker": HEARSAY,
    "both": HEARSAY,
    "suspended": ("", ""),
}
RELATIONS = tuple(_OPEN)
_KEPT = ("self", "mutual", "follower", "ex_mutual", "muter")

# What becomes of the authors: nothing, very many followers, private, and worse.
AUTHORS = ("open", "celebrity", "private", "suspended", "deleted")


def row(author: str, relation: str) -> tuple[set[str], set[str]]:
    """What somebody sees of such an author: by id, and in their home feed."""
    by_id, feed = _OPEN[relation]
    is_gone = author in ("suspended", "deleted")
    if is_gone and relation == "self":
        by_id, feed = "", ""
    elif relation != "suspended" and (
        is_gone or (author == "private" and relation not in _KEPT)
    ):
        by_id, feed = HEARSAY[0], feed and HEARSAY[1]
    return set(by_id), set(feed)


def is_profiled(author: str, relation: str) -> bool:
    """The author's profile is found, by those too who block and may end that."""
    is_gone = author in ("suspended", "deleted")
    return not is_gone and relation not in ("blocked", "both", "suspended")


def is_named(author: str, relation: str) -> bool:
    """The author's name turns up in lists of people; reading them takes an account."""
    return is_profiled(author, relation) and relation not in ("blocker", "anonymous")


def is_listed(author: str, relation: str) -> bool:
    """The author's own lists of people can be read."""
    is_open = author != "private" or relation in _KEPT
    return is_open and is_profiled(author, relation) and relation != "anonymous"
