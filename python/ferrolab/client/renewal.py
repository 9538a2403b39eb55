"""Renewal of a login's certificate before it ends, so that no measurement ends with it.

`crates/program/src/access/renewal.rs` has the other end: the messages, and why nothing secret is
in them. A certificate is renewed in the last third of its time, by whichever client connects:
beside the call while it is still good, before it where it has expired. A lab that is away is asked
again after an hour.
"""

import calendar
import hashlib
import hmac
import json
import os
import ssl
import threading
import time

from .errors import CommunicationError
from .expiry import WARNED, warn
from .settings import Settings
from .uri import URI

# Seconds of the last third of a certificate's time.
DUE = 30 * 86400
# Seconds between two attempts; the time of the last one is that of the file.
_BETWEEN_ATTEMPTS = 3600
_ATTEMPT_FILE = "renewal"
# Seconds for an attempt: a call waits for it where the certificate has expired.
_TIMEOUT = 3.0

_lock = threading.Lock()


def renewed(login, ask_once):
    """The login, which gets another certificate where that is due; `ask_once` makes a call."""
    try:
        left = _seconds(login.until) - time.time()
        if left <= DUE and _begins_attempt(login):
            if left <= 0:
                _attempt(login, ask_once)
            else:
                # The program ends after it: a short one would never have a new certificate.
                attempt = threading.Thread(
                    target=_attempt, args=(login, ask_once), name="ferrolab renewal", daemon=False
                )
                attempt.start()
    except Exception:
        # On any failure the certificate is still good, or the server says that it is not.
        pass
    return login


def _attempt(login, ask_once):
    failure = None
    try:
        with _lock:
            _renew(login, ask_once)
    except Exception as error:
        failure = error
    if failure is not None:
        _warn(login, failure)


def _warn(login, error):
    if _seconds(login.until) - time.time() < WARNED:
        text = (
            "the certificate of your login at {0}:{1} ends on {2}, and could not be renewed: {3}; "
            "`ferrolab login {0}:{1}` tries again"
        )
        warn(text.format(login.host, login.port, login.until[:10], error))


def _begins_attempt(login):
    file = login.file(_ATTEMPT_FILE)
    try:
        if 0 <= time.time() - os.stat(file).st_mtime < _BETWEEN_ATTEMPTS:
            return False
    except OSError:
        pass
    _write(file, "")
    os.utime(file)
    return True


def _renew(login, ask_once):
    with open(login.file("certificate.pem"), encoding="ascii") as file:
        certificate = file.read()
    identity, key = _keys(login.token())
    request = {"login": identity, "nonce": os.urandom(16).hex(), "certificate": certificate}
    request["proof"] = _proof(
        key, "ferrolab renewal request", identity, request["nonce"], certificate
    )
    host = "[{}]".format(login.host) if ":" in login.host else login.host
    uri = URI("PYRO:ferrolab.Login@{}:{}".format(host, login.port))
    answer = None
    # A login's port speaks TLS or not; both ends prove themselves in the messages.
    for tls in (_any_server(), False):
        # Other data than a client's that has set none: no login is looked for.
        settings = Settings(connect_timeout=_TIMEOUT, tls=tls, handshake={"purpose": "renewal"})
        try:
            answer = ask_once(uri, settings, "renew", request, _TIMEOUT)
            break
        except CommunicationError as error:
            if tls is False or not isinstance(error.__cause__, ssl.SSLError):
                raise
    fresh, until = answer["certificate"], answer["until"]
    proof = _proof(key, "ferrolab renewal answer", request["proof"], fresh, until)
    if not hmac.compare_digest(proof, answer["proof"]):
        raise ValueError("what answers is not the lab of the login")
    _store(login, fresh, until)


def _any_server():
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _keys(token):
    digest = hashlib.sha256(token.encode()).hexdigest()
    derived = lambda purpose: hashlib.sha256((purpose + digest).encode()).hexdigest()
    return derived("ferrolab login id ")[:32], derived("ferrolab login key ")


def _proof(key, *parts):
    mac = hmac.new(hashlib.sha256(key.encode()).digest(), digestmod=hashlib.sha256)
    for part in parts:
        data = part.encode()
        mac.update(len(data).to_bytes(8, "big") + data)
    return mac.hexdigest()


def _store(login, certificate, until):
    new = login.file("certificate.pem.{}".format(os.getpid()))
    _write(new, certificate)
    try:
        # Raises where it is not for this key.
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(new, login.file("key.pem"))
        os.replace(new, login.file("certificate.pem"))
    except BaseException:
        os.unlink(new)
        raise
    with open(login.file("login.json"), encoding="utf-8") as file:
        facts = json.load(file)
    facts["until"] = login.until = until
    _write(login.file("login.json"), json.dumps(facts, indent=2))


def _write(path, text):
    """Replaces a file of this user only."""
    new = "{}.{}.{}".format(path, os.getpid(), threading.get_ident())
    handle = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(new, path)
    except BaseException:
        os.unlink(new)
        raise


def _seconds(text):
    """A time of RFC 3339 in UTC, in seconds since 1970."""
    return calendar.timegm(time.strptime(text[:19], "%Y-%m-%dT%H:%M:%S"))
