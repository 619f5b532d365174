"""python -m gateway_http"""

from chassis.run import main

from .settings import GatewaySettings
from .wiring import assemble

if __name__ == "__main__":
    main(GatewaySettings, assemble)
