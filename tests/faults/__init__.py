"""The fault run: real processes, a recorded workload, faults, and checkers.

    python -m tests.faults --seed 1 --minutes 3

A nemesis kills, freezes and cuts off the parts of a mesh while people use it; every
operation of theirs is written down, and the checkers judge what is written there and
what is read when all is quiet again. docs/faults.md says what it proves.
"""
