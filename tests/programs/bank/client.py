import sys

from Pyro5.api import Proxy, locate_ns


def attempt(call, *args, **kwargs):
    try:
        print("  ->", call(*args, **kwargs))
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        print("  ->", type(error).__name__, error.args)


with locate_ns() as ns:
    banks = sorted(name for name in ns.list(prefix="bank."))
print("banks:", banks)

for name in banks:
    with Proxy("PYRONAME:" + name) as bank:
        print("bank:", bank.name())
        bank.open("alice")
        bank.open("bob")
        attempt(bank.open, "bob")
        print("alice:", bank.deposit("alice", 100_00))
        print("bob:", bank.deposit("bob", 50))
        attempt(bank.deposit, "alice", -3)
        attempt(bank.withdraw, "bob", 40)
        attempt(bank.withdraw, "carol", 1)
        attempt(bank.transfer, "alice", "bob", cents=2500)
        attempt(bank.transfer, "alice", "bob", 2500)
        attempt(bank.transfer, sender="bob", receiver="alice", cents=10**12)
        attempt(lambda: bank.audit())
        with Proxy("PYRONAME:" + name) as teller:
            print("the teller sees:", sorted(teller.balances().items()))
sys.stdout.flush()
