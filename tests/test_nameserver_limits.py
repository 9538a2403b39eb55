"""Limits of a nameserver: too much is refused in words, much is not."""

import contextlib
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import Pyro5.api
import Pyro5.protocol
import Pyro5.serializers
import pytest
from harness import NEVER, free_port, new_lab, outcome, proxy, wait_for, within
from harness.processes import memory

LAB = """\
version: "1.0"
nameservers:
  local: {host: localhost, ns_port: $port, storage: $storage}
autolaunch: {nameservers: [local]}
"""
URI = "PYRO:object@localhost:1234"


@pytest.fixture(scope="module", params=["memory", "sql"])
def lab_of(request):
    with new_lab() as lab:
        lab.port = free_port()
        lab.config(LAB, port=lab.port, storage=request.param)
        lab.up()
        yield lab


@pytest.fixture(scope="module")
def nameserver(lab_of):
    return f"PYRO:Pyro.NameServer@localhost:{lab_of.port}"


@pytest.fixture
def ours(nameserver):
    with proxy(nameserver) as found:
        yield found
        found.remove(prefix="t.")


TOO_MUCH = {
    "a long name": ("register", "t." + "x" * 2000, URI),
    "a long URI": ("register", "t.a", "PYRO:" + "x" * 3000 + "@localhost:1"),
    "many tags": ("register", "t.a", URI, False, [str(n) for n in range(1000)]),
    "a long tag": ("register", "t.a", URI, False, ["x" * 100_000]),
    "many tags later": ("set_metadata", "t.a", [str(n) for n in range(1000)]),
    "many tags in a question": ("yplookup", None, [str(n) for n in range(300)]),
    "a long pattern": ("list", None, "x" * 10_000),
    "a pattern that grows": ("list", None, "((x{500}){500}){500}"),
    "a pattern that looks around": ("list", None, "(?=t)"),
    "a pattern that looks back": ("list", None, r"(t)\1"),
}


@pytest.mark.parametrize("name", TOO_MUCH)
def test_too_much_is_refused_in_words(ours, name):
    method, *args = TOO_MUCH[name]
    refused = outcome(lambda: getattr(ours, method)(*args))
    assert refused[:2] == ("raised", "Pyro5.errors.NamingError"), refused
    assert "at most" in refused[2] or "invalid regex" in refused[2], refused
    assert ours.list(prefix="t.") == {}


def test_a_pattern_runs_in_linear_time(ours):
    """Python's own `re` would be busy with this one until the end of the universe."""
    ours.register("t." + "a" * 200, URI)
    started = time.monotonic()
    assert ours.list(regex=r"t\.(a*)*(a*)*b") == {}
    assert time.monotonic() - started < within(5)


def failing_batch(ours, *calls):
    """The results of a batch up to its exception, and that."""
    batch = Pyro5.api.BatchProxy(ours)
    for method, *args in calls:
        getattr(batch, method)(*args)
    results, answers = iter(batch()), []
    while not answers or answers[-1][0] == "returned":
        answers.append(outcome(lambda: next(results)))
    return answers


def fill(ours, mebibytes):
    """Names with so much metadata."""
    for number in range(mebibytes):
        ours.register(f"t.{number:03}", URI, False, [f"{tag:02}" * 8191 for tag in range(64)])


BIG_CALLS = {
    "list": ("list", "t.", None, True),
    "list by regex": ("list", None, r"t\.", True),
    "yplookup": ("yplookup", None, ["00" * 8191]),
    "lookup": ("lookup", "t.000", True),
}


@pytest.mark.parametrize("call", BIG_CALLS)
def test_a_batch_takes_no_more_than_a_call(ours, call):
    """Its answers have one limit together, and it ends where that is reached."""
    fill(ours, 3)
    answers = failing_batch(ours, *[BIG_CALLS[call]] * 50, ("remove", None, "t."))
    *results, refused = answers
    assert len(results) == (31 if call == "lookup" else 10)
    assert refused[1] == "Pyro5.errors.NamingError" and "too large" in refused[2], refused
    assert len(ours.list("t.")) == 3, "what stands behind is not carried out"


def test_what_cannot_be_printed_is_counted_as_it_is_written(ours):
    """In 17 MiB of such tags there are more bytes than an answer may have."""
    tags = [f"{tag:02}" + "\x01" * 16000 for tag in range(64)]
    for number in range(17):
        ours.register(f"t.{number:03}", URI, False, tags)
    refused = outcome(lambda: ours.list(prefix="t.", return_metadata=True))
    assert refused[1] == "Pyro5.errors.NamingError" and "too large" in refused[2], refused
    assert len(ours.list(prefix="t.")) == 17


def test_a_request_has_a_limit(nameserver, ours):
    """An honest one with a hundred thousand names is below it."""
    batch = Pyro5.api.BatchProxy(ours)
    for number in range(100_000):
        batch.register(f"t.lab.room{number % 100}.instrument{number}", URI, False, ["camera"])
    assert len(list(batch())) == 100_000
    with proxy(nameserver) as greedy, pytest.raises(Pyro5.errors.CommunicationError):
        greedy.register("t.x" + "x" * (17 << 20), URI)
    assert ours.count() == 100_001


