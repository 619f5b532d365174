"""What every service stands on: starting, serving, calling, failing, stopping.

It holds no word of the domain. Services use it through the modules named in the
docs; nothing here imports a service.
"""
