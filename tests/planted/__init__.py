"""Planted bugs: each patch here breaks one guard, and names the test that notices.

`python -m tests.planted` applies each to a copy of the tree and runs that test: green
without the patch, red with it. A guard that can be taken away unnoticed is none.
"""
