"""Where connections of the client lead: by an address that another lab has told, not to here."""

import asyncio
import socket
import ssl
import threading

import pytest
from ferrolab.client import errors, transport
from ferrolab.client.aio.connection import open_connection
from ferrolab.client.connection import Connection
from ferrolab.client.settings import Settings
from ferrolab.client.uri import URI, leads_here

NAME = "told.example"
# Seconds after which a test is taken to hang.
WAIT_DEADLINE = 120


def own_address():
    """An address of this host that others reach; None without a network."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        try:
            # Only picks a route.
            asked.connect(("192.0.2.1", 9))
        except OSError:
            return None
        return asked.getsockname()[0]


def connect(uri, settings):
    return Connection(uri, settings)


def connect_aio(uri, settings):
    return asyncio.run(open_connection(uri, settings))


@pytest.mark.parametrize("open_one", [connect, connect_aio])
@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("place", ["127.0.0.1", "127.0.0.2", "::1", "own"])
def test_a_name_that_leads_here_is_refused_before_anything_is_sent(monkeypatch, open_one, tls, place):
    place = own_address() if place == "own" else place
    resolve = socket.getaddrinfo
    leads = lambda host, *rest, **more: resolve(place if host == NAME else host, *rest, **more)
    monkeypatch.setattr(socket, "getaddrinfo", leads)
    try:
        family = socket.AF_INET6 if ":" in place else socket.AF_INET
        server = socket.create_server((place, 0), family=family)
    except (OSError, TypeError):
        pytest.skip("this host has no such address")
    with server:
        server.settimeout(WAIT_DEADLINE)
        uri = URI("PYRO:lab.stage@{}:{}".format(NAME, server.getsockname()[1]))
        uri.is_elsewhere, uri.told_by = True, "192.0.2.1:9090"
        settings = Settings(connect_timeout=WAIT_DEADLINE, tls=ssl.create_default_context() if tls else False)
        words = "another lab's server, at 192.0.2.1:9090, names PYRO:lab.stage@{}".format(NAME)
        with pytest.raises(errors.CommunicationError, match=words) as caught:
            open_one(uri, settings)
        assert "on its own host only" in str(caught.value) and caught.value.outcome == errors.NOT_STARTED
        accepted, _ = server.accept()
        with accepted:
            accepted.settimeout(WAIT_DEADLINE)
            assert accepted.recv(1) == b""


@pytest.mark.parametrize("tls", [False, True])
def test_a_name_that_leads_elsewhere_is_connected_to_at_its_next_address(monkeypatch, tls):
    places = []
    resolve = socket.getaddrinfo
    one = lambda place: resolve(*place, type=socket.SOCK_STREAM)[0]
    leads = lambda host, *rest, **more: [one(place) for place in places] if host == NAME else resolve(host, *rest, **more)
    monkeypatch.setattr(socket, "getaddrinfo", leads)
    monkeypatch.setattr(transport, "leads_here", lambda sock: False)
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        server.settimeout(WAIT_DEADLINE)
        places.extend([closed.getsockname(), server.getsockname()])
        uri = URI("PYRO:lab.stage@{}:9090".format(NAME))
        uri.is_elsewhere, uri.told_by = True, "192.0.2.1:9090"
        settings = Settings(connect_timeout=WAIT_DEADLINE, tls=ssl.create_default_context() if tls else False)
        begun = []

        def serve():
            accepted, _ = server.accept()
            with accepted:
                accepted.settimeout(WAIT_DEADLINE)
                begun.append(accepted.recv(4096))

        serving = threading.Thread(target=serve)
        serving.start()
        with pytest.raises(errors.CommunicationError):
            connect_aio(uri, settings)
        serving.join()
        # A handshake of Pyro5, or one of TLS that names the server.
        (first,) = begun
        assert NAME.encode() in first if tls else first.startswith(b"PYRO"), first


def test_the_other_end_says_where_a_connection_leads(monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as sock:
            assert leads_here(sock)
            uri = URI("PYRO:x@127.0.0.1:{}".format(port))
            assert not transport.is_here(sock, uri), "only of other labs it is asked"
            uri.is_elsewhere = True
            assert transport.is_here(sock, uri)
            transport.check_way(sock, uri)
    elsewhere = lambda: None
    elsewhere.getpeername = lambda: ("192.0.2.1", 9090)
    elsewhere.getsockname = lambda: ("192.0.2.7", 51000)
    assert not leads_here(elsewhere)
    elsewhere.getpeername = lambda: ("2001:db8::1", 9090, 0, 0)
    assert not leads_here(elsewhere)
