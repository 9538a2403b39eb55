"""Logins in labs: where they are found, how they reach a port with certificates, their renewal."""

import datetime
import hashlib
import json
import shutil
import socket
import ssl
import stat
import subprocess
import sys
import time
from pathlib import Path

import ferrolab
import Pyro5.api
import Pyro5.errors
import pytest
from ferrolab.client.expiry import end_of
from ferrolab.client.uri import URI
from harness import NEVER, free_port, wait_for
from harness.certificates import Certificates, openssl, tls_client
from harness.lab import binary, new_lab
from harness.users import User, connect_fails, identity, lab_with_logins, proxy, users


@pytest.fixture(scope="module")
def running():
    with lab_with_logins() as lab:
        yield lab


@pytest.fixture
def user(running, tmp_path):
    with users(running, tmp_path) as make:
        yield make


CERTIFIED = """\
version: "1.0"
nameservers:
  names: {host: localhost, ns_port: $port, ssl: true, ssl_requireclientcert: true}
daemons:
  bench: {classname: LockableDaemon, nameservers: [names], ssl: true, ssl_requireclientcert: true}
services:
  lab.supply: {native: simulated.power_supply, daemon: bench, nameservers: [names]}
autolaunch: {nameservers: [names], daemons: [bench]}
"""


def test_a_login_needs_no_certificate_and_reaches_nothing_else():
    with new_lab() as lab:
        lab.port = free_port()
        lab.config(CERTIFIED, port=lab.port)
        lab.up()
        authority = json.loads(lab.run("cert", "show", "--json").stdout)["authority"]["file"]
        line = lab.run("user", "add", "ada").stdout
        wanted = "wants a client certificate"
        with tls_client(authority):
            for name in ("Pyro.NameServer", "Pyro.Daemon", "ferrolab.Lab", "nothing"):
                with Pyro5.api.Proxy(f"PYRO:{name}@localhost:{lab.port}") as made:
                    connect_fails(made, wanted)
            with Pyro5.api.Proxy(f"PYRO:ferrolab.Login@localhost:{lab.port}") as desk:
                for name, method in (("Pyro.NameServer", "list"), ("Pyro.NameServer", "ping"), ("ferrolab.Lab", "listing"), ("Pyro.Daemon", "info")):
                    with pytest.raises(Pyro5.errors.CommunicationError, match=wanted):
                        desk._pyroInvoke(method, (), {}, objectId=name)
                with pytest.raises(PermissionError, match="not known here"):
                    desk.login({**dict.fromkeys(["nonce", "signing_request", "token", "proof"], "00"), "code": "0" * 32})
            with lab.proxy("lab.supply") as made:
                connect_fails(made, wanted)
            # Any number of them keep nobody out, and send no large requests.
            desks = [Pyro5.api.Proxy(f"PYRO:ferrolab.Login@localhost:{lab.port}") for _ in range(70)]
            for desk in desks:
                desk._pyroBind()
            with pytest.raises(Pyro5.errors.CommunicationError):
                desks[-1].login("x" * 100_000)
        # A plain client is told to use TLS, also here.
        with Pyro5.api.Proxy(f"PYRO:ferrolab.Login@localhost:{lab.port}") as desk:
            connect_fails(desk, "takes TLS connections only")
        ada = User(lab, lab.folder / "ada")
        assert "logged in" in ada.log_in(line).stdout
        with ada.tls(), Pyro5.api.Proxy(f"PYRO:ferrolab.Lab@localhost:{lab.port}") as read:
            assert read.listing()
        for desk in desks:
            desk._pyroRelease()
        with ada.tls(), Pyro5.api.locate_ns("localhost", lab.port) as names:
            with Pyro5.api.Proxy(names.lookup("lab.supply")) as supply:
                supply.lock()
                assert supply.lock_info()["identity"] == "ada"


def running_extensions(running):
    """OpenSSL's options for a certificate of version 3, which is a client's."""
    path = running.files / "client.ext"
    path.write_text("extendedKeyUsage=clientAuth\n")
    return "-extfile", path


