"""`meshctl up`: one command, one mesh, and nothing of it left behind."""

import asyncio
import os
import re
import signal
import stat
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
import pytest_asyncio

from chassis.testing import eventually

from tests.support.mesh import (
    PORTS,
    Mesh,
    command_line,
    descendants,
    free_offset,
    run_meshctl,
    running_mesh,
)
from tests.support.people import PASSWORD, sign_up

ROOT = Path(__file__).parents[2]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def mesh(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Mesh]:
    """A mesh of this module's own, in a folder that only its owner may enter."""
    data: Path = tmp_path_factory.mktemp("up") / "deep" / "data"
    data.parent.mkdir(mode=0o700)
    async with running_mesh(data, "--no-seed") as running:
        yield running


async def test_each_room_is_a_process_of_its_own(mesh: Mesh) -> None:
    """Command lines name the room; Ctrl-C in the terminal does not reach them."""
    for room in PORTS:
        (pid,) = mesh.pids(f"-m {room} ")

        assert os.readlink(f"/proc/{pid}/cwd") == str(ROOT)
        assert os.getsid(pid) == pid
    for engine in ("bin/postgres", "valkey-server", "nats-server"):
        (pid,) = mesh.pids(engine)

        assert os.getsid(pid) != os.getsid(mesh.process.pid)


async def test_secrets_lie_in_private_files_only(mesh: Mesh) -> None:
    """Nothing of them is in a command line, where every user could read it."""
    files = await asyncio.to_thread(lambda: list((mesh.data / "secrets").iterdir()))
    lines = [command_line(pid) for pid in descendants(mesh.process.pid)]

    names = {"internal_keys", "page_token_keys", "signing_key.pem", "jwks.json"}
    assert {file.name for file in files} == names
    for file in files:
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        words = file.read_text().replace(":", " ").split()
        assert not [word for word in words if any(word in line for line in lines)]


async def test_logs_hold_no_secrets(mesh: Mesh) -> None:
    """Neither keys and passwords of the mesh nor those of the people in it."""
    async with mesh.client() as client:
        ann = await sign_up(client, "ann")
        await ann.post("to have something to log")
        await client.get("/v1/users/me", headers={"authorization": "Bearer nonsense"})
    logs = await asyncio.to_thread(texts, mesh.data, "logs/*.log", "engines/*/*.log")
    secrets = await asyncio.to_thread(
        texts, mesh.data, "secrets/*_keys", "secrets/*.pem", "engines/*/*password"
    )
    words = {word for text in secrets for word in re.split(r"[\s:]", text)}
    canaries = {word for word in words if len(word) > 20} | {PASSWORD, ann.token}

    assert len(logs) == 6 + 3
    assert len(canaries) == 3 + 4 + 2
    assert not [word for word in canaries if any(word in log for log in logs)]


async def test_wrong_settings_end_the_start_at_once(tmp_path: Path) -> None:
    """With the name of the variable, and with nothing left running."""
    code, output = await failing_up(
        *("--data", str(tmp_path), "--port-offset", str(free_offset())),
        FEEDMESH_FEDE_WORKERS="4",
    )

    assert code == 1
    assert "FEEDMESH_FEDE_WORKERS: no such setting" in output
    assert "does not get ready" not in output


async def test_a_folder_has_one_mesh(mesh: Mesh) -> None:
    """A second one is refused, and told who the first one is."""
    code, output = await failing_up("--data", str(mesh.data))

    assert code == 1
    assert f"already running in {mesh.data} (pid {mesh.process.pid})" in output


async def test_a_taken_port_is_named(mesh: Mesh, tmp_path: Path) -> None:
    """So that one knows what to do, before anything was started."""
    code, output = await failing_up(
        "--data", str(tmp_path / "other"), "--port-offset", str(mesh.offset)
    )

    assert code == 1
    assert f"port {PORTS['svc_graph'] + mesh.offset}" in output
    assert "--port-offset" in output
    assert not (tmp_path / "other" / "engines").exists()


