"""The stubs in somebody else's project: installed alone, and typed."""

import re
import subprocess
import sys
import zlib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
UV = Path(sys.executable).with_name("uv")
LOCK = str(ROOT / "requirements.lock")
# The versions of the lock file, so that a release elsewhere breaks nothing here.
LOCKED = ("--constraint", LOCK, "--build-constraint", LOCK)
BLOCK = re.compile(r"^```python\n(.*?)^```", re.DOTALL | re.MULTILINE)

CLIENT = """
import grpc
from feedmesh.feed.v1 import feed_pb2, feed_pb2_grpc
from feedmesh.push.v1 import push_pb2, push_pb2_grpc


async def texts(channel: grpc.aio.Channel) -> list[str]:
    stub: feed_pb2_grpc.FeedServiceAsyncStub
    stub = feed_pb2_grpc.FeedServiceStub(channel)
    page: feed_pb2.GetHomeFeedResponse = await stub.GetHomeFeed(
        feed_pb2.GetHomeFeedRequest(page_size=5, order=feed_pb2.ORDER_LATEST)
    )
    return [item.post.text for item in page.items]


async def positions(channel: grpc.aio.Channel) -> list[str]:
    stub: push_pb2_grpc.PushServiceAsyncStub = push_pb2_grpc.PushServiceStub(channel)
    stream = stub.Subscribe(push_pb2.SubscribeRequest())
    return [answer.event.position async for answer in stream]
"""


@pytest.fixture(name="python", scope="module")
def fresh_environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An interpreter whose environment holds ./gen and what it asks for."""
    folder: Path = tmp_path_factory.mktemp("stranger") / "venv"
    python = folder / "bin" / "python"
    run(UV, "venv", "--quiet", "--python", sys.executable, folder)
    stubs = ROOT / "gen"
    fast = run(UV, "pip", "install", "--python", python, *LOCKED, stubs, check=False)
    if fast.returncode:
        # uv does not read pip's configuration: a mirror named only there needs pip.
        pip = (sys.executable, "-m", "pip", "--python", python)
        run(*pip, "install", "--quiet", stubs)
    return python


def run(
    *command: str | Path, check: bool = True, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
    )
    assert not check or done.returncode == 0, done.stdout + done.stderr
    return done


def type_checked(source: str, python: Path, folder: Path) -> str:
    """What mypy --strict says of a program that has the environment's packages."""
    # A name for each text: a cache that is shared tells files apart by name, size
    # and second, and a mistake may be as long as what it stands for.
    program = folder / f"client_{zlib.crc32(source.encode())}.py"
    program.write_text(source)
    mypy = [sys.executable, "-m", "mypy", "--strict", "--config-file", "/dev/null"]
    # What it learns of the packages serves the next program too.
    mypy += ["--cache-dir", str(python.parents[1] / "mypy")]
    done = run(
        *mypy, "--python-executable", python, program.name, check=False, cwd=folder
    )
    return done.stdout + done.stderr


def snippets() -> list[tuple[str, str]]:
    """Python of the pages that uses the stubs."""
    pages = [ROOT / "README.md", ROOT / "gen" / "README.md"]
    pages += sorted((ROOT / "docs").rglob("*.md"))
    return [
        (str(page.relative_to(ROOT)), source)
        for page in pages
        for source in BLOCK.findall(page.read_text())
        if "feedmesh." in source
    ]


def test_the_stubs_come_alone(python: Path) -> None:
    """Messages and stubs import; nothing of the services came with them."""
    names = "chassis", "svc_feed", "gateway_http", "meshctl", "asyncpg", "redis", "nats"
    found = run(
        python,
        "-c",
        "from importlib.util import find_spec\n"
        "import feedmesh.feed.v1.feed_pb2_grpc, feedmesh.graph.v1.user_pb2_grpc\n"
        "import feedmesh.ingest.v1.events_pb2, feedmesh.push.v1.push_pb2_grpc\n"
        f"print([name for name in {names} if find_spec(name)])",
        cwd=python.parent,
    )

    assert found.stdout.strip() == "[]"


def test_an_async_client_type_checks(python: Path, tmp_path: Path) -> None:
    """Strictly, from what the package says of itself."""
    assert "Success" in type_checked(CLIENT, python, tmp_path)


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("item.post.text", "item.post.txet"),
        ("page_size=5", 'page_size="5"'),
        ("await stub.GetHomeFeed", "stub.GetHomeFeed"),
        ("answer.event.position async", "answer.event async"),
    ],
)
def test_a_mistake_is_found(
    python: Path, tmp_path: Path, right: str, wrong: str
) -> None:
    """Types that are Any would find nothing."""
    assert right in CLIENT
    assert "error:" in type_checked(CLIENT.replace(right, wrong), python, tmp_path)


@pytest.mark.parametrize(
    "source",
    [source for _, source in snippets()],
    ids=[page for page, _ in snippets()],
)
def test_what_the_pages_show_type_checks(
    python: Path, tmp_path: Path, source: str
) -> None:
    """A newcomer copies it."""
    assert "Success" in type_checked(source, python, tmp_path)


def test_the_pages_show_a_client() -> None:
    """The README and the page on the contract."""
    assert {page for page, _ in snippets()} >= {"README.md", "docs/contract.md"}
