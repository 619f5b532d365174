"""Planted bugs can be planted: what `make test-planted` runs is not out of date."""

import subprocess

import pytest

from tests.planted.patches import ROOT, Planted, planted

LEAST = 10

every_bug = pytest.mark.parametrize("one", list(planted()), ids=lambda one: one.name)


def test_there_are_as_many_as_promised() -> None:
    """Ten guards at least are proven to be noticed."""
    assert len(list(planted())) >= LEAST


@every_bug
def test_a_patch_fits_the_tree(one: Planted) -> None:
    """A patch that no longer applies would prove nothing: renew it."""
    done = subprocess.run(
        ["git", "apply", "--check", "--recount", str(one.path)],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
    )

    assert done.returncode == 0, done.stderr


@every_bug
def test_a_patch_names_a_test_that_exists(one: Planted) -> None:
    """The file is there and holds it, or one of the suites of the ports does."""
    names = one.test.split("::")[1:]
    suites = (ROOT / "tests" / "contract").glob("*_contract.py")

    assert names
    source = "".join(path.read_text() for path in [one.test_file, *suites])
    assert f"def {names[-1].partition('[')[0]}(" in source


@every_bug
def test_the_docs_name_each_bug(one: Planted) -> None:
    """docs/faults.md says which test caught which bug."""
    table = (ROOT / "docs" / "faults.md").read_text()

    assert one.bug in table
    assert one.test.partition("[")[0] in table
