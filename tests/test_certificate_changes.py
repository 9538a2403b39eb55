"""Certificates that change while nameservers, daemons and the page run."""

import json
import os
import socket
import ssl

import pytest
from harness import NEVER, free_port, wait_for
from harness.certificates import Certificates, tls_client
from harness.processes import kill

NAMES = ("-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1")
CONFIGURATION = """\
nameservers:
  names: {host: localhost, ns_port: $port, ssl: true, ssl_servercert: own.pem, ssl_serverkey: own-key.pem}
daemons:
  bench: {ssl: true, ssl_servercert: own.pem, ssl_serverkey: own-key.pem}
web: {port: $web, ssl: true, ssl_servercert: own.pem, ssl_serverkey: own-key.pem}
services:
  t.meter: {native: simulated.multimeter, daemon: bench, nameservers: [names]}
autolaunch: {nameservers: [names], daemons: [bench]}
"""


def shown_at(port):
    """The certificate that a port of this host shows."""
    return ssl.get_server_certificate(("localhost", port), timeout=NEVER).strip()


def port_of(lab, service):
    return int(lab.uri(service).rpartition(":")[2])


def replace(lab, certificate, key):
    """Replaces the files that the configuration names, as certbot and `mv` do."""
    for source, name in ((certificate, "own.pem"), (key, "own-key.pem")):
        copy = lab.files / f"{name}.new"
        copy.write_bytes(source.read_bytes())
        os.replace(copy, lab.files / name)


def status_problems(lab):
    findings = json.loads(lab.run("status", "--json", check=False).stdout)["findings"]
    return [(row["subject"], row["problem"]) for row in findings]


def test_a_new_certificate_is_taken_up_and_a_broken_one_is_not(lab):
    certificates = Certificates(lab.files)
    made = {name: certificates.self_signed(name, *NAMES, days=30) for name in ("first", "second", "third")}
    text = {name: certificate.read_text().strip() for name, (certificate, _) in made.items()}
    replace(lab, *made["first"])
    port, web = free_port(), free_port()
    lab.config(CONFIGURATION, port=port, web=web)
    lab.up()
    ports = [port, port_of(lab, "t.meter"), web]
    pids = [lab.entry("nameservers", "names")["pid"], lab.entry("daemons", "bench")["pid"]]
    assert [shown_at(port) for port in ports] == [text["first"]] * 3
    with tls_client(made["first"][0]):
        open_one = lab.proxy("t.meter")
        open_one.identify()

    replace(lab, *made["second"])
    wait_for(lambda: [shown_at(port) for port in ports] == [text["second"]] * 3, NEVER, "the second one is shown")
    assert open_one.identify()
    own_programs_go_on(lab)

    # The key is of another certificate; then there is no certificate at all.
    for damage in (made["third"][0].read_bytes(), b"damaged"):
        (lab.files / "own.pem").write_bytes(damage)
        told = lambda: [row for row in status_problems(lab) if "its new TLS certificate is not used" in row[1]]
        wait_for(lambda: len(told()) == 3, NEVER, "status names the ports")
        assert {subject for subject, _ in told()} == {"nameserver names", "daemon bench", "process web"}
        assert all("own.pem" in problem for _, problem in told())
        assert [shown_at(port) for port in ports] == [text["second"]] * 3
        with tls_client(made["second"][0]), lab.proxy("t.meter") as another:
            assert another.identify()
        own_programs_go_on(lab)

    replace(lab, *made["third"])
    wait_for(lambda: [shown_at(port) for port in ports] == [text["third"]] * 3, NEVER, "the third one is shown")
    wait_for(lambda: not any("TLS" in problem for _, problem in status_problems(lab)), NEVER, "nothing is wrong")
    own_programs_go_on(lab)
    assert open_one.identify()
    open_one._pyroRelease()
    assert pids == [lab.entry("nameservers", "names")["pid"], lab.entry("daemons", "bench")["pid"]]


REQUIRING = """\
nameservers:
  names: {host: localhost, ns_port: $port, ssl: true, ssl_requireclientcert: true, ssl_servercert: own.pem, ssl_serverkey: own-key.pem}
daemons:
  bench: {ssl: true, ssl_requireclientcert: true, ssl_servercert: own.pem, ssl_serverkey: own-key.pem}
services:
  t.meter: {native: simulated.multimeter, daemon: bench, nameservers: [names]}
autolaunch: {nameservers: [names], daemons: [bench]}
"""