def give_certificate(running, one, name, days):
    """Has a login a certificate that lasts for so many days, as after most of its 90 days."""
    access, made = running.home / "state" / "access", running.files / f"{name}-{days}"
    key, request, issued = (f"{made}.{end}" for end in ("key", "csr", "pem"))
    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1")
    openssl("req", *curve, "-nodes", "-subj", f"/CN={name}", "-keyout", key, "-out", request)
    by = ("-CA", access / "ca.pem", "-CAkey", access / "ca.key", "-set_serial", f"{time.monotonic_ns()}")
    openssl("x509", "-req", "-in", request, "-out", issued, "-days", days, *by, *running_extensions(running))
    certificate = Path(issued).read_text()
    one.file("certificate.pem").write_text(certificate)
    one.file("key.pem").write_bytes(Path(key).read_bytes())
    until = (datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=days)).strftime("%Y-%m-%dT%H:%M:%SZ")
    users_file = running.home / "state" / "access" / "users.json"
    users = json.loads(users_file.read_text())
    (login,) = users["users"][name]["logins"]
    login["certificate"] = hashlib.sha256(ssl.PEM_cert_to_DER_cert(certificate)).hexdigest()
    login["until"] = until
    users_file.write_text(json.dumps(users))
    facts = json.loads(one.file("login.json").read_text())
    one.file("login.json").write_text(json.dumps({**facts, "until": until}))
    one.file("renewal").unlink(missing_ok=True)
    return certificate


def call_by_command(ada, uri):
    return ada.run("call", "--uri", uri, "lock_info").text


