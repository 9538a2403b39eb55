"""`locate_ns`, as Pyro5 has it."""

from .errors import CommunicationError, NamingError
from .nameserver import find_nameserver
from .proxy import Proxy


def locate_ns(host="", port=None, broadcast=True, **settings):
    """A proxy of a nameserver: at `host` and `port`, or found on this machine or by a search.

    The environment variables PYRO_NS_HOST and PYRO_NS_PORT say where to look without arguments.
    """
    uri = find_nameserver(str(host or ""), port, broadcast)
    proxy = Proxy(uri, **settings)
    try:
        proxy._pyroBind()
    except CommunicationError as error:
        raise NamingError("no nameserver answers at {}: {}".format(uri.location, error)) from error
    return proxy
