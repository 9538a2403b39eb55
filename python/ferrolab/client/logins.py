"""Logins of this user in labs, as `ferrolab login` has stored them, and where they are shown.

The folders are those of `crates/ferrolab/src/access/logins.rs`. A certificate is shown to servers
that the lab's authority has certified. A token is shown where nobody can read it on its way: on the
loopback of the lab's own host.
"""

import ipaddress
import json
import os
import socket
import ssl
import sys
from time import monotonic

# Handshake data of a client that has set none.
NO_TOKEN = "hello"
# Seconds for which it is remembered whether a server speaks TLS.
_REMEMBERED = 30.0

# By host and port: the time, and whether TLS with the login works there.
_speaks_tls = {}


class Login:
    """A login in a lab."""

    def __init__(self, folder):
        self.folder = folder
        with open(os.path.join(folder, "login.json"), encoding="utf-8") as file:
            facts = json.load(file)
        self.host, self.port, self.user = facts["host"], int(facts["port"]), facts["user"]

    def context(self):
        """A TLS context that trusts the lab's authority and shows the user's certificate."""
        file = lambda name: os.path.join(self.folder, name)
        context = ssl.create_default_context(cafile=file("authority.pem"))
        context.load_cert_chain(file("certificate.pem"), file("key.pem"))
        return context

    def token(self):
        """The user's token."""
        with open(os.path.join(self.folder, "token"), encoding="ascii") as file:
            return file.read().strip()

    def is_for(self, host):
        """Whether `host` is the lab's host, by its name or by an address."""
        if host.strip("[]").lower() == self.host.strip("[]").lower():
            return True
        return bool(_addresses(host) & _addresses(self.host))


def folder():
    """The folder of this user's logins; None where there is no home."""
    home = os.environ.get("FERROLAB_HOME")
    if home:
        return os.path.join(os.path.abspath(home), "logins")
    home = os.path.expanduser("~")
    if home == "~":
        return None
    if sys.platform == "darwin":
        return os.path.join(home, "Library", "Application Support", "ferrolab", "logins")
    config = os.environ.get("XDG_CONFIG_HOME", "")
    if not os.path.isabs(config):
        config = os.path.join(home, ".config")
    return os.path.join(config, "ferrolab", "logins")


def exist():
    """Whether this user has logged in anywhere."""
    where = folder()
    return where is not None and os.path.isdir(where)


def find(host):
    """The login for the lab of `host`; None without one."""
    try:
        names = sorted(os.listdir(folder() or ""))
    except OSError:
        return None
    for name in names:
        try:
            login = Login(os.path.join(folder(), name))
            if login.is_for(host):
                return login
        except (OSError, ValueError, KeyError, TypeError):
            # A folder without a whole login is left out.
            continue
    return None


def way_to(uri, settings):
    """TLS context and handshake data for a connection; a login counts where none are set."""
    if settings.tls is None and uri.tls is not None:
        return uri.tls, settings.handshake
    given = (settings.tls, settings.handshake)
    if given != (None, NO_TOKEN) or uri.sockname is not None or not exist():
        return given
    login = find(uri.host)
    if login is None:
        return given
    try:
        context = login.context()
        if _has_tls(uri, context, settings.connect_timeout):
            return context, NO_TOKEN
        return None, login.token() if _is_loopback(uri.host) else NO_TOKEN
    except (OSError, ValueError):
        # Its files cannot be used; the server says what that means.
        return given


def _has_tls(uri, context, timeout):
    place = (uri.host, uri.port)
    known = _speaks_tls.get(place)
    if known is not None and monotonic() - known[0] < _REMEMBERED:
        return known[1]
    try:
        with socket.create_connection(place, timeout) as sock:
            with context.wrap_socket(sock, server_hostname=uri.host.strip("[]")):
                speaks = True
    except ssl.SSLCertVerificationError:
        # It speaks TLS, and is not the lab's: the connection itself says so.
        speaks = True
    except ssl.SSLError:
        speaks = False
    except OSError:
        # It may not be there at all, which the connection itself finds out.
        return False
    if len(_speaks_tls) > 1000:
        _speaks_tls.clear()
    _speaks_tls[place] = (monotonic(), speaks)
    return speaks


def _is_loopback(host):
    addresses = _addresses(host)
    return bool(addresses) and all(ipaddress.ip_address(one).is_loopback for one in addresses)


def _addresses(host):
    """The addresses of a host, without the zones of IPv6."""
    try:
        found = socket.getaddrinfo(host.strip("[]"), None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return set()
    return {entry[4][0].partition("%")[0] for entry in found}
