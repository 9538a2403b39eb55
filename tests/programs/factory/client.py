from Pyro5.api import Proxy
from Pyro5.errors import DaemonError, PyroError

with Proxy("PYRONAME:amplifier") as amplifier:
    print("own:", amplifier.own_uri()[1], amplifier.own_uri()[0].split("@")[0])
    one = amplifier.channel(1)
    print(type(one).__name__, one.number, one.gain, one.read())
    one.gain = 2.5
    print(one.read(), amplifier.channel(1).read())
    try:
        one.gain = -1
    except ValueError as error:
        print("ValueError:", error)
    two = amplifier.channel(2)
    print([type(channel).__name__ for channel in amplifier.channels()])
    print([channel.number for channel in amplifier.channels()])
    print(sorted((name, channel.read()) for name, channel in amplifier.by_name().items()))
    print("same object:", one._pyroUri == amplifier.channel(1)._pyroUri, one == two)
    print("back to its server:", amplifier.gain_of(one))
    print(amplifier.plain())
    with Proxy(amplifier.scratch()) as scratch, Proxy(scratch._pyroUri) as other:
        print(scratch.note("a"), scratch.note("b"), other.note("c"))
    try:
        amplifier.twice()
    except DaemonError as error:
        print("DaemonError:", error)
    two.close()
    try:
        two.read()
    except PyroError as error:
        print(type(error).__name__, "unknown object" in str(error))
    try:
        with Proxy(two._pyroUri) as gone:
            gone.read()
    except PyroError as error:
        print(type(error).__name__, "unknown object" in str(error))
