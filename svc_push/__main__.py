"""python -m svc_push"""

import sys

from chassis.run import main

from .settings import PushSettings
from .wiring import assemble

sys.exit(main(PushSettings, assemble))
