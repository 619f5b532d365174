"""Who there is, who follows, blocks and mutes whom, and how people log in.

Owns accounts, passwords, sessions, edges and the graph version in its own
database. Owns no posts and no feeds: other rooms ask for relations, stream
followers, and hear of changes through the events of `feedmesh.graph.v1`.
"""
