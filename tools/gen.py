"""Generates everything that follows from proto/: the descriptor image and gen/.

    python tools/gen.py           write chassis/image.binpb and the stubs in gen/
    python tools/gen.py --check   write nothing; fail when they are out of date

The image is built once, by buf, and the stubs are generated from the image: the
descriptors that the gateway reads at run time and the stubs cannot disagree.
"""

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from google.protobuf.descriptor_pb2 import FileDescriptorSet

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
IMAGE = Path("chassis/image.binpb")
STUBS = Path("gen")
# The google/ packages come from googleapis-common-protos.
OURS = ("feedmesh/", "buf/")


def main() -> int:
    check = sys.argv[1:] == ["--check"]
    if sys.argv[1:] and not check:
        sys.exit(__doc__)

    with tempfile.TemporaryDirectory() as folder:
        fresh = Path(folder)
        generate(fresh)
        stale = list(differences(fresh))
        if check:
            for path in stale:
                print(f"out of date: {path}", file=sys.stderr)
            if stale:
                print("run `make gen` and commit the result", file=sys.stderr)
            return 1 if stale else 0

        for path in stale:
            replace(path, fresh)
    print(f"{len(stale)} generated files changed")
    return 0


def generate(out: Path) -> None:
    """Writes the image and the stubs below out, laid out as in the repository."""
    image, stubs = out / IMAGE, out / STUBS
    image.parent.mkdir(parents=True)
    stubs.mkdir()
    run([BIN / "buf", "build", "-o", image])

    files = [
        file
        for file in FileDescriptorSet.FromString(image.read_bytes()).file
        if file.name.startswith(OURS)
    ]
    protoc(image, [file.name for file in files], "python", "mypy", out=stubs)
    # Only for files with a service: an empty *_pb2_grpc.py is noise.
    services = [file.name for file in files if file.service]
    if services:
        protoc(image, services, "grpc_python", "mypy_grpc", out=stubs)
    for package in {file.name.partition("/")[0] for file in files}:
        (stubs / package / "py.typed").touch()


def protoc(image: Path, protos: list[str], *languages: str, out: Path) -> None:
    plugins = {"mypy": "protoc-gen-mypy", "mypy_grpc": "protoc-gen-mypy_grpc"}
    run(
        [
            sys.executable,
            "-m",
            "grpc_tools.protoc",
            f"--descriptor_set_in={image}",
            *(
                f"--plugin={plugin}={BIN / plugin}"
                for language, plugin in plugins.items()
                if language in languages
            ),
            *(
                f"--{language}_opt=quiet"
                for language in languages
                if language in plugins
            ),
            *(f"--{language}_out={out}" for language in languages),
            *protos,
        ]
    )


def run(command: list[str | Path]) -> None:
    done = subprocess.run(command, cwd=ROOT, check=False)
    if done.returncode:
        sys.exit(done.returncode)


def differences(fresh: Path) -> Iterator[Path]:
    """The generated files that are missing, stale or left over in the repository."""
    for path in sorted(generated(fresh) | generated(ROOT)):
        old, new = ROOT / path, fresh / path
        if not (
            old.is_file() and new.is_file() and old.read_bytes() == new.read_bytes()
        ):
            yield path


def generated(root: Path) -> set[Path]:
    trees = [root / STUBS / package for package in OURS]
    files = [path for tree in trees for path in tree.rglob("*") if path.is_file()]
    return {
        path.relative_to(root)
        for path in [*files, root / IMAGE]
        if "__pycache__" not in path.parts
    }


def replace(path: Path, fresh: Path) -> None:
    old, new = ROOT / path, fresh / path
    if new.is_file():
        old.parent.mkdir(parents=True, exist_ok=True)
        old.write_bytes(new.read_bytes())
    else:
        old.unlink(missing_ok=True)


if __name__ == "__main__":
    sys.exit(main())
