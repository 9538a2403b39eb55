"""A driver may do what it may in its own program: configure `logging`, start threads and
processes, pickle itself."""

import pytest

from workers import CALL, VALUE, Raised, Worker, service

LOGGING = """
import logging, logging.config, threading
from ferrolab import expose

@expose
class Rig:
    def basic(self, file):
        logging.basicConfig(filename=file, level=logging.DEBUG, format="%(levelname)s %(message)s")
    def console(self):
        logging.basicConfig(level=logging.INFO)
    def dict(self, file):
        logging.getLogger("rig.before")
        logging.config.dictConfig({
            "version": 1, "disable_existing_loggers": True,
            "handlers": {"file": {"class": "logging.FileHandler", "filename": file}},
            "root": {"handlers": ["file"], "level": "INFO"}})
    def alone(self):
        logger = logging.getLogger("rig.alone")
        logger.propagate = False
        logger.addHandler(logging.StreamHandler())
        logger.error("by itself")
    def say(self, text):
        logging.getLogger("rig").info(text)
        try:
            1 / 0
        except ZeroDivisionError:
            logging.getLogger("rig").exception("failed: %s", text)
    def in_threads(self, text):
        def inner():
            logging.getLogger("rig").info(text)
            print(text)
        def outer():
            thread = threading.Thread(target=inner)
            thread.start()
            thread.join()
        threading.Thread(target=outer).start()
    def oneway_fails(self):
        raise RuntimeError("in a oneway call")
    oneway_fails._pyroOneway = True
    def numbers(self):
        for number in range(2):
            print(number, end="")
            yield number
"""


def heard(worker, until):
    """All that comes up to a record with this text."""
    heard = []
    worker.record(lambda record: heard.append(record) or until in (record[2], record[-2]))
    return heard


@pytest.mark.parametrize("setup, writes", [
    (None, False), ("basic", True), ("console", False), ("dict", True)])
def test_logging_is_the_drivers_own_to_configure(tmp_path, setup, writes):
    (tmp_path / "rig.py").write_text(LOGGING)
    file = tmp_path / "rig.log"
    with Worker([service(name, "rig", "Rig") for name in ("one", "two")],
                path=[tmp_path]) as worker:
        channel = worker.channel()
        if setup:
            channel.call("one", setup, *[str(file)] * writes)
        channel.call("one", "say", "word")
        first, second = heard(worker, "failed: word")
        assert first == ("log", "one", 20, "rig", "word", None)
        assert second[:3] == ("log", "one", 40) and "ZeroDivisionError" in second[5]
        if writes:
            assert "word" in file.read_text() and "ZeroDivisionError" in file.read_text()
        channel.call("one", "alone")
        assert heard(worker, "by itself") == [("log", "one", 40, "rig.alone", "by itself", None)]
        # what the worker itself has to say; the daemon hears of it for its call log
        with pytest.raises(Raised):
            channel.oneway("one", "oneway_fails")
        assert "in a oneway call" in worker.record(lambda record: record[0] == "log")[5]


def test_what_a_generator_prints_without_a_newline_is_told_with_its_item(tmp_path):
    (tmp_path / "rig.py").write_text(LOGGING)
    with Worker([service(name, "rig", "Rig") for name in ("one", "two")],
                path=[tmp_path]) as worker:
        channel = worker.channel()
        _, stream = channel.operation(CALL, "one", "numbers")
        for number in range(2):
            assert channel.next(stream) == (VALUE, number)
            assert worker.record(lambda record: True) == ("out", "one", str(number))


def test_threads_work_for_the_service_that_started_them(tmp_path):
    (tmp_path / "rig.py").write_text(LOGGING)
    with Worker([service(name, "rig", "Rig") for name in ("one", "two")],
                path=[tmp_path]) as worker:
        channel = worker.channel()
        for name in ("one", "two"):
            channel.call(name, "in_threads", "from " + name)
            logged = worker.record(lambda record: record[0] == "log")
            assert logged == ("log", name, 20, "rig", "from " + name, None)
            assert worker.record(lambda record: True) == ("out", name, "from " + name)


KIN = """
import abc, multiprocessing, pickle
from ferrolab import expose

@expose
class Kin:
    def is_itself(self):
        return type(self) is Kin
    def pickled(self):
        self.mark = 7
        copy = pickle.loads(pickle.dumps(self))
        return type(copy) is Kin, copy.mark
    def triple(self, x):
        return 3 * x
    def in_a_pool(self, method="fork"):
        with multiprocessing.get_context(method).Pool(1) as pool:
            return pool.map(self.triple, [1, 2])
    def id(self):
        return self._pyroId

@expose
class Abstract(Kin, abc.ABC):
    def is_itself(self):
        return type(self) is Abstract
"""


@pytest.mark.parametrize("classname", ["Kin", "Abstract"])
def test_a_class_is_itself_to_pickle(tmp_path, classname):
    (tmp_path / "kin.py").write_text(KIN)
    with Worker([service(name, "kin", classname, **more) for name, more in (
        ("first", {}), ("second", {}), ("connects", {"parameters": {"address": 1}}),
    )], path=[tmp_path]) as worker:
        channel = worker.channel()
        for name in ("first", "second", "connects"):
            assert channel.call(name, "id") == name
            assert channel.call(name, "is_itself") == (name == "first")
            assert channel.call(name, "in_a_pool") == [3, 6]
        assert channel.call("first", "pickled")[1] == 7
        assert channel.call("second", "pickled") == (classname == "Kin", 7)


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_a_spawned_process_finds_the_drivers_modules(tmp_path, method):
    (tmp_path / "kin.py").write_text(KIN)
    with Worker([service("kin", "kin", "Kin")], path=[tmp_path]) as worker:
        assert worker.channel().call("kin", "in_a_pool", method) == [3, 6]
