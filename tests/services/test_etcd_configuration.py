"""Settings of etcd, right and wrong: what is wrong is named beforehand, and the lab runs on."""

import http.server
import json
import os
import threading

import pytest
from etcd import Etcd, Tls
from harness import NEVER, Certificates, free_port, new_lab, proxy, wait_for
from harness.lab import TESTS
from Pyro5.errors import NamingError, PyroError
from replicas import CONFIGURATION, Replica, register
from test_guide import run_page


def test_the_guide(lab, etcd):
    python = str(TESTS.parent / "python")
    said = run_page(lab, "etcd.md", free_port(), ETCD=etcd.endpoints[0], PYTHONPATH=python)
    assert "can be used" in said and "['bench', 'lab.supply']" in said and '"uri":"PYRO:lab.supply@' in said, said


OTHER = "nameservers: {shared: {host: localhost, ns_port: $ns_port, storage: etcd, etcd: $etcd}}\nautolaunch: {nameservers: [shared]}\n"


@pytest.fixture
def fake_etcd():
    """Servers that answer as an etcd of some version, or with a page."""
    servers = []

    def start(version):
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), type("Fake", (FakeEtcd,), {"version": version}))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


class FakeEtcd(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        answer = {"etcdserver": self.version, "etcdcluster": "3.2.0"}
        body = json.dumps(answer).encode() if self.version else b"<html>Welcome</html>"
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def test_what_is_wrong_is_found_beforehand(lab, etcd, fake_etcd):
    """A configuration that cannot work is named by `--connect` and `status`; the lab runs on."""
    etcd.ctl("put", "/others/key", "x")
    free = free_port()
    cases = [
        ({"endpoints": [f"http://localhost:{free}"], "prefix": "/lab"}, ["etcd does not answer", f"localhost:{free}", "refused"]),
        ({"endpoints": etcd.endpoints, "prefix": "/others"}, ["the prefix /others", "the key /others/key"]),
        ({"endpoints": [etcd.endpoints[0].replace("http", "https")], "prefix": "/lab"}, ["no TLS connection"]),
        ({"endpoints": [fake_etcd("3.2.26")], "prefix": "/lab"}, ["has version 3.2.26, which is too old: 3.4 or later"]),
        ({"endpoints": [fake_etcd(None)], "prefix": "/lab"}, ["is no etcd with the API 3"]),
    ]
    local = CONFIGURATION.replace("$name", "bench")
    for settings, words in cases:
        file = lab.write(OTHER.replace("$etcd", json.dumps(settings)), ns_port=free_port())
        wait_until_refused(lab, file, words)
        arguments = ("config", "check", file, "--connect", "--json")
        error = lambda: json.loads(lab.run(*arguments, check=False).stdout)["connections"][0]["error"]
        wait_for(lambda: words[0] in error(), NEVER, f"{words} in JSON")
    # The same in a lab that runs: its instruments can be used.
    port = free_port()
    lab.config(local.replace("$etcd", json.dumps(cases[1][0])), ns_port=port)
    lab.run("up", check=False)

    def told():
        found = json.loads(lab.run("status", "--json", check=False).stdout)["findings"]
        return any("the prefix /others" in finding["problem"] for finding in found)

    wait_for(told, NEVER, "`status` names the prefix")
    with lab.proxy("bench.supply") as supply:
        supply.voltage = 1.5
        assert supply.voltage == 1.5
    with proxy(f"PYRO:Pyro.NameServer@localhost:{port}") as names, pytest.raises(NamingError, match="the prefix /others"):
        names.register("stock.a", "PYRO:a@localhost:1")


def wait_until_refused(lab, file, words):
    """Until the check of a configuration that cannot work says why: a busy etcd may be too slow."""

    def refused():
        checked = lab.run("config", "check", file, "--connect", check=False)
        assert checked.returncode == 1, checked.text
        return all(word in checked.text for word in words)

    wait_for(refused, NEVER, f"{words}")


def wait_until_right(replica, why):
    def right():
        code, text = replica.connect()
        assert code == 0, text
        return True

    wait_for(right, NEVER, why, AssertionError)


def test_etcd_with_users(etcd):
    """A login that is missing, wrong or has too few rights is named; the right one works."""
    for words in [
        "user add root:secret", "role add root", "user grant-role root root", "role add names",
        "role grant-permission names --prefix=true readwrite /ferrolab/",
        "user add lab:right", "user grant-role lab names", "user add guest:right", "auth enable",
    ]:  # fmt: skip
        etcd.ctl(*words.split())
    etcd.options.append("--user=root:secret")
    with new_lab() as lab:
        cases = [
            ({}, ["it wants a login", "write `user` and `password`"]),
            ({"user": "lab", "password": "wrong"}, ["authentication failed"]),
            ({"user": "guest", "password": "right"}, ["permission denied", "its user needs the rights"]),
        ]
        for settings, words in cases:
            file = lab.write(OTHER.replace("$etcd", etcd.yaml(**settings)), ns_port=free_port())
            wait_until_refused(lab, file, words)
        login = {"user": "lab", "password": "right"}
        optics = Replica(lab, "optics", etcd, free_port(), **login)
        wait_until_right(optics, "the login is right")
        wait_for(lambda: optics.shows("optics.supply"), 30, "its names")
        # A change of the users ends all tokens.
        etcd.ctl("user", "add", "another:secret")
        wait_for(lambda: register(optics, "stock.a"), 30, "it logs in anew", ignoring=(PyroError,))
        etcd.ctl("user", "passwd", "lab", "--interactive=false", typed="changed")
        wait_for(lambda: "authentication failed" in optics.trouble(), NEVER, "`status` says what is wrong")
        assert optics.shows("optics.supply", "stock.a")
        with lab.proxy("optics.supply") as supply:
            supply.voltage = 1.5
            assert supply.voltage == 1.5


def test_etcd_with_certificates(tmp_path):
    tls = Tls(tmp_path / "certificates")
    etcd = Etcd(tmp_path / "etcd", tls=tls).start()
    try:
        with new_lab() as lab:
            others = Certificates(tmp_path / "others")
            (tmp_path / "others").mkdir()
            stranger, _ = others.self_signed("stranger")
            cases = [
                ({"cacert": str(stranger)}, ["no TLS connection", "certificate"]),
                ({"cacert": str(tls.cacert)}, ["etcd does not answer"]),
            ]
            for settings, words in cases:
                file = lab.write(OTHER.replace("$etcd", etcd.yaml(**settings)), ns_port=free_port())
                wait_until_refused(lab, file, words)
            optics = Replica(lab, "optics", etcd, free_port(), **tls.settings)
            wait_until_right(optics, "the certificate is right")
            wait_for(lambda: optics.shows("optics.supply"), 30, "its names")
            assert "/ferrolab/names/optics.supply" in etcd.keys("/ferrolab/names/")
            # The cluster has another authority: the running nameserver takes its new files up.
            another = Tls(tmp_path / "another")
            etcd.stop()
            for name in ("cert", "key", "cacert", "client_cert", "client_key"):
                os.replace(getattr(another, name), getattr(tls, name))
            etcd.start()

            def registered():
                with optics.names as nameserver:
                    nameserver.register("optics.late", "PYRO:late@localhost:1")
                return "/ferrolab/names/optics.late" in etcd.keys("/ferrolab/names/")

            wait_for(registered, NEVER, "a name is registered", PyroError)
    finally:
        etcd.stop()


ACCESS = """\
access: {localhost: admin}
"""


@pytest.mark.parametrize("access", ["", ACCESS])
def test_names_of_another_lab_are_found_beforehand(etcd, access):
    """A name that another lab has stays there; the check and `status` name both."""
    with new_lab() as first, new_lab() as second:
        optics = Replica(first, "optics", etcd, free_port(), access)
        wait_for(lambda: optics.shows("optics.supply"), 30, "its names")
        # The same names, from another data directory.
        text = CONFIGURATION.replace("$name", "optics").replace("$etcd", etcd.yaml())
        file = second.write(text + access, ns_port=free_port())
        words = ["belong to another lab", "optics.supply (PYRO:optics.supply@", " optics (PYRO:", "ns remove --hidden"]
        wait_until_refused(second, file, words)
        wait_until_right(optics, "its own names are no others'")
        before = optics.listed()["optics.supply"]
        other = Replica(second, "optics", etcd, free_port(), access)
        wait_for(lambda: "optics.supply" in other.trouble(), NEVER, "`status` names it")
        assert other.listed()["optics.supply"] == before
        with second.proxy("optics.supply") as supply:
            supply.voltage = 2.5
            assert supply.voltage == 2.5
        with first.proxy("optics.supply") as supply:
            assert supply.voltage == 0