def test_own_programs_go_on_with_a_wrong_certificate_where_ports_require_one(lab):
    certificates = Certificates(lab.files)
    first, second = (certificates.self_signed(name, *NAMES, days=30) for name in ("first", "second"))
    replace(lab, *first)
    port = free_port()
    lab.config(REQUIRING, port=port)
    lab.up()
    own_programs_go_on(lab)
    # The new certificate comes before its key.
    replace(lab, second[0], first[1])
    own_programs_go_on(lab)
    told = lambda: [row for row in status_problems(lab) if "its new TLS certificate is not used" in row[1]]
    wait_for(lambda: len(told()) == 2, NEVER, "status names the ports")
    own_programs_go_on(lab)
    replace(lab, *second)
    # Also in the seconds before the ports show it.
    own_programs_go_on(lab)
    ports, wanted = [port, port_of(lab, "t.meter")], second[0].read_text().strip()
    wait_for(lambda: [shown_at(port) for port in ports] == [wanted] * 2, NEVER, "the new one is shown")
    own_programs_go_on(lab)


CERTIFIED = """\
python: {executable: "$python", path: ["$drivers"]}
daemons:
  bench: {ssl: true, ssl_requireclientcert: true, ssl_servercert: own.pem, ssl_serverkey: own-key.pem, ssl_cacerts: first.pem}
services:
  t.meter: {native: simulated.multimeter, daemon: bench, members: {measure_voltage: {poll: 100ms}}}
autolaunch: {daemons: [bench]}
history: {size: 64MiB}
"""


def test_a_history_that_starts_with_a_wrong_certificate_records_once_it_is_mended(lab):
    certificates = Certificates(lab.files)
    first, second = (certificates.self_signed(name, *NAMES, days=30) for name in ("first", "second"))
    replace(lab, *first)
    lab.config(CERTIFIED)
    lab.up()
    recorded = lambda: len(lab.run("history", "t.meter.measure_voltage", "--csv", check=False).stdout.splitlines())
    wait_for(lambda: recorded() > 3, NEVER, "values are recorded")
    replace(lab, second[0], first[1])
    history = lambda: lab.entry("processes", "history")
    log = lambda: lab.run("logs", "show").stdout.count("its values cannot be read just now")
    said, before = log(), history()["pid"]
    kill(before)
    wait_for(lambda: history()["pid"] not in (None, before) and history()["status"] == "running", NEVER, "another one runs")
    wait_for(lambda: log() > said, NEVER, "it cannot read the daemon")
    count = recorded()
    replace(lab, *first)
    wait_for(lambda: recorded() > count + 3, NEVER, "it reads the daemon again")


def own_programs_go_on(lab):
    """Commands reach the nameserver and the daemon, which registers a lost name anew."""
    assert lab.run("call", "t.meter", "identify").returncode == 0
    assert lab.entry("services", "t.meter")["status"] == "running"
    wait_for(lambda: "t.meter" in lab.run("nslist").stdout, NEVER, "the name is there")
    lab.run("ns", "remove", "t.meter", "--ns", "names")
    wait_for(lambda: "t.meter" in lab.run("nslist").stdout, NEVER, "the name is back")


def test_a_name_of_this_host_counts_at_once(lab):
    lab.config(
        """\
daemons: {bench: {ssl: offered}}
services: {t.meter: {native: simulated.multimeter, daemon: bench}}
autolaunch: {daemons: [bench]}
"""
    )
    lab.up()
    port = port_of(lab, "t.meter")
    first = shown_at(port)
    told = json.loads(lab.run("cert", "show", "--json").stdout)
    assert "lab.example.edu" not in told["host"]["names"]
    lab.run("cert", "host", "lab.example.edu")
    wait_for(lambda: shown_at(port) != first, NEVER, "the new certificate is shown")
    context = ssl.create_default_context(cafile=json.loads(lab.run("cert", "show", "--json").stdout)["authority"]["file"])
    with pytest.raises(ssl.SSLCertVerificationError):
        connect(context, port, "other.example.edu")
    assert connect(context, port, "lab.example.edu")


def connect(context, port, name):
    """The version of TLS with a port of this host that is called by `name`."""
    with socket.create_connection(("localhost", port), NEVER) as sock:
        with context.wrap_socket(sock, server_hostname=name) as wrapped:
            return wrapped.version()
