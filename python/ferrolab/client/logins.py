"""Logins of this user in labs, as `ferrolab login` has stored them, and where they are shown.

The folders are those of `crates/program/src/access/logins.rs`. A certificate is shown to servers
that the lab's authority has certified. A token is shown where nobody can read it on its way: on the
loopback of the lab's own host.

Several labs may be on one host, and a daemon's port does not say of which it is. So at a server
count the login of the lab whose nameserver has this very address, else those of all labs of the
host, and of each lab the latest one, of any user: with TLS the first whose authority has
certified the server. A token is shown only where there is one login that has not expired.
"""

import ipaddress
import json
import os
import socket
import ssl
import sys
from time import gmtime, monotonic, strftime

from . import transport

# Handshake data of a client that has set none.
NO_TOKEN = "hello"
# Seconds for which it is remembered how a server answers a login.
_REMEMBERED = 30.0

# Ways in which a server answers a login.
_TRUSTED = "TLS, and its certificate is of the login's lab"
_UNTRUSTED = "TLS, and its certificate is not of the login's lab"
_PLAIN = "without TLS, or not at all"

# The function of `remote` that makes one call on a connection for it.
ask_once = None
# By host, port and folder of the login: the time, and the server's way.
_ways = {}


class Login:
    """A login in a lab."""

    def __init__(self, folder):
        self.folder = folder
        with open(os.path.join(folder, "login.json"), encoding="utf-8") as file:
            facts = json.load(file)
        self.host, self.port, self.user = facts["host"], int(facts["port"]), facts["user"]
        self.lab, self.until = facts["lab"], facts["until"]
        # Earlier versions have not stored it: any other login is later. A renewal leaves it.
        self.logged_in = str(facts.get("logged_in") or "")

    def file(self, name):
        """The path of a file of the login."""
        return os.path.join(self.folder, name)

    def context(self):
        """A TLS context that trusts the lab's authority and shows the user's certificate."""
        context = ssl.create_default_context(cafile=self.file("authority.pem"))
        self.show_certificate(context)
        return context

    def show_certificate(self, context):
        """Has a TLS context show the user's certificate."""
        context.load_cert_chain(self.file("certificate.pem"), self.file("key.pem"))

    def authority(self):
        """The certificate of the lab's authority; empty where it cannot be read."""
        try:
            with open(self.file("authority.pem"), "rb") as file:
                return file.read()
        except OSError:
            return b""

    def token(self):
        """The user's token."""
        with open(self.file("token"), encoding="ascii") as file:
            return file.read().strip()

    def has_expired(self):
        """Whether the time of its certificate is up."""
        return self.until[:19] <= strftime("%Y-%m-%dT%H:%M:%S", gmtime())

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


def find(host, port):
    """The logins that may count at a server, with certificates that last; none without a login."""
    try:
        names = sorted(os.listdir(folder() or ""))
    except OSError:
        return []
    found = []
    for name in names:
        try:
            login = Login(os.path.join(folder(), name))
        except (OSError, ValueError, KeyError, TypeError):
            # A folder without a whole login is left out.
            continue
        if login.is_for(host):
            found.append(login)
    found = _latest_of_each_lab([login for login in found if login.port == port] or found)
    if not found or ask_once is None:
        return found
    # Imported here: most programs have no login.
    from . import renewal

    return [renewal.renewed(login, ask_once) for login in found]


def given_way(uri, settings):
    """TLS context and handshake data without a login.

    A setting of the program comes before the directory's word, and that before the environment.
    """
    is_withheld = uri.is_elsewhere and settings.is_lab_handshake
    handshake = NO_TOKEN if is_withheld else settings.handshake
    if uri.tls is not None and not settings.has_tls_setting:
        return uri.tls, handshake
    if settings.certificate is not None and uri.sockname is None:
        settings.certificate.warn_once()
    return settings.tls, handshake


def _latest_of_each_lab(found):
    """The latest login in each lab, of any user: a lab may have two names, or ports.

    A lab's name is only its word, so that one with another authority is another lab.
    """
    latest = {}
    for login in sorted(found, key=lambda login: (login.logged_in, login.until), reverse=True):
        latest.setdefault((login.lab, login.authority()), login)
    return list(latest.values())


def only_one(found):
    """The only login, or the only one that has not expired; None where several may be meant."""
    lasting = [login for login in found if not login.has_expired()]
    counted = found if len(found) == 1 else lasting
    return counted[0] if len(counted) == 1 else None


def way_to(uri, settings):
    """TLS context and handshake data for a connection; a login counts where none are set."""
    given = given_way(uri, settings)
    if given != (None, NO_TOKEN) or uri.sockname is not None or not exist():
        return given
    found = find(uri.host, uri.port)
    first = None
    for login in found:
        try:
            way = _PLAIN
            if not settings.has_tls_setting:
                context = login.context()
                way = _way_of(uri, login, context, settings.connect_timeout)
            if way == _PLAIN:
                only = only_one(found) if _is_loopback(uri.host) else None
                return None, only.token() if only is not None else NO_TOKEN
        except (OSError, ValueError):
            # Its files cannot be used; the server says what that means.
            continue
        first = first or context
        if way == _TRUSTED:
            return context, NO_TOKEN
    return (first, NO_TOKEN) if first is not None else given


def _way_of(uri, login, context, timeout):
    place = (uri.host, uri.port, login.folder)
    known = _ways.get(place)
    if known is not None and monotonic() - known[0] < _REMEMBERED:
        return known[1]
    try:
        with transport.connect(uri, timeout) as sock:
            with context.wrap_socket(sock, server_hostname=uri.host.strip("[]")):
                way = _TRUSTED
    except ssl.SSLCertVerificationError:
        # If it is of no other login's lab, the connection itself says so.
        way = _UNTRUSTED
    except ssl.SSLError:
        way = _PLAIN
    except OSError:
        # It may not be there at all, which the connection itself finds out.
        return _PLAIN
    if len(_ways) > 1000:
        _ways.clear()
    _ways[place] = (monotonic(), way)
    return way


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
