"""Sockets to daemons: TCP, TLS and Unix sockets, and whom a server's bytes may be trusted from.

A server is trusted with `marshal.loads` if it is a process of this user, on a Unix socket, or if
TLS has checked its certificate as the program or a login says. Anybody of this machine can listen
on a port of localhost, anybody in between can answer for a host, and the directory of another lab
can name a server of anybody, with a certificate that everybody trusts.
"""

import os
import select
import socket
import ssl
import struct
from time import monotonic

from .errors import NOT_STARTED, CommunicationError, TimeoutError
from .expiry import ClientCertificate
from .uri import leads_here, own_host_only

# Most milliseconds of one `poll`: a C int.
_MOST_POLL_MS = 0x7FFFFFFF
# Seconds until a vanished server is noticed: idle before the first probe, between probes, probes.
_KEEPALIVE = (("TCP_KEEPIDLE", 5), ("TCP_KEEPINTVL", 2), ("TCP_KEEPCNT", 3))
# Milliseconds after which unacknowledged data ends a connection.
_USER_TIMEOUT_MS = 12_000
_PEER_CREDENTIALS = struct.Struct("3i")
# Windows does not have it.
_DONT_WAIT = getattr(socket, "MSG_DONTWAIT", None)


def open_socket(uri, timeout, tls=None):
    """A connected socket for the location of `uri`, and whether its server is trusted."""
    where = uri.location
    try:
        if uri.sockname is not None:
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                sock.settimeout(timeout)
                sock.connect(uri.sockname)
                return sock, is_process_of_this_user(sock)
            except BaseException:
                sock.close()
                raise
        sock = connect(uri, timeout)
    except AttributeError:
        raise CommunicationError(
            "this system has no Unix sockets: {}".format(where), outcome=NOT_STARTED
        ) from None
    except socket.timeout:
        raise TimeoutError(
            "cannot connect to {}: no answer within {:g} s".format(where, timeout),
            outcome=NOT_STARTED,
        ) from None
    except OSError as error:
        raise CommunicationError(
            "cannot connect to {}: {}".format(where, error.strerror or error), outcome=NOT_STARTED
        ) from error
    set_tcp_options(sock)
    if tls is None:
        return sock, False
    return _wrap(sock, uri, tls), is_trusted(uri, tls)


def connect(uri, timeout):
    """A TCP connection to the host of `uri`, on which nothing is sent yet."""
    sock = socket.create_connection((uri.host, uri.port), timeout)
    try:
        check_way(sock, uri)
    except BaseException:
        sock.close()
        raise
    return sock


def check_way(sock, uri):
    """Refuses a connection to this host by an address that another lab's server has named."""
    if uri.told_by is not None and leads_here(sock):
        raise CommunicationError(own_host_only(uri, uri.told_by), outcome=NOT_STARTED)


def is_here(sock, uri):
    """Whether the server of `uri` is on this host; asked of servers of other labs only."""
    try:
        return uri.is_elsewhere and (uri.sockname is not None or leads_here(sock))
    except OSError:
        # It has ended the connection already.
        return False


