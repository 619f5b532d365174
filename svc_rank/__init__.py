"""Ranking: which of its candidates a reader should see first.

Owns the formula and nothing else: it keeps no state, reads no store and hears no
event. All features come with the request, so that equal requests have equal answers
and a reader's page can be explained later. Which posts are candidates, and who may
see them, is svc_feed's business.
"""
