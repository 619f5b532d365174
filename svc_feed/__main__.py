"""python -m svc_feed"""

import sys

from chassis.run import main

from .settings import FeedSettings
from .wiring import assemble

sys.exit(main(FeedSettings, assemble))
