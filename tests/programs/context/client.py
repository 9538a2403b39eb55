import time
import uuid

from Pyro5.api import Proxy, current_context


def wait_until(condition):
    deadline = time.monotonic() + 300
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)


def annotations():
    return sorted((k, bytes(v)) for k, v in current_context.response_annotations.items())


with Proxy("PYRONAME:echo") as echo:
    print("caller:", echo.caller())
    current_context.correlation_id = uuid.UUID(int=77)
    for serializer in ("serpent", "json", "marshal", "msgpack"):
        echo._pyroSerializer = serializer
        print(serializer, sorted(echo.message().items()))
    print(echo.echo("plain"), annotations())
    current_context.annotations = {"WORD": b"abc", "MORE": bytes(range(5))}
    print(echo.echo([1, 2]), annotations())
    try:
        echo.fail()
    except ValueError as error:
        print(error, annotations())
    echo.quietly("hush")
    current_context.annotations = {}
    wait_until(echo.seen)
    print("seen:", echo.seen())
    print("stream:", list(echo.stream()), annotations())
    print(echo.echo({"x": None}), annotations())
