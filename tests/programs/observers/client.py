import queue
import threading

from Pyro5.api import Daemon, Proxy, expose, oneway


class Waiting:
    def __init__(self):
        self.news = queue.Queue()

    @expose
    def notify(self, topic, *details):
        self.news.put((topic, details))


class Quick(Waiting):
    @expose
    @oneway
    def notify(self, topic, *details):
        self.news.put((topic, details))
        raise RuntimeError("nobody hears this")


with Daemon(host="localhost") as daemon:
    waiting, quick = Waiting(), Quick()
    daemon.register(waiting, "waiting")
    daemon.register(quick, "quick")
    threading.Thread(target=daemon.requestLoop, daemon=True).start()
    with Proxy("PYRONAME:subject") as subject:
        print(subject.subscribe(waiting, "value", "alarm"), subject.subscribe(quick, "alarm"))
        subject.value = 5
        subject.value = [1, 2]
        print("alarm told", subject.alarm("too hot"))
        print("unsubscribed", subject.unsubscribe(waiting), subject.unsubscribe(waiting))
        print("alarm told", subject.alarm("still too hot"))
        print("value", subject.value)
    print("waiting:", [waiting.news.get(timeout=300) for _ in range(3)], waiting.news.qsize())
    print("quick:", [quick.news.get(timeout=300) for _ in range(2)])
    daemon.shutdown()
