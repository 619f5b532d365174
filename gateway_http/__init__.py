"""The HTTP/JSON face of the mesh.

Every route, binding, limit and document follows from the descriptor image of the
contract; nothing here names an RPC. The gateway owns the edge: limits, tokens, rate
limits, retries and the mapping between HTTP and gRPC. It owns no data and knows no
domain.
"""
