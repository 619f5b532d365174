"""svc_ingest owns posts, comments, likes, shares and their counts.

Every write about content ends here and is answered after its commit: row,
idempotency record and outbox row in one transaction. It decides nothing about
who follows whom (svc_graph) and keeps nobody's feed (svc_feed).
"""
