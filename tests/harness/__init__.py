"""What the behaviour tests stand on.

Owns labs in temporary homes, stock Pyro5 servers beside them, processes, ports, waiting, and the
comparison of both sides. Knows nothing of any single behaviour.
"""

from .certificates import Certificates, tls_client
from .lab import Lab, new_lab
from .outcome import outcome, proxy, raised
from .ports import free_port
from .sides import Service, Side, both_sides
from .stock import StockServer, stock_daemon, stock_nameserver
from .wait import wait_for

__all__ = [
    "Certificates",
    "Lab",
    "Service",
    "Side",
    "StockServer",
    "both_sides",
    "free_port",
    "new_lab",
    "outcome",
    "proxy",
    "raised",
    "stock_daemon",
    "stock_nameserver",
    "tls_client",
    "wait_for",
]
