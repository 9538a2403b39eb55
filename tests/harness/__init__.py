"""The harness of the behaviour tests.

Owns labs in temporary homes, stock Pyro5 servers beside them, processes, ports, waiting, and the
comparison of both sides. Knows nothing of any single behaviour.
"""

from .certificates import Certificates, tls_client
from .lab import Lab, new_lab
from .outcome import class_and_own_words, outcome, proxy, raised
from .ports import free_port
from .sides import (
    SERIALIZERS,
    SERVERTYPES,
    Service,
    Side,
    both_sides,
    every_serializer,
    every_servertype,
)
from .stock import pyrolab_daemon, stock_daemon, stock_nameserver, stock_program
from .wait import EXTENDED, NEVER, at_most, wait_for, within

__all__ = [
    "EXTENDED",
    "NEVER",
    "SERIALIZERS",
    "SERVERTYPES",
    "Certificates",
    "Lab",
    "Service",
    "Side",
    "at_most",
    "both_sides",
    "class_and_own_words",
    "every_serializer",
    "every_servertype",
    "free_port",
    "new_lab",
    "outcome",
    "proxy",
    "pyrolab_daemon",
    "raised",
    "stock_daemon",
    "stock_nameserver",
    "stock_program",
    "tls_client",
    "wait_for",
    "within",
]
