from Pyro5.api import Proxy


def attempt(label, action):
    try:
        print(label, "->", action())
    except (AttributeError, TypeError, ValueError) as error:
        print(label, "->", type(error).__name__, error.args)


with Proxy("PYRONAME:thermostat") as device:
    device._pyroBind()
    print(sorted(device._pyroAttrs), sorted(device._pyroMethods))
    print(device.target, device.mode, device.fahrenheit, device.fixed)
    device.target = 21.5
    device.fahrenheit = 100
    device.mode = {"name": "heat", "power": (1, 2)}
    print(device.target, device.mode, device.fahrenheit)
    attempt("text", lambda: setattr(device, "target", "warm"))
    attempt("fixed", lambda: setattr(device, "fixed", 1))
    attempt("internal", lambda: device.internal)
    attempt("internal set", lambda: setattr(device, "internal", 1))
    attempt("serial", lambda: device.serial)
    attempt("raw get", lambda: device._pyroInvoke("__getattr__", ["internal"], {}))
    attempt("raw set", lambda: device._pyroInvoke("__setattr__", ["internal", 5], {}))
    attempt("raw property as method", lambda: device._pyroInvoke("target", [], {}))
    attempt("write-only", lambda: setattr(device, "code", 7))
    attempt("write-only read", lambda: device.code)
    attempt("written", lambda: device.mode)
    attempt("unknown", lambda: device.nothing)
    print(device.history())
