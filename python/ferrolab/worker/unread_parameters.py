"""Whether a driver's class reads the `parameters` of its service.

PyroLab's instruments do in `autoconnect()`; others may read the attribute that keeps them.
"""

_PARAMETERS = "_autoconnect_params"

REMARK = (
    "nothing reads the `parameters`: {} has no autoconnect(), as PyroLab's instruments have; "
    "`arguments` are what its constructor is called with"
)


def are_read(cls):
    """Whether a class uses the `parameters` of its service."""
    # A class that makes its members up may make this one up, too.
    if hasattr(cls, "autoconnect") or hasattr(cls, "__getattr__"):
        return True
    return any(
        _mentions(member) for base in cls.__mro__ for member in list(vars(base).values())
    )


def _mentions(member):
    """Whether a member's code names the attribute, as `self.NAME` or in `getattr`."""
    for function in (member, getattr(member, "__func__", None), getattr(member, "fget", None)):
        function = getattr(function, "__wrapped__", function)
        code = getattr(function, "__code__", None)
        if code is not None and (_PARAMETERS in code.co_names or _PARAMETERS in code.co_consts):
            return True
    return False