async def test_a_killed_engine_comes_back(mesh: Mesh) -> None:
    """On its port, with its data; services find it again by themselves."""
    async with mesh.client() as client:
        ann, ben = await sign_up(client, "ann"), await sign_up(client, "ben")
        mesh.signal("bin/postgres", signal.SIGKILL)

        async def followed() -> None:
            await ann.follow(ben)

        await eventually(followed, timeout=30)


async def test_tokens_are_issued_by_the_mesh_of_the_folder(mesh: Mesh) -> None:
    """`meshctl token` prints a token that the gateway takes for the person's."""
    async with mesh.client() as client:
        ann = await sign_up(client, "ann")
        headers = {"authorization": f"Bearer {await mesh.token(ann.handle)}"}
        answer = await client.get("/v1/users/me", headers=headers)

    assert answer.json()["user"]["handle"] == ann.handle


async def test_probe_tells_whether_a_service_serves(mesh: Mesh) -> None:
    """By name too; exit code 0 is what a script looks at."""
    out = await run_meshctl(
        "probe",
        mesh.address("svc_feed"),
        "--service",
        "feedmesh.feed.v1.FeedService",
    )

    assert out.strip() == "SERVING"


async def test_nobody_is_sent_to_a_mesh_that_is_loading(tmp_path: Path) -> None:
    """/readyz says no until the world is seeded; Ctrl-C then ends it all, cleanly."""
    offset = free_offset()
    process = await start(tmp_path, offset)
    readyz = f"http://127.0.0.1:{PORTS['gateway_http'] + offset}/readyz"
    too_early: list[int] = []
    output = ""
    async with httpx.AsyncClient() as client:
        while not output.endswith("\nready\n"):
            output += await line_of(process)
            if "seeded:" not in output and "gateway_http ready" in output:
                too_early.append((await client.get(readyz)).status_code)
        at_last = (await client.get(readyz)).status_code
    assert (tmp_path / "meshctl.pid").read_text().strip() == str(process.pid)
    pids = list(descendants(process.pid))

    # What a terminal does: everyone in the foreground group hears of it.
    os.killpg(process.pid, signal.SIGINT)
    rest, _ = await process.communicate()

    assert set(too_early) == {503}
    assert at_last == 200
    assert process.returncode == 0, rest
    assert not [pid for pid in pids if is_alive(pid)]
    assert not (tmp_path / "meshctl.pid").exists()


async def test_a_killed_mesh_is_gone_and_comes_back(tmp_path: Path) -> None:
    """kill -9 leaves no process and no lock, and loses nothing."""
    async with running_mesh(tmp_path, "--no-seed") as mesh, mesh.client() as client:
        ann = await sign_up(client, "ann")
        post = await ann.post("still here")
        pids = list(descendants(mesh.process.pid))
        mesh.process.kill()

        await eventually(lambda: not [pid for pid in pids if is_alive(pid)])
        await mesh.process.wait()
    async with running_mesh(tmp_path) as again, again.client() as client:
        headers = {"authorization": f"Bearer {await again.token(ann.handle)}"}
        answer = await client.get(f"/v1/posts/{post}", headers=headers)

    assert answer.json()["post"]["text"] == "still here"


async def start(data: Path, offset: int) -> asyncio.subprocess.Process:
    """`meshctl up`, in a process group of its own, as a shell starts it."""
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "meshctl", "up"),
        *("--data", str(data), "--port-offset", str(offset)),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


async def line_of(process: asyncio.subprocess.Process) -> str:
    assert process.stdout is not None
    line = await process.stdout.readline()
    assert line, "it ended"
    return line.decode()


async def failing_up(*arguments: str, **env: str) -> tuple[int | None, str]:
    """Exit code and output of a start that does not succeed."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "meshctl", "up", *arguments),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=os.environ | env,
    )
    output, _ = await process.communicate()
    return process.returncode, output.decode()


def texts(folder: Path, *patterns: str) -> list[str]:
    """What the files hold."""
    return [path.read_text() for name in patterns for path in folder.glob(name)]


def is_alive(pid: int) -> bool:
    """Whether it runs; one that only waits to be reaped does not."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False
