"""Ends of certificates: the warnings, and the end of one that Pyro5's variables name.

A login's certificate renews itself where the login is found (`renewal`). With PYRO_SSL_CLIENTCERT
no login is looked for: the program shows the file that the variable names, as it has loaded it.
Python's `ssl` says the end of a peer's certificate only, so that the file is read here.
"""

import calendar
import json
import os
import ssl
import sys
import time
import warnings

# Seconds of the last week of a certificate, in which it is warned of.
WARNED = 7 * 86400

# Tags of the two forms of a time in a certificate: with two digits of the year, and with four.
_UTC_TIME, _GENERALIZED_TIME = 0x17, 0x18
# Tag of the version, which is left out in the oldest certificates.
_VERSION = 0xA0
_BEGIN, _END = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"

# The warnings that were given: by file, and whether its certificate had ended.
_given = set()


class ClientCertificate:
    """The certificate in the file that PYRO_SSL_CLIENTCERT names, as it is now."""

    __slots__ = ("end", "file")

    def __init__(self, file):
        self.file = file
        self.end = end_of(file)

    def warn_once(self):
        """Warns in the last week of the certificate, and again when it has ended."""
        if self.end is None:
            return
        left = self.end - time.time()
        mark = (self.file, left <= 0)
        if left >= WARNED or mark in _given:
            return
        _given.add(mark)
        day = time.strftime("%Y-%m-%d", time.gmtime(self.end))
        warn(
            "the certificate {} (PYRO_SSL_CLIENTCERT) {} on {}: {}".format(
                self.file, "has ended" if left <= 0 else "ends", day, self._advice()
            )
        )

    def _advice(self):
        """The command that brings another one; of a login the facts stand beside it."""
        try:
            with open(os.path.join(os.path.dirname(self.file), "login.json"), "rb") as file:
                facts = json.load(file)
            return "`ferrolab login {}:{}` renews it".format(facts["host"], facts["port"])
        except (OSError, ValueError, KeyError, TypeError):
            return "`ferrolab cert client` on the lab's host issues another one"


def warn(text):
    """Warns the program, and never raises."""
    try:
        warnings.warn(text, stacklevel=3)
    except Warning:
        # Where warnings are errors, it is still no error of the call.
        sys.stderr.write(text + "\n")


def end_of(file):
    """The end of the first certificate in a PEM file, in seconds since 1970; None without one."""
    try:
        with open(file, encoding="ascii", errors="replace") as opened:
            _, begin, rest = opened.read().partition(_BEGIN)
        body, end, _ = rest.partition(_END)
        return _not_after(ssl.PEM_cert_to_DER_cert(begin + body + end))
    except (OSError, ValueError, IndexError):
        return None


def _not_after(certificate):
    """The end of a certificate in DER: the second time of its validity."""
    _, at, _ = _element(certificate, 0)
    _, at, _ = _element(certificate, at)
    tag, _, end = _element(certificate, at)
    if tag == _VERSION:
        at = end
    # The serial number, the signature's algorithm and the issuer stand before the validity.
    for _ in range(3):
        _, _, at = _element(certificate, at)
    _, at, _ = _element(certificate, at)
    _, _, at = _element(certificate, at)
    tag, at, end = _element(certificate, at)
    text = certificate[at:end].decode("ascii")
    if tag == _UTC_TIME:
        text = ("19" if text >= "50" else "20") + text
    elif tag != _GENERALIZED_TIME:
        raise ValueError("no time has the tag {}".format(tag))
    return calendar.timegm(time.strptime(text, "%Y%m%d%H%M%SZ"))


def _element(data, at):
    """The tag of the element at this place, and where its content begins and ends."""
    tag, size = data[at], data[at + 1]
    at += 2
    if size & 0x80:
        count = size & 0x7F
        size = int.from_bytes(data[at : at + count], "big")
        at += count
    return tag, at, at + size
