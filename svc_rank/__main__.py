"""python -m svc_rank"""

import sys

from chassis.run import main

from .settings import RankSettings
from .wiring import assemble

sys.exit(main(RankSettings, assemble))
