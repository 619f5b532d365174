"""The data sets that the tests run on: the real ones, or generated ones in their place.

`FEEDMESH_DATA` names the folder of the real files. Where it is absent, files of the
same form and shape (a few accounts with very many followers, most with one or two) are
generated, and the head of the test run says so.
"""

import os
import random
from dataclasses import dataclass
from pathlib import Path

PEOPLE = 16_000
CELEBRITY_FOLLOWERS = 11_000
LINES = 40_000


@dataclass(frozen=True)
class World:
    """Paths of a follow graph, an activity log and texts."""

    follows: Path
    activity: Path
    texts: Path
    is_real: bool


def real_world() -> World | None:
    """The published data sets, or None where they are not at hand."""
    folder = Path(os.environ.get("FEEDMESH_DATA", "../shared/data"))
    world = World(
        follows=folder / "facebook_follows.txt.gz",
        activity=folder / "higgs_activity.txt.gz",
        texts=folder / "sms_texts.tsv.gz",
        is_real=True,
    )
    there = all(path.exists() for path in (world.follows, world.activity, world.texts))
    return world if there else None


def describe() -> str:
    """A line for the head of a test run."""
    world = real_world()
    if world is None:
        return "data: no data sets at hand, a generated world takes their place"
    return f"data: {world.activity.parent}"


def generate(folder: Path) -> World:
    """Writes the three files; the same ones every time."""
    dice = random.Random(7)
    world = World(
        follows=folder / "follows.txt",
        activity=folder / "activity.txt",
        texts=folder / "texts.tsv",
        is_real=False,
    )
    edges = [(a, b) for a in range(400) for b in dice.sample(range(400), 20) if a != b]
    world.follows.write_text("".join(f"{a} {b}\n" for a, b in edges))

    star = 88
    lines = [f"{actor} {star} {actor} RT\n" for actor in range(CELEBRITY_FOLLOWERS)]
    while len(lines) < LINES:
        actor, target = dice.randrange(PEOPLE), int(dice.paretovariate(0.6)) % PEOPLE
        kind = dice.choices(["RT", "MT", "RE"], weights=[63, 30, 7])[0]
        lines.append(f"{actor} {target} {len(lines)} {kind}\n")
    dice.shuffle(lines)
    world.activity.write_text("".join(lines))

    words = ["the", "a", "mesh", "feed", "post", "hears", "who", "when", "goes"]
    world.texts.write_text(
        "".join(f"ham\t{' '.join(dice.choices(words, k=12))}\n" for _ in range(500))
    )
    return world
