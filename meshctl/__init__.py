"""The command line: starts a mesh on this machine, looks at one, feeds one.

One file per command; `__main__` puts them together. What `up` is made of: `plan`
(which processes, pure), `children` (keeping them running), `stack` (the order of
things from start to drain), `seed` (the small world of a new mesh).
"""