def call_by_python(ada, uri):
    script = (
        f"import sys, ferrolab\nwith ferrolab.Proxy(sys.argv[1], connect_timeout={NEVER}) as made:\n"
        "    print(made.lock_info())\n"
    )
    path = {"PYTHONPATH": str(Path(ferrolab.__file__).parent.parent)}
    done = subprocess.run(
        [sys.executable, "-c", script, uri], env={**ada.environment(), **path}, capture_output=True, text=True, timeout=NEVER
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def call_by_login(ada, uri):
    return ada.run("login", ada.line.split()[2], "--shell").text


def renew(call, one, uri, ending):
    """The output of a call that has brought another certificate: a busy lab is asked again."""

    def renewed():
        one.file("renewal").unlink(missing_ok=True)
        told = call(one, uri)
        return one.file("certificate.pem").read_text() != ending and [told]

    return wait_for(renewed, NEVER, "the certificate is renewed")[0]


@pytest.mark.parametrize("call", [call_by_command, call_by_python, call_by_login])
def test_a_certificate_is_renewed_in_its_last_third(running, user, call):
    ada, uri = user("ada"), str(running.uri("lab.thread"))
    days_left = lambda: days_until(json.loads(ada.file("login.json").read_text())["until"])
    lasting = give_certificate(running, ada, "ada", 40)
    assert "warning" not in call(ada, uri) and ada.file("certificate.pem").read_text() == lasting
    # The last one has expired: the token says who asks.
    for days in (20, 1, -1):
        ending = give_certificate(running, ada, "ada", days)
        assert "warning" not in renew(call, ada, uri, ending)
        assert days_left() > 88
        assert stat.S_IMODE(ada.file("certificate.pem").stat().st_mode) == 0o600
        with ada.tls(), proxy(running, "lab.thread") as made:
            assert identity(running, made) == "ada"
    (row,) = json.loads(running.run("user", "list", "--json").stdout)
    assert len(row["logins"]) == 1 and days_until(row["logins"][0]["until"]) > 88
    # Earlier certificates of the login are withdrawn with it.
    earlier = give_certificate(running, ada, "ada", 20)
    renew(call, ada, uri, earlier)
    running.run("user", "rotate", "ada")
    for certificate in (earlier, ada.file("certificate.pem").read_text()):
        ada.file("certificate.pem").write_text(certificate)
        with ada.tls(), proxy(running, "lab.thread") as made:
            connect_fails(made, "withdrawn")


@pytest.mark.parametrize("call", [call_by_command, call_by_python, call_by_login])
def test_a_certificate_that_cannot_be_renewed_is_warned_of(running, user, call):
    ada, uri = user("ada"), str(running.uri("lab.thread"))
    for days, is_warned in ((20, call is call_by_login), (3, True)):
        ending = give_certificate(running, ada, "ada", days)
        ada.file("token").write_text("0" * 32)
        told = call(ada, uri)
        assert ("renewed" in told) is is_warned, told
        assert ada.file("certificate.pem").read_text() == ending


@pytest.mark.parametrize("is_logins", [True, False])
def test_a_certificate_that_the_variables_name_is_warned_of_once(running, user, tmp_path, is_logins):
    ada, uri = user("ada"), str(running.uri("lab.thread"))
    script = (
        "import sys, ferrolab\n"
        "for number in range(2):\n"
        "    try:\n"
        f"        with ferrolab.Proxy(sys.argv[1], connect_timeout={NEVER}) as made:\n"
        "            made.lock_info()\n"
        "    except ferrolab.CommunicationError as error:\n"
        "        print(error)\n"
    )
    shown = {"PYRO_SSL": "true", "PYTHONWARNINGS": "always", "PYTHONPATH": str(Path(ferrolab.__file__).parent.parent)}
    for variable, name in (("CACERTS", "authority"), ("CLIENTCERT", "certificate"), ("CLIENTKEY", "key")):
        shown[f"PYRO_SSL_{variable}"] = str((ada.folder() if is_logins else tmp_path) / f"{name}.pem")
    advice = f"`ferrolab login {ada.line.split()[2]}` renews it" if is_logins else "`ferrolab cert client`"
    for days, words in ((40, None), (3, "ends on"), (-1, "has ended on")):
        given = give_certificate(running, ada, "ada", days)
        for name in ("authority", "certificate", "key"):
            shutil.copy(ada.file(f"{name}.pem"), tmp_path)
        done = subprocess.run(
            [sys.executable, "-c", script, uri], env={**ada.environment(), **shown}, capture_output=True, text=True, timeout=NEVER
        )
        assert done.returncode == 0 and (done.stdout == "") is (days > 0), done
        until = time.strftime("%Y-%m-%d", time.gmtime(end_of(ada.file("certificate.pem"))))
        told = f"the certificate {shown['PYRO_SSL_CLIENTCERT']} (PYRO_SSL_CLIENTCERT) {words} {until}: {advice}"
        assert done.stderr.count("UserWarning") == done.stderr.count(told) == (words is not None), done.stderr
        assert ada.file("certificate.pem").read_text() == given, "it is the program's"


def test_status_names_users_whose_certificate_ends(running, user):
    ada = user("ada")
    for days, words in ((40, None), (3, "ends on"), (-1, "has ended on")):
        give_certificate(running, ada, "ada", days)
        told, found = (running.run("status", *more, check=False).stdout for more in ((), ("--json",)))
        rows = json.loads(found)["logins"]
        if words is None:
            assert rows == [] and "certificates of logins" not in told, told
            continue
        until = json.loads(ada.file("login.json").read_text())["until"]
        assert [(row["user"], row["until"]) for row in rows] == [("ada", until)]
        assert f"that of ada {words} {until[:10]}" in told, told
        assert f"`ferrolab login {ada.line.split()[2]}` on the user's machine renews it" in told
        # Nothing of the lab is wrong with it.
        assert "ada" not in str(json.loads(found)["findings"])


def test_the_end_of_a_certificate_is_read(tmp_path):
    made = Certificates(tmp_path)
    certificates = [made.self_signed(f"for-{days}", days=days)[0] for days in (1, 20_000)]
    # Of the first version of X.509, after its key.
    first, key, _ = made.issued("first")
    both = tmp_path / "both.pem"
    both.write_text(key.read_text() + first.read_text() + certificates[1].read_text())
    for certificate in (*certificates, both):
        expected = openssl("x509", "-in", certificate, "-noout", "-enddate").stdout.strip().partition("=")[2]
        assert end_of(certificate) == ssl.cert_time_to_seconds(expected), certificate
    # Bytes of a certificate that breaks off.
    text = ssl.DER_cert_to_PEM_cert(ssl.PEM_cert_to_DER_cert(first.read_text())[:40])
    (tmp_path / "short.pem").write_text(text)
    for name in ("short.pem", "absent.pem", Path(key).name):
        assert end_of(tmp_path / name) is None, name


def test_an_address_that_another_lab_has_told_is_not_shown_a_login(user, monkeypatch):
    """Not even by the look that finds out whether its certificate is of the login's lab."""
    ada = user("ada")
    monkeypatch.setenv("FERROLAB_HOME", str(ada.home))
    resolve = socket.getaddrinfo
    leads = lambda host, *rest, **more: resolve("127.0.0.1" if host == "told.example" else host, *rest, **more)
    monkeypatch.setattr(socket, "getaddrinfo", leads)
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(NEVER)
        uri = URI(f"PYRO:lab.stage@told.example:{server.getsockname()[1]}")
        uri.is_elsewhere, uri.told_by = True, "192.0.2.1:9090"
        with pytest.raises(ferrolab.CommunicationError, match="on its own host only"):
            ferrolab.Proxy(uri, connect_timeout=NEVER).move(1)
        accepted, _ = server.accept()
        with accepted:
            accepted.settimeout(NEVER)
            assert accepted.recv(1) == b""


def days_until(text):
    until = datetime.datetime.strptime(text[:19], "%Y-%m-%dT%H:%M:%S").replace(tzinfo=datetime.timezone.utc)
    return (until - datetime.datetime.now(datetime.timezone.utc)).days


def test_logins_in_two_labs_of_one_host(user, running, tmp_path, monkeypatch):
    """Found by the nameserver's port; at a daemon by the lab that has certified it."""
    ada = user("ada")
    with lab_with_logins() as other:
        ada.log_in(other.run("user", "add", "grace").stdout)
        assert len(list((ada.home / "logins").iterdir())) == 2
        monkeypatch.setenv("FERROLAB_HOME", str(ada.home))
        for lab, name in ((running, "ada"), (other, "grace")):
            uri = str(lab.uri("lab.turns"))
            assert repr(name) in call_locked(ada, uri), name
            with ferrolab.Proxy(uri, timeout=NEVER) as made, made.locked():
                assert made.lock_info()["identity"] == name
            where = f"localhost:{lab.port}"
            assert json.loads(ada.run("login", where, "--json").stdout)["user"] == name
            # Without TLS a token would be the other lab's to read.
            with ferrolab.Proxy(str(lab.uri("lab.plain")), timeout=NEVER) as made:
                assert made.move(0) is not None


PLAIN = """\
version: "1.0"
nameservers:
  names: {host: localhost, ns_port: $port}
daemons:
  bench: {classname: LockableDaemon}
services:
  lab.supply: {native: simulated.power_supply, daemon: bench}
autolaunch: {nameservers: [names], daemons: [bench]}
"""


@pytest.fixture
def plain():
    with new_lab() as lab:
        lab.port = free_port()
        lab.config(PLAIN, port=lab.port)
        lab.up()
        yield lab


def test_logins_in_one_lab_by_two_names_count_once(plain, monkeypatch):
    ada = User(plain, plain.folder / "ada")
    ada.log_in(plain.run("user", "add", "ada").stdout)
    line = plain.run("user", "add", "ada").stdout.split()
    ada.run("login", f"127.0.0.1:{plain.port}", line[3])
    assert len(list((ada.home / "logins").iterdir())) == 2
    assert_locks_as("ada", ada, plain, monkeypatch)


def test_the_latest_login_in_a_lab_counts(plain, monkeypatch):
    """Of any user, also after a renewal of one before, and beside those in labs that are gone."""
    one = User(plain, plain.folder / "ada")
    for name, host in (("ada", "localhost"), ("bob", "127.0.0.1")):
        one.run("login", f"{host}:{plain.port}", plain.run("user", "add", name).stdout.split()[3])
        assert_locks_as(name, one, plain, monkeypatch)
    logins = one.home / "logins"
    facts = {path: json.loads(path.read_text()) for path in logins.glob("*/login.json")}
    of_ada = next(path for path, row in facts.items() if row["user"] == "ada")
    of_ada.write_text(json.dumps({**facts[of_ada], "until": "2999-01-01T00:00:00Z"}))
    assert_locks_as("bob", one, plain, monkeypatch)
    gone = logins / "localhost_1"
    shutil.copytree(of_ada.parent, gone)
    (gone / "authority.pem").write_text("another")
    # It was tried to renew it a moment ago.
    (gone / "renewal").touch()
    (gone / "login.json").write_text(json.dumps({**facts[of_ada], "port": 1, "until": "2020-01-01T00:00:00Z"}))
    assert_locks_as("bob", one, plain, monkeypatch)


def assert_locks_as(name, one, lab, monkeypatch):
    """A command and the Python client have this identity, over the loopback without TLS."""
    monkeypatch.setenv("FERROLAB_HOME", str(one.home))
    uri = str(lab.uri("lab.supply"))
    assert repr(name) in call_locked(one, uri)
    with ferrolab.Proxy(uri, timeout=NEVER) as made, made.locked():
        assert made.lock_info()["identity"] == name


def call_locked(one, uri):
    """The lock as a command of the user sees it."""
    return one.run("lock", uri, "--", "sh", "-c", f"'{binary()}' call --uri {uri} lock_info").stdout
