from Pyro5 import config
from Pyro5.api import Proxy
from Pyro5.errors import ConnectionClosedError, SerializeError, TimeoutError  # noqa: A004

for compression in (False, True):
    config.COMPRESSION = compression
    for serializer in ("serpent", "json", "marshal", "msgpack"):
        with Proxy("PYRONAME:calculator") as calculator:
            calculator._pyroSerializer = serializer
            print(serializer, calculator.total(list(range(10_000))))
            table = calculator.table(40, 30)
            print("  ", len(table), table[39][29], sum(map(sum, table)))
            for call in (lambda: calculator.big(90), calculator.special):
                try:
                    print("  ", call())
                except (TypeError, ValueError, OverflowError, SerializeError) as error:
                    print("  ", type(error).__name__)
                except ConnectionClosedError:
                    print("   the connection was lost")

with Proxy("PYRONAME:calculator") as calculator:
    calculator._pyroTimeout = 0.3
    try:
        print(calculator.slow(2))
    except TimeoutError as error:
        print("TimeoutError:", error)
    calculator._pyroTimeout = 20
    print(calculator.slow(0.1), calculator.total([1, 2]))
