"""How the calls of a channel travel. Stubs and handlers do not know which way."""
