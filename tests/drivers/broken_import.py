"""A driver whose library is not installed."""

import vendor_sdk_that_is_not_here  # noqa: F401


class Camera:
    pass
