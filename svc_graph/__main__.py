"""python -m svc_graph"""

import sys

from chassis.run import main

from .settings import GraphSettings
from .wiring import assemble

sys.exit(main(GraphSettings, assemble))
