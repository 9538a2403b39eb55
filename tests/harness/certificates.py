"""Certificates, as people make them with OpenSSL."""

import contextlib
import shutil
import subprocess
from pathlib import Path

import Pyro5.api
import pytest
from Pyro5 import socketutil


def openssl(*arguments):
    """Runs the `openssl` program."""
    program = shutil.which("openssl")
    if program is None:
        pytest.skip("there is no `openssl` to make certificates with")
    done = subprocess.run(
        [program, *map(str, arguments)], stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done


class Certificates:
    """A folder of certificates; each is made when it is first asked for."""

    def __init__(self, folder):
        self._folder = Path(folder)

    def self_signed(self, name, *options, password=None, subject="localhost", days=2):
        """(certificate, key): the line that every tutorial has, with `options`."""
        certificate, key = self._folder / f"{name}.pem", self._folder / f"{name}-key.pem"
        if not certificate.exists():
            secret = ["-nodes"] if password is None else ["-passout", f"pass:{password}"]
            openssl(
                *("req", "-x509", "-newkey", "rsa:2048", "-days", str(days)),
                *("-subj", f"/CN={subject}"),
                *("-keyout", key, "-out", certificate, *secret, *options),
            )
        return certificate, key

    def issued(self, name, *options, subject="localhost", issuer="authority"):
        """(certificate, key, authority's certificate), without extensions unless by `options`."""
        issuer, issuer_key = self.self_signed(issuer, subject="The lab")
        certificate, key = self._folder / f"{name}.pem", self._folder / f"{name}-key.pem"
        if not certificate.exists():
            request = self._folder / f"{name}.csr"
            openssl(
                *("req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={subject}"),
                *("-keyout", key, "-out", request),
            )
            openssl(
                *("x509", "-req", "-in", request, "-days", "2", "-out", certificate),
                *("-CA", issuer, "-CAkey", issuer_key, "-CAcreateserial", *options),
            )
        return certificate, key, issuer

    def extensions(self, name, text):
        """The options for a certificate with these extensions."""
        path = self._folder / f"{name}.ext"
        path.write_text(text)
        return "-extfile", path


@contextlib.contextmanager
def tls_client(cacerts, certificate="", key=""):
    """Stock clients of this process use TLS with these files."""
    settings = {
        "SSL": True,
        "SSL_CACERTS": str(cacerts),
        "SSL_CLIENTCERT": str(certificate),
        "SSL_CLIENTKEY": str(key),
    }
    before = {name: getattr(Pyro5.config, name) for name in settings}
    try:
        for name, value in settings.items():
            setattr(Pyro5.config, name, value)
        # Pyro5 keeps the first context that it has made.
        vars(socketutil)["__ssl_client_context"] = None
        yield
    finally:
        for name, value in before.items():
            setattr(Pyro5.config, name, value)
        vars(socketutil)["__ssl_client_context"] = None
