"""TLS with Pyro5's settings: the same files for Pyro5's daemon and for ours."""

import asyncio

import ferrolab
import Pyro5.errors
import pytest
from harness import NEVER, Certificates, Service, both_sides, every_servertype, tls_client
from harness.wire_lab import CONFIGURATION

SERVICES = {"t.wire": Service("wire", "Wire", "single")}


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    return Certificates(tmp_path_factory.mktemp("certificates"))


def settings(certificate, key, **further):
    files = {"SSL_SERVERCERT": str(certificate), "SSL_SERVERKEY": str(key)}
    return {"SSL": True, **files, **further}


def script(side):
    with side.proxy("t.wire") as made:
        return [made.echo("x" * 100_000), list(made.numbers(3)), made.echo(1)]


def refused(side):
    with pytest.raises(Pyro5.errors.CommunicationError), side.proxy("t.wire") as made:
        made.echo(1)


@every_servertype
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("plain", []),
        ("alternative", ["-addext", "subjectAltName=DNS:localhost"]),
        ("elliptic", ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]),
    ],
)
def test_a_self_signed_certificate_works(certificates, servertype, name, options):
    certificate, key = certificates.self_signed(name, *options)
    with both_sides(SERVICES, SERVERTYPE=servertype, **settings(certificate, key)) as sides:
        with tls_client(certificate):
            sides.assert_same(script)
        refused(sides.ours)
        other, _ = certificates.self_signed("other")
        with tls_client(other):
            refused(sides.ours)


def test_our_client_trusts_a_certificate_that_it_was_given(certificates):
    certificate, key = certificates.self_signed("alternative", "-addext", "subjectAltName=DNS:localhost")
    other, _ = certificates.self_signed("other")
    with both_sides(SERVICES, **settings(certificate, key)) as sides:
        for side in (sides.stock, sides.ours):
            limits = {"timeout": NEVER, "connect_timeout": NEVER}
            with ferrolab.Proxy(side.uris["t.wire"], tls=certificate, **limits) as made:
                assert made.echo("x" * 100_000, (1, {2}))[0][0] == "x" * 100_000
                assert list(made.numbers(3)) == [0, 1, 2]
                assert made._remote.pool.own().trusted
                with pytest.raises(ferrolab.TimeoutError):
                    made.slow.with_timeout(0.2)("x", 1)
                assert made.echo(1)[0] == [1]

            async def calls(side=side, limits=limits):
                lab = ferrolab.Lab(None, ferrolab.Proxy(side.uris["t.wire"], tls=certificate, **limits)._remote.settings)
                async with lab.aio as services:
                    return (await services[side.uris["t.wire"]].echo(5))[0]

            assert asyncio.run(calls()) == [5]
            for tls in (other, None):
                with ferrolab.Proxy(side.uris["t.wire"], tls=tls, connect_timeout=5) as made:
                    with pytest.raises(ferrolab.CommunicationError) as caught:
                        made.echo(1)
                    assert caught.value.outcome == "not started"


@every_servertype
def test_an_encrypted_key_works(certificates, servertype):
    certificate, key = certificates.self_signed("encrypted", password="open sesame")
    further = {"SSL_SERVERKEYPASSWD": "open sesame"}
    files = settings(certificate, key, **further)
    with both_sides(SERVICES, SERVERTYPE=servertype, **files) as sides, tls_client(certificate):
        sides.assert_same(script)


@every_servertype
@pytest.mark.parametrize("extensions", [None, "subjectAltName=DNS:localhost"])
def test_an_issued_certificate_works(certificates, servertype, extensions):
    name = "issued" if extensions is None else "issued with a name"
    options = () if extensions is None else certificates.extensions(name, extensions)
    certificate, key, issuer = certificates.issued(name, *options)
    files = settings(certificate, key)
    with both_sides(SERVICES, SERVERTYPE=servertype, **files) as sides, tls_client(issuer):
        sides.assert_same(script)


def accepted_and_shown(certificates, kind):
    """The daemon's settings, and the certificate that the client shows."""
    if kind == "its own":
        client, key = certificates.self_signed("client")
        return client, client, key
    usage = certificates.extensions("client", "keyUsage=digitalSignature")
    options = () if kind == "issued, version 1" else usage
    client, key, issuer = certificates.issued(kind, *options, subject="me")
    return issuer, client, key


@every_servertype
@pytest.mark.parametrize("kind", ["its own", "issued", "issued, version 1"])
def test_clients_must_show_a_certificate_where_the_daemon_says_so(certificates, servertype, kind):
    certificate, key = certificates.self_signed("plain")
    accepted, shown, shown_key = accepted_and_shown(certificates, kind)
    further = {"SSL_REQUIRECLIENTCERT": True, "SSL_CACERTS": str(accepted)}
    files = settings(certificate, key, **further)
    with both_sides(SERVICES, SERVERTYPE=servertype, **files) as sides:
        with tls_client(certificate, shown, shown_key):
            sides.assert_same(script)
        with tls_client(certificate):
            refused(sides.ours)
        stranger, stranger_key = certificates.self_signed("stranger")
        with tls_client(certificate, stranger, stranger_key):
            refused(sides.ours)


def test_who_is_no_authority_issues_no_certificates(certificates):
    certificate, key = certificates.self_signed("plain")
    certificates.self_signed("leaf", "-addext", "basicConstraints=CA:FALSE", subject="A leaf")
    usage = certificates.extensions("client", "keyUsage=digitalSignature")
    shown, shown_key, leaf = certificates.issued("by a leaf", *usage, subject="me", issuer="leaf")
    further = {"SSL_REQUIRECLIENTCERT": True, "SSL_CACERTS": str(leaf)}
    with both_sides(SERVICES, **settings(certificate, key, **further)) as sides:
        with tls_client(certificate, shown, shown_key):
            refused(sides.stock)
            refused(sides.ours)


@pytest.mark.parametrize(
    ("certificate", "key", "says"),
    [
        ("no such.pem", "good-key.pem", ["no such.pem", "No such file"]),
        ("good.pem", "no such.pem", ["no such.pem", "No such file"]),
        ("good-key.pem", "good-key.pem", ["good-key.pem", "no certificate"]),
        ("good.pem", "good.pem", ["good.pem", "no private key"]),
        ("good.pem", "other-key.pem", ["do not belong together"]),
        ("secret.pem", "secret-key.pem", ["secret-key.pem", "ssl_serverkeypasswd"]),
    ],
)
def test_a_file_that_cannot_be_used_is_named_at_the_start(lab, certificate, key, says):
    certificates = Certificates(lab.files)
    certificates.self_signed("good")
    certificates.self_signed("other")
    certificates.self_signed("secret", password="open sesame")
    daemon = f'{{ssl: true, ssl_servercert: "{certificate}", ssl_serverkey: "{key}"}}'
    lab.config(CONFIGURATION, daemon=daemon)
    result = lab.run("up", check=False)
    assert result.returncode == 1
    text = " ".join((result.text + lab.run("ps", check=False).text).split())
    for word in says:
        assert word in text, text
