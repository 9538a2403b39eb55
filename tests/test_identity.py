"""Identities of clients, by certificate and by Unix user: in locks, calls and logs."""

import contextlib
import getpass
import json

import pytest
from harness import NEVER, Certificates, tls_client, wait_for
from harness.lab import new_lab
from harness.locks import later, own, refused

CONFIGURATION = """\
version: "1.0"
python: {executable: "$python", path: ["$drivers"]}
daemons:
  here: {classname: LockableDaemon, unixsocket: "$socket"}
  tls:
    classname: LockableDaemon
    ssl: true
    ssl_servercert: $certificate
    ssl_serverkey: $key
    ssl_requireclientcert: true
    ssl_cacerts: $issuer
services:
  lab.here: {module: stage, classname: Stage, daemon: here, instancemode: single, call_log: all}
  lab.tls: {module: stage, classname: Stage, daemon: tls, instancemode: single, call_log: all}
autolaunch: {daemons: [here, tls]}
"""


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def running(certificates):
    server, key = certificates.self_signed("server")
    usage = certificates.extensions("client", "keyUsage=digitalSignature")
    ada, ada_key, issuer = certificates.issued("ada", *usage, subject="ada")
    with new_lab() as lab:
        files = {"certificate": server, "key": key, "issuer": issuer}
        lab.config(CONFIGURATION, socket=str(lab.folder / "here.sock"), **files)
        lab.up()
        lab.tls = (server, ada, ada_key)
        yield lab


@contextlib.contextmanager
def clients(running, service, number=2):
    """Connected proxies of a service; with ada's certificate where its daemon wants one."""
    with contextlib.ExitStack() as stack:
        made = [stack.enter_context(running.proxy(service)) for _ in range(number)]
        with tls_client(*running.tls) if service == "lab.tls" else contextlib.nullcontext():
            for proxy in made:
                proxy._pyroBind()
        yield made


def identities(running):
    """Service and identity of each daemon: how it is known, and what it is."""
    return [("lab.here", getpass.getuser()), ("lab.tls", "ada")]


def history(running, *words):
    return json.loads(running.run(*words, "--json").stdout)


def test_an_identity_stands_in_locks(running):
    for service, identity in identities(running):
        with clients(running, service, 3) as (one, other, third):
            assert one.lock() is True
            # PyroLab's words, with the name that says most.
            refused(other.position_now, f"Pyro object is locked (by '{identity}')")
            info = other.lock_info()
            assert (info["user"], info["identity"]) == ("", identity)
            waits = later(lambda other=other: own(other).lock("night run", wait=NEVER))

            def row(service=service):
                row = history(running, "locks", service)[0]
                return row if row["waiting"] else None

            row = wait_for(row, NEVER, "the lock and who waits")
            assert row["owner"]["identity"] == row["waiting"][0]["identity"] == identity
            shown = running.run("locks", service).stdout
            assert f" {identity} " in shown and f"night run ({identity})" in shown
            assert one.unlock() is True
            assert waits() is True
            own(other)
            # The name that a client gives is its own choice; the log has both.
            refused(third.position_now, "Pyro object is locked (by 'night run')")
        lines = wait_for(lambda service=service: history(running, "locks", "--history", service)[3:], NEVER, "the log")
        assert all(line["identity"] == identity for line in lines)


def test_who_breaks_a_lock_is_recorded_as_who_it_is(running):
    for service, identity in identities(running):
        with clients(running, service) as (one, daemon):
            one.lock("eve")
            call = ("release", (str(running.uri(service)), "lunch", "the director"), {})
            assert daemon._pyroInvoke(*call, objectId="Pyro.Daemon") is True
            refused_by = f"was broken by the director \\({identity}\\) at .* \\(lunch\\)"
            with pytest.raises(ConnectionRefusedError, match=refused_by):
                one.position_now()


def test_an_identity_stands_in_calls_and_their_log(running):
    for service, identity in identities(running):
        with clients(running, service, 1) as (one,):
            gate = running.files / f"gate of {service}"
            slow = later(lambda one=one, gate=gate: own(one).wait_for(str(gate)))

            def row(service=service):
                rows = [row for row in history(running, "calls", "--service", service) if row["member"] == "wait_for"]
                return rows and rows[0]

            assert wait_for(row, NEVER, "the call")["identity"] == identity
            gate.touch()
            slow()
            own(one)
        logged = lambda: history(running, "calls", "--history", "--service", service, "--caller", identity)
        lines = wait_for(logged, NEVER, "the call's line")
        assert all(line["identity"] == identity for line in lines)
        assert f"{identity} at " in running.run("calls", "--history", "--service", service).stdout