def set_tcp_options(sock):
    """Has small messages sent at once, and vanished servers noticed."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _KEEPALIVE + (("TCP_USER_TIMEOUT", _USER_TIMEOUT_MS),):
        option = getattr(socket, name, None)
        if option is not None:
            sock.setsockopt(socket.IPPROTO_TCP, option, value)


def is_trusted(uri, tls):
    """Whether the server of `uri` is trusted after a handshake in this TLS context.

    One that another lab's directory has named is not: any server may have a certificate.
    """
    return tls is not None and not uri.is_elsewhere and tls.verify_mode == ssl.CERT_REQUIRED


def tls_context(setting):
    """The context of a `tls=` setting: a context, or the file of certificates to trust.

    False is for no TLS. None is what Pyro5's variables say: PYRO_SSL, PYRO_SSL_CACERTS,
    PYRO_SSL_CLIENTCERT, PYRO_SSL_CLIENTKEY and PYRO_SSL_CLIENTKEYPASSWD. The second value is the
    certificate that these name.
    """
    if setting is None:
        return _context_of_environment()
    if setting is False or isinstance(setting, ssl.SSLContext):
        return setting or None, None
    return _context(os.fspath(setting)), None


def _context(cacerts):
    kind = "capath" if cacerts and os.path.isdir(cacerts) else "cafile"
    return ssl.create_default_context(**{kind: cacerts or None})


def _context_of_environment():
    word = os.environ.get("PYRO_SSL", "").lower()
    if word in ("", "0", "off", "no", "false"):
        return None, None
    if word not in ("1", "on", "yes", "true"):
        raise ValueError("the variable PYRO_SSL is true or false, and not {!r}".format(word))
    context = _context(os.environ.get("PYRO_SSL_CACERTS"))
    certificate = os.environ.get("PYRO_SSL_CLIENTCERT")
    if not certificate:
        return context, None
    key = os.environ.get("PYRO_SSL_CLIENTKEY") or None
    password = os.environ.get("PYRO_SSL_CLIENTKEYPASSWD") or None
    context.load_cert_chain(certificate, key, password)
    return context, ClientCertificate(certificate)


def tls_failure(uri, error):
    """The error of a TLS handshake, in words where the server does not use TLS."""
    reason = getattr(error, "reason", None)
    if reason in ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST"):
        text = "the server at {} does not use TLS: pass `tls=False`, or leave out PYRO_SSL ({})"
    else:
        text = "no TLS connection to {}: {}"
    return CommunicationError(text.format(uri.location, error), outcome=NOT_STARTED)


def _wrap(sock, uri, tls):
    try:
        return tls.wrap_socket(sock, server_hostname=uri.host)
    except (OSError, ValueError) as error:
        sock.close()
        raise tls_failure(uri, error) from error


def is_process_of_this_user(sock):
    """Whether the process at the other end of a Unix socket is this user's."""
    option = getattr(socket, "SO_PEERCRED", None)
    if option is None:
        return False
    data = sock.getsockopt(socket.SOL_SOCKET, option, _PEER_CREDENTIALS.size)
    return _PEER_CREDENTIALS.unpack(data)[1] == os.getuid()


class TimeIsUp(BlockingIOError):
    """The time of a call is up, between two receives or sends of it."""


class Clock:
    """Waits of a blocking socket for its peer, until a deadline.

    Of a plain socket only what has a deadline is waited for, by `poll`, which goes on with the rest
    of its time after a signal: the kernel's own limit (SO_RCVTIMEO) begins anew with each. TLS, and
    systems without `poll`, have Python's timeouts, which cost a `poll` for each call.
    """

    __slots__ = ("_armed", "_reading", "_sock", "_writing")

    def __init__(self, sock):
        self._sock = sock
        self._armed = None
        self._reading = self._writing = None
        sock.settimeout(None)
        if hasattr(select, "poll") and _DONT_WAIT and not isinstance(sock, ssl.SSLSocket):
            self._reading, self._writing = select.poll(), select.poll()
            self._reading.register(sock, select.POLLIN)
            self._writing.register(sock, select.POLLOUT)

    def wait_readable(self, deadline):
        """Waits until there is something to receive; before a receive that has a deadline."""
        self._wait(self._reading, deadline)

    def send(self, data, deadline):
        """Sends a part of the bytes, and returns their number."""
        if self._writing is None:
            self._wait(None, deadline)
            return self._sock.send(data)
        try:
            return self._sock.send(data, _DONT_WAIT)
        except BlockingIOError:
            self._wait(self._writing, deadline)
            return 0

    def stop(self):
        """Lets a socket with Python's timeouts wait for ever again."""
        if self._armed is not None:
            self._armed = None
            self._sock.settimeout(None)

    def _wait(self, poll, deadline):
        left = deadline - monotonic()
        if left <= 0:
            raise TimeIsUp
        if poll is None:
            self._armed = left
            self._sock.settimeout(left)
            return
        while not poll.poll(min(left * 1000, _MOST_POLL_MS)):
            left = deadline - monotonic()
            if left <= 0:
                raise TimeIsUp


def is_closed(sock):
    """Whether an idle connection has ended, or has bytes that nobody asked for."""
    try:
        is_tls = isinstance(sock, ssl.SSLSocket)
        if not is_tls and _DONT_WAIT is not None:
            sock.recv(1, socket.MSG_PEEK | _DONT_WAIT)
            return True
        seconds = sock.gettimeout()
        sock.settimeout(0)
        try:
            # Only a read takes in what belongs to TLS itself, such as session tickets.
            sock.recv(1, 0 if is_tls else socket.MSG_PEEK)
        finally:
            sock.settimeout(seconds)
    except (BlockingIOError, InterruptedError, ssl.SSLWantReadError):
        return False
    except OSError:
        return True
    return True