def test_a_batch_is_in_order_whatever_takes_longer(ours):
    """Searches are made between the changes before and after them."""
    batch = Pyro5.api.BatchProxy(ours)
    for number in range(3000):
        batch.register(f"t.{number:04}", URI)
    batch.list(None, r"t\.29.*[05]$")
    batch.remove(None, None, r"t\.\d{3}5")
    batch.register("t.0005", URI)
    batch.list("t.000")
    batch.yplookup(["x"])
    batch.count()
    results = list(batch())[3000:]
    assert len(results[0]) == 20
    assert results[1] == 300
    assert list(results[3]) == [f"t.000{n}" for n in range(10)]
    assert results[4:] == [{}, 2702]


def test_searches_keep_nobody_waiting(nameserver, ours):
    """While patterns are compared with many long names, others are answered."""
    for number in range(300):
        ours.register("t." + f"{number:04}" + "aB" * 500, URI)
    stop = threading.Event()

    def search():
        with proxy(nameserver) as searching:
            while not stop.is_set():
                batch = Pyro5.api.BatchProxy(searching)
                for number in range(20):
                    batch.list(None, rf"(?i).*(\w+\w+)+{number}x.*y.*z$")
                # A search may be refused for taking too long, which a busy machine decides.
                with contextlib.suppress(Pyro5.errors.NamingError):
                    list(batch())

    searchers = [threading.Thread(target=search) for _ in range(4)]
    for searcher in searchers:
        searcher.start()
    try:
        slowest = 0
        for number in range(50):
            started = time.monotonic()
            ours.register(f"t.{number}", URI)
            ours.lookup(f"t.{number}")
            slowest = max(slowest, time.monotonic() - started)
    finally:
        stop.set()
        for searcher in searchers:
            searcher.join()
    assert slowest < within(2)


def large_list(nameserver):
    """A question whose answer is large, as bytes."""
    serializer = Pyro5.serializers.serializers["serpent"]
    arguments = {"prefix": "t.", "return_metadata": True}
    data = serializer.dumpsCall(Pyro5.api.URI(nameserver).object, "list", (), arguments)
    kind, number = Pyro5.protocol.MSG_INVOKE, serializer.serializer_id
    return bytes(Pyro5.protocol.SendingMessage(kind, 0, 1, number, data).data)


def ask(nameserver, question):
    """A connection over which a question has been asked, and nothing read."""
    asking = proxy(nameserver)
    asking._pyroBind()
    asking._pyroConnection.sock.sendall(question)
    return asking


def is_closed(asking):
    received = asking._pyroConnection.sock
    received.settimeout(NEVER)
    while True:
        try:
            if not received.recv(1024 * 1024):
                return True
        except ConnectionError:
            return True


def read_answer(asking):
    """How long the answer is; it must be one, and whole."""
    received = asking._pyroConnection.sock
    received.settimeout(NEVER)
    message = Pyro5.protocol.recv_stub(asking._pyroConnection)
    assert message.type == Pyro5.protocol.MSG_RESULT
    assert not message.flags & Pyro5.protocol.FLAGS_EXCEPTION, bytes(message.data[:500])
    return len(message.data)


def test_answers_that_nobody_reads_take_no_more_than_their_share(nameserver, lab_of, ours):
    """A client that does not read is disconnected when others wait; one that reads is served."""
    fill(ours, 16)
    pid = lab_of.entry("nameservers", "local")["pid"]
    before = memory(pid)
    question = large_list(nameserver)
    idle = []
    try:
        for _ in range(40):
            idle.append(ask(nameserver, question))
            # Somebody else asks and reads.
            assert len(ours.list(prefix="t.")) == 16
        with proxy(nameserver) as patient:
            assert len(patient.list(prefix="t.", return_metadata=True)) == 16
        together = len(idle) * 16
        wait_for(lambda: memory(pid) - before < 0.7 * together, 30, "their memory is given back")
        assert is_closed(idle[0]), "the first has waited longest"
    finally:
        for slow in idle:
            slow._pyroRelease()


def test_who_reads_gets_a_large_answer_however_many_ask(nameserver, lab_of, ours):
    """All of them together would take several times the memory that there is for answers."""
    fill(ours, 16)
    pid = lab_of.entry("nameservers", "local")["pid"]
    before = memory(pid)
    question = large_list(nameserver)
    asking, read = [], []
    try:
        most = 0
        with ThreadPoolExecutor(50) as readers:
            for _ in range(50):
                # Read from the start: a client that does not read for a while is disconnected.
                asking.append(ask(nameserver, question))
                read.append(readers.submit(read_answer, asking[-1]))
            while not all(one.done() for one in read):
                # Others are served meanwhile.
                assert ours.lookup("t.000") == Pyro5.api.URI(URI)
                assert len(ours.list(regex=r"t\.00\d$")) == 10
                most = max(most, memory(pid) - before)
        lengths = {one.result() for one in read}
        (length,) = lengths
        assert length > 16 << 20
        assert most < 0.55 * len(asking) * length / (1 << 20)
    finally:
        for one in asking:
            one._pyroRelease()


def test_many_names(ours):
    for number in range(500):
        ours.register(f"t.{number:03}", URI, metadata=["many"])
    assert len(ours.list(prefix="t.")) == 500
    assert len(ours.list(regex=r"t\.\d\d[05]")) == 100
    assert len(ours.yplookup(meta_all=["many"])) == 500
    assert ours.remove(prefix="t.4") == 100
    assert ours.count() == 401


def test_a_thousand_connections_at_once(nameserver):
    """Idle ones cost little, and nobody is refused."""
    proxies = [proxy(nameserver) for _ in range(1000)]
    try:
        for one in proxies:
            one._pyroBind()
        for one in proxies[::50]:
            assert one.count() == 1
    finally:
        for one in proxies:
            one._pyroRelease()
