"""TLS and plain clients on the ports of a lab: stock clients that know only Pyro5's variables."""

import contextlib
import json
import os
import re
import signal
import socket
import ssl
import subprocess

import pytest
from harness import NEVER, SERIALIZERS, Certificates, free_port, new_lab, proxy, stock_nameserver, tls_client, wait_for, within
from harness.certificates import openssl
from harness.lab import TESTS, interpreter
from harness.stock import plain_environment

CLIENT = TESTS / "clients" / "tls_client.py"
LAB = """\
python: {executable: "$python", path: ["$drivers"]}
nameservers:
  open: {ns_port: $open}
  both: {ns_port: $both, ssl: offered}
  strict: {ns_port: $strict, ssl: true, ssl_requireclientcert: true}
daemons:
  plain: {}
  both-thread: {classname: LockableDaemon, ssl: offered}
  both-multiplex: {classname: LockableDaemon, ssl: offered, servertype: multiplex}
  strict-thread: {classname: LockableDaemon, ssl: true, ssl_requireclientcert: true}
  strict-multiplex:
    {classname: LockableDaemon, ssl: true, ssl_requireclientcert: true, servertype: multiplex}
services:
  t.plain: {native: simulated.loopback, daemon: plain, nameservers: [open, both, strict]}
  t.both.thread: {module: wire, classname: Wire, daemon: both-thread, nameservers: [open, both, strict]}
  t.both.multiplex:
    {module: wire, classname: Wire, daemon: both-multiplex, nameservers: [open, both, strict]}
  t.strict.thread: {module: wire, classname: Wire, daemon: strict-thread, nameservers: [open, both, strict]}
  t.strict.multiplex:
    {module: wire, classname: Wire, daemon: strict-multiplex, nameservers: [open, both, strict]}
autolaunch:
  nameservers: [open, both, strict]
  daemons: [plain, both-thread, both-multiplex, strict-thread, strict-multiplex]
"""
NAMES = ["t.both.multiplex", "t.both.thread", "t.plain", "t.strict.multiplex", "t.strict.thread"]
BOTH = ["t.both.thread", "t.both.multiplex"]
STRICT = ["t.strict.thread", "t.strict.multiplex"]


