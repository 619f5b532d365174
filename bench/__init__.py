"""How fast feedmesh is: ratios against ceilings that are driven in the same run."""

import os

# We start processes while calls are open, and never fork for anything else.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
