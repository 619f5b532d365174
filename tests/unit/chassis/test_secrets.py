"""Key files."""

from pathlib import Path

import pytest

from chassis import secrets

KEY = "QUFB" * 11


def test_keys_keep_their_order(tmp_path: Path) -> None:
    """The first key of the file signs."""
    path = tmp_path / "keys"
    path.write_text(f"# rolled in June\nnew:{KEY}\n\nold:{KEY}\n")

    assert list(secrets.read_keys(path)) == ["new", "old"]


@pytest.mark.parametrize("line", [f":{KEY}", KEY, "short:QUFB", "bad:%%%", ""])
def test_wrong_line_is_named_by_its_file(tmp_path: Path, line: str) -> None:
    """The complaint names the file and shows no key."""
    path = tmp_path / "keys"
    path.write_text(line)

    with pytest.raises(ValueError, match="keys: ") as caught:
        secrets.read_keys(path)
    assert KEY not in str(caught.value)


def test_development_secrets_are_made_once(tmp_path: Path) -> None:
    """A second start keeps what the first one made; only the owner reads it."""
    folder = tmp_path / "secrets"
    secrets.create_development(folder)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}

    secrets.create_development(folder)

    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert set(before) == {
        "internal_keys",
        "page_token_keys",
        "jwks.json",
        "signing_key.pem",
    }
    assert all(path.stat().st_mode & 0o077 == 0 for path in folder.iterdir())
