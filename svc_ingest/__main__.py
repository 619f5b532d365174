"""python -m svc_ingest"""

import sys

from chassis.run import main

from .settings import IngestSettings
from .wiring import assemble

sys.exit(main(IngestSettings, assemble))
