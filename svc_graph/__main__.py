"""python -m svc_graph"""

from chassis.run import main

from .settings import GraphSettings
from .wiring import assemble

if __name__ == "__main__":
    main(GraphSettings, assemble)