class Tls:
    """A lab with ports of every kind, and the variables of its clients."""

    def __init__(self, lab):
        self.lab = lab
        self.ports = {name: free_port() for name in ("open", "both", "strict")}
        lab.config(LAB, **self.ports)
        lab.up()
        for port in (self.ports["open"], self.ports["both"]):
            lab.wait_for_names(port, NAMES)
        self.wait_for_strict_names()
        self.access = lab.home / "state" / "access"
        self.trust = {"PYRO_SSL": "true", "PYRO_SSL_CACERTS": str(self.access / "ca.pem")}
        said = lab.run("cert", "client", "ada", "--out", "ada").stdout
        self.ada = dict(line.removeprefix("export ").split("=", 1) for line in said.splitlines())
        made = Certificates(lab.files)
        self.stranger = self.shown(*made.self_signed("stranger"))
        self.expired = self.shown(*self.expired_certificate())
        self.other = {"PYRO_SSL": "true", "PYRO_SSL_CACERTS": str(made.self_signed("other")[0])}
        self.environments = {"plain": {}, "trust": self.trust, "ada": self.ada, "stranger": self.stranger, "expired": self.expired, "other": self.other}

    def wait_for_strict_names(self):
        """Until the nameserver that wants a certificate knows all names."""

        def known():
            listed = self.lab.run("nslist", "--json", "--ns", "strict", "t.", check=False)
            return listed.returncode == 0 and len(json.loads(listed.stdout)) == len(NAMES)

        wait_for(known, 30, "the names at `strict`")

    def shown(self, certificate, key):
        return self.trust | {"PYRO_SSL_CLIENTCERT": str(certificate), "PYRO_SSL_CLIENTKEY": str(key)}

    def expired_certificate(self):
        """A certificate of the lab's authority that has ended yesterday."""
        files = [self.lab.files / name for name in ("late.key", "late.csr", "late.pem")]
        key, request, certificate = files
        openssl("req", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=late", "-keyout", key, "-out", request)
        issuer = ("-CA", self.access / "ca.pem", "-CAkey", self.access / "ca.key", "-CAcreateserial")
        openssl("x509", "-req", "-in", request, "-days", "-1", "-out", certificate, *issuer)
        return certificate, key

    def client(self, environment, *arguments, program=CLIENT):
        return subprocess.run(
            [interpreter(), program, *map(str, arguments)],
            env=plain_environment(**self.environments[environment]),
            capture_output=True,
            text=True,
            timeout=NEVER,
        )

    def location(self, kind):
        """Of a port: a nameserver by its name, a service by its."""
        if kind in self.ports:
            return f"Pyro.NameServer@localhost:{self.ports[kind]}"
        return self.lab.uri(kind).partition(":")[2]


@pytest.fixture(scope="module")
def tls():
    with new_lab() as lab:
        yield Tls(lab)


@pytest.mark.parametrize(
    ("environment", "nameserver", "services"),
    [
        ("plain", "open", BOTH),
        ("plain", "both", BOTH),
        ("trust", "both", BOTH),
        # An unknown certificate is ignored if it is not required.
        ("stranger", "both", BOTH),
        ("ada", "both", [*BOTH, *STRICT]),
        ("ada", "strict", [*BOTH, *STRICT]),
    ],
)
def test_a_stock_client_finds_calls_locks_and_streams(tls, environment, nameserver, services):
    done = tls.client(environment, tls.ports[nameserver], *services)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["listed"] == NAMES
    locked = "Pyro object is locked (by 'ada')"
    expected = [[serializer, True, locked, 100_000, [0, 1, 2], True, [[[1.5, None, True]], {}]] for serializer in SERIALIZERS]
    for seen in told["seen"]:
        assert seen == expected


ONE_CALL = """
import sys, Pyro5.api
try:
    with Pyro5.api.Proxy("PYRO:" + sys.argv[1]) as made:
        made._pyroBind()
    print("let in")
except Pyro5.errors.CommunicationError as error:
    print(error)
"""


@pytest.mark.parametrize(
    ("environment", "port", "told"),
    [
        ("plain", "strict", r"'strict' takes TLS connections only.*PYRO_SSL=true.*PYRO_SSL_CLIENTCERT"),
        ("plain", "t.strict.thread", r"'strict-thread' takes TLS connections only"),
        ("plain", "t.strict.multiplex", r"'strict-multiplex' takes TLS connections only"),
        ("trust", "strict", r"wants a client certificate.*PYRO_SSL_CLIENTCERT and PYRO_SSL_CLIENTKEY"),
        ("trust", "t.strict.thread", r"wants a client certificate"),
        ("stranger", "t.strict.thread", r"your client certificate \('localhost'\) was not issued by an authority"),
        ("expired", "t.strict.thread", r"your client certificate \('late'\) has expired on 20\d\d-.*get a new one"),
        ("expired", "both", r"your client certificate \('late'\) has expired on"),
        ("other", "both", r"certificate verify failed"),
        ("trust", "t.plain", r"(?i)wrong.version.number|record.layer"),
    ],
)
def test_who_is_refused_is_told_why(tls, environment, port, told):
    program = tls.lab.write(ONE_CALL, "one_call.py")
    done = tls.client(environment, tls.location(port), program=program)
    assert re.search(told, done.stdout), done.stdout + done.stderr


def test_the_log_says_that_a_client_expected_tls(tls):
    program = tls.lab.write(ONE_CALL, "one_call.py")
    tls.client("trust", tls.location("t.plain"), program=program)
    said = "the client speaks TLS, and this port does not"
    wait_for(lambda: said in tls.lab.run("logs", "show", "--entry", "plain").stdout, 10, said)


OURS = """
import asyncio, sys, ferrolab
lab = ferrolab.connect(f"localhost:{sys.argv[1]}")
print(lab[sys.argv[2]].echo(5)[0], list(lab[sys.argv[2]].numbers(3)))

async def calls():
    async with lab.aio as services:
        return (await services[sys.argv[2]].echo(6))[0]

print(asyncio.run(calls()))
for settings in ({"tls": False}, {}):
    try:
        ferrolab.Proxy("PYRO:" + sys.argv[3 + len(settings)], **settings).echo(1)
    except ferrolab.CommunicationError as error:
        print(error)
"""


def test_our_python_client_reads_the_same_variables(tls):
    program = tls.lab.write(OURS.replace("$", "$$"), "ours.py")
    tls.environments["ours"] = tls.ada | {"PYTHONPATH": str(TESTS.parent / "python")}
    plain, strict = tls.location("t.plain"), tls.location("t.strict.thread")
    done = tls.client("ours", tls.ports["strict"], "t.strict.thread", plain, strict, program=program)
    assert done.stdout.startswith("[5] [0, 1, 2]\n[6]\n"), done.stdout + done.stderr
    assert "takes TLS connections only" in done.stdout
    assert "does not use TLS" in done.stdout


def test_commands_need_no_variables(tls):
    lab = tls.lab
    for service in ("t.plain", *BOTH, *STRICT):
        assert lab.run("call", service, "echo", "5").returncode == 0
    for nameserver in tls.ports:
        listed = json.loads(lab.run("nslist", "--json", "--ns", nameserver, "t.").stdout)
        assert sorted(row["name"] for row in listed) == NAMES
        assert lab.run("call", "t.strict.thread", "echo", "5", "--ns", nameserver).returncode == 0
        lab.run("ns", "register", "t2.here", "PYRO:x@localhost:1", "--ns", nameserver)
        assert "PYRO:x@localhost:1" in lab.run("ns", "lookup", "t2.here", "--ns", nameserver).stdout
        lab.run("ns", "remove", "t2.here", "--ns", nameserver)
    assert lab.run("call", "--uri", lab.uri("t.strict.thread"), "echo", "5").returncode == 0
    assert "echo" in lab.run("describe", "t.strict.multiplex").stdout
    # It fails where a daemon's feed cannot be read.
    assert lab.run("values").returncode == 0
    with tls_client(tls.trust["PYRO_SSL_CACERTS"], tls.ada["PYRO_SSL_CLIENTCERT"], tls.ada["PYRO_SSL_CLIENTKEY"]):
        with lab.proxy("t.strict.thread") as mine:
            assert mine.lock("ada")
            lab.run("unlock", "--break", "t.strict.thread", "--reason", "a test")
    said = lab.run("lock", "t.strict.thread", "--", "sh", "-c", "echo $FERROLAB_LOCK_URI").stdout
    assert said.strip() == lab.uri("t.strict.thread")


def test_a_restarted_nameserver_gets_its_names_over_tls(tls):
    tls.lab.run("restart", "nameserver", "strict")
    tls.wait_for_strict_names()


def test_certificates_carry_every_name_and_stay_private(tls):
    shown = json.loads(tls.lab.run("cert", "show", "--json").stdout)
    names = shown["host"]["names"]
    assert {"localhost", "127.0.0.1", "::1", socket.gethostname()} <= set(names), names
    for name in ("ca.key", "host.pem"):
        assert (tls.access / name).stat().st_mode & 0o777 == 0o600
    assert (tls.lab.files / "ada" / "ada.key").stat().st_mode & 0o777 == 0o600
    tls.lab.run("cert", "server", "labpc2", "10.0.0.8", "--out", "labpc2")
    folder = tls.lab.files / "labpc2"
    ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(folder / "labpc2.pem", folder / "labpc2.key")
    for name in ("-verify_hostname", "labpc2"), ("-verify_ip", "10.0.0.8"):
        openssl("verify", "-x509_strict", "-CAfile", folder / "ca.pem", *name, folder / "labpc2.pem")
    refused = tls.lab.run("cert", "client", "../ada", "--out", "ada", check=False)
    assert refused.returncode == 2 and "a name has letters" in refused.text


def hello(host="localhost"):
    """The first record of a TLS client."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = ssl.create_default_context()
    with contextlib.suppress(ssl.SSLWantReadError):
        context.wrap_bio(incoming, outgoing, server_hostname=host).do_handshake()
    return outgoing.read()


# The first bytes of a connection, and the answer before its end.
BEGINNINGS = {
    "nothing": (b"", b""),
    "one byte of Pyro": (b"P", b""),
    "one byte of TLS": (b"\x16", b""),
    "zeros": (bytes(60), b"not a Pyro5 handshake"),
    "a browser": (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"not a Pyro5 handshake"),
    "half a ClientHello": (hello()[:70], b""),
    "a record that is too long": (b"\x16\x03\x01\xff\xff" + bytes(200), None),
    "an alert": (b"\x15\x03\x03\x00\x02\x02\x28", b"not a Pyro5 handshake"),
    "a TLS record without a hello": (b"\x16\x03\x01\x00\x04abcd", None),
}


@pytest.mark.parametrize("port", ["both", "strict", "t.both.thread", "t.strict.multiplex"])
def test_hostile_first_bytes_keep_nobody(tls, port):
    host, _, number = tls.location(port).partition("@")[2].rpartition(":")
    with contextlib.ExitStack() as stack:
        socks = {}
        for name, (beginning, _) in BEGINNINGS.items():
            socks[name] = stack.enter_context(socket.create_connection((host, int(number)), NEVER))
            socks[name].sendall(beginning)
        # Meanwhile honest clients are served, one of them in small pieces.
        with tls_client(tls.trust["PYRO_SSL_CACERTS"], tls.ada["PYRO_SSL_CLIENTCERT"], tls.ada["PYRO_SSL_CLIENTKEY"]):
            with proxy("PYRO:" + tls.location(port)) as made:
                made._pyroBind()
        # A busy machine may not send all pieces in the time that a handshake has.
        pieces = lambda: shake_hands_in_pieces(tls, host, int(number))
        assert wait_for(pieces, NEVER, "a handshake in pieces", ConnectionError).startswith("TLS")
        for name, (_, expected) in BEGINNINGS.items():
            answer = b""
            with contextlib.suppress(ConnectionError):
                while part := socks[name].recv(4096):
                    answer += part
            if expected is not None:
                assert expected in answer and (expected or not answer), (name, answer)


def shake_hands_in_pieces(tls, host, port):
    """The version of TLS that a client agrees on whose bytes come one by one."""
    context = ssl.create_default_context(cafile=tls.trust["PYRO_SSL_CACERTS"])
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context.wrap_bio(incoming, outgoing, server_hostname="localhost")
    with socket.create_connection((host, port), NEVER) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while True:
            try:
                client.do_handshake()
                return client.version()
            except ssl.SSLWantReadError:
                for byte in outgoing.read():
                    sock.sendall(bytes([byte]))
                if not (part := sock.recv(4096)):
                    raise ConnectionError("closed during the handshake") from None
                incoming.write(part)


def test_names_in_pyro5s_own_tls_nameserver(lab):
    certificate, key = Certificates(lab.files).self_signed("own", "-addext", "subjectAltName=DNS:localhost")
    settings = {"SSL": True, "SSL_SERVERCERT": str(certificate), "SSL_SERVERKEY": str(key), "SSL_REQUIRECLIENTCERT": True, "SSL_CACERTS": str(certificate)}
    with stock_nameserver(config=settings) as stock:
        port = stock.uris["nameserver"].rpartition(":")[2]
        lab.config(
            """\
nameservers:
  theirs:
    {host: localhost, ns_port: $port, ssl: true, ssl_requireclientcert: true,
     ssl_servercert: own.pem, ssl_serverkey: own-key.pem}
daemons: {bench: {}}
services: {t.meter: {native: simulated.multimeter, daemon: bench, nameservers: [theirs]}}
autolaunch: {daemons: [bench]}
""",
            port=port,
        )
        lab.up()
        with tls_client(certificate, certificate, key):

            def names():
                with proxy(stock.uris["nameserver"]) as nameserver:
                    return nameserver.list("t.")

            wait_for(lambda: "t.meter" in names(), 30, "the name is there")
            assert "t.meter" in lab.run("nslist").stdout
            # The supervisor removes the names of a killed daemon; the next process registers them.
            os.kill(lab.entry("daemons", "bench")["pid"], signal.SIGKILL)
            wait_for(lambda: "removed the names of a process" in lab.run("logs", "show").stdout, 30, "removed")
            wait_for(lambda: "t.meter" in names(), 30, "the name is back")
            lab.run("stop", "daemon", "bench")
            wait_for(lambda: "t.meter" not in names(), 30, "the name is gone")


def test_a_certificate_that_ends_soon_is_in_status(lab):
    Certificates(lab.files).self_signed("own")
    lab.config(
        """\
nameservers:
  theirs: {ns_port: $port, ssl: true, ssl_servercert: own.pem, ssl_serverkey: own-key.pem}
daemons:
  bench: {ssl: offered, ssl_servercert: own.pem, ssl_serverkey: own-key.pem}
  own: {ssl: offered}
services:
  t.meter: {native: simulated.multimeter, daemon: bench}
  t.own: {native: simulated.multimeter, daemon: own}
autolaunch: {nameservers: [theirs], daemons: [bench, own]}
""",
        port=free_port(),
    )
    lab.up()
    findings = json.loads(lab.run("status", "--json", check=False).stdout)["findings"]
    told = {row["subject"]: row for row in findings}
    assert set(told) == {"nameserver theirs", "daemon bench"}, findings
    for row in told.values():
        assert re.search(r"its TLS certificate expires on 20\d\d-\d\d-\d\d", row["problem"])
        assert "ssl_servercert" in row["advice"]
