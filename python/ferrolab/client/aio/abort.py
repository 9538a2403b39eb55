"""Emergency stop for asyncio: `await ferrolab.abort(lab.aio["lab.stage"])`."""

from ..abort import ANSWER_TIMEOUT, called, check_offer, daemon_of, offer_abort, request
from .remote import AioProxy, AioRemote


async def abort_of(proxy, reason, user):
    """The same as `abort`, for a proxy of asyncio."""
    remote = proxy._remote
    uri = await remote.resolve()
    pool = AioRemote(daemon_of(uri), remote.settings, None).pool
    connection = await pool.acquire(ANSWER_TIMEOUT)
    try:
        check_offer(uri, connection.members)
        arguments = request(uri, reason, user)
        call = connection.call(daemon_of(uri).object, "abort", arguments, {}, 0, ANSWER_TIMEOUT)
        return called(uri, await call)
    finally:
        pool.release(connection)
        pool.close()


offer_abort(AioProxy, abort_of)
