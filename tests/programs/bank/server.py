"""Two banks with accounts that anyone can use: one shared instance each."""

from Pyro5.api import behavior, expose


class Account:
    def __init__(self):
        self._cents = 0

    def deposit(self, cents):
        if cents <= 0:
            raise ValueError("deposit something", cents)
        self._cents += cents

    def withdraw(self, cents):
        if cents > self._cents:
            raise ValueError("insufficient balance", self._cents, cents)
        self._cents -= cents

    @property
    def balance(self):
        return self._cents


@behavior(instance_mode="single")
class Bank:
    """Not exposed as a whole: `audit` stays inside of the bank."""

    fee = 0

    def __init__(self):
        self._accounts = {}

    @expose
    def name(self):
        return type(self).__name__

    @expose
    def open(self, owner):
        if owner in self._accounts:
            raise KeyError(owner)
        self._accounts[owner] = Account()

    @expose
    def deposit(self, owner, cents):
        self._accounts[owner].deposit(cents)
        return self.balance(owner)

    @expose
    def withdraw(self, owner, cents):
        self._accounts[owner].withdraw(cents + self.fee)
        return self.balance(owner)

    @expose
    def transfer(self, sender, receiver, *, cents):
        self._accounts[sender].withdraw(cents)
        self._accounts[receiver].deposit(cents)

    @expose
    def balance(self, owner):
        return self._accounts[owner].balance

    @expose
    def balances(self):
        return {owner: account.balance for owner, account in self._accounts.items()}

    def audit(self):
        return "for the bank's own eyes"


class Savings(Bank):
    pass


class Checking(Bank):
    fee = 25
