"""Home feeds: what a reader sees when they come back.

Owns the feed index (who has which post in their home feed) and its hot copies in
Valkey. Owns neither posts nor relations: it asks svc_ingest and svc_graph, keeps what
they say for seconds, and forgets it as soon as they mark a change. Decides nothing
that is not decided again at read: an entry in the index is a hint, `domain.visibility`
is the rule.
"""
