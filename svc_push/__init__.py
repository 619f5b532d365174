"""What changes in a reader's feed, told at once and without gaps.

Owns the log of each reader who is or was online lately, the marks that say so, and
the live streams. The logs lie in Valkey and can be lost: a reader then hears of it by
an explicit reset. Owns no posts and no graph: it hears of posts through the events of
svc_ingest, and asks svc_graph who follows.
"""
