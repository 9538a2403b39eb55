"""The asyncio client: the same calls, cancellation, timeouts, locks and sessions."""

import asyncio
import gc
import inspect
import marshal
import os
import socket

import ferrolab
import pytest
from harness import NEVER, wait_for
from harness.clients import SERVERS, every_server, every_server_running
from harness.lockable import lines, lockable_lab, state
from harness.liar import Liar, result
from test_client_hostile import LIES, send


@pytest.fixture(scope="module")
def servers():
    with every_server_running() as running:
        yield running


@pytest.fixture
def server(servers, request):
    found = servers[request.param]
    with found.stock() as wire:
        wire.clear()
    return found


def run(script):
    """Runs a coroutine function in a new event loop."""
    return asyncio.run(asyncio.wait_for(script(), NEVER))


def lab_of(uri, **settings):
    """A lab whose services are named by URIs only."""
    return ferrolab.Lab(None, ferrolab.Proxy(uri, **{"timeout": NEVER, "connect_timeout": NEVER, **settings})._remote.settings)


async def until(condition, what):
    for _ in range(NEVER * 50):
        if await condition():
            return
        await asyncio.sleep(0.02)
    raise AssertionError(what)


@every_server
def test_calls_properties_and_streams(server):
    async def script():
        async with lab_of(server.uri).aio as lab:
            wire = lab[str(server.uri)]
            assert await wire.echo(1, "é", k=[2]) == [[1, "é"], {"k": [2]}]
            assert await wire.value == 1
            await wire.value.set(5)
            assert await wire.value == 5
            await wire.value.set(1)
            with pytest.raises(ValueError) as caught:
                await wire.fail("boom")
            assert caught.value.args == ("boom", 5) and "wire.py" in str(caught.value.__cause__)
            assert [item async for item in await wire.numbers(3)] == [0, 1, 2]
            failing = await wire.failing(1)
            with pytest.raises(ZeroDivisionError):
                [item async for item in failing]
            async with await wire.numbers(7) as stream:
                assert await stream.__anext__() == 0
            first, second, _, seven = [item async for item in await wire.streams("iterators")]
            assert [await first.__anext__(), [item async for item in second], seven] == [1, ["3", "4"], 7]
            assert [item async for item in first] == [2]
            assert await wire.note_oneway("hi") is None
            await until(lambda: has(wire, "hi"), "the oneway call ran")
            assert {"echo", "value"} <= set(dir(wire))
            with pytest.raises(AttributeError, match="set"):
                wire.value = 3
            with pytest.raises(AttributeError):
                await wire.missing()
            if server.registers:
                child = await wire.adopt("eve")
                assert await child.who() == "eve"
                await wire.disown("eve")

    async def has(wire, note):
        return note in await wire.notes()

    run(script)


@every_server
def test_many_calls_in_flight_on_few_connections(server):
    async def script():
        async with lab_of(server.uri).aio as lab:
            wire = lab[str(server.uri)]
            answers = await asyncio.gather(*[wire.echo(number) for number in range(1000)])
            assert [answer[0][0] for answer in answers] == list(range(1000))
            assert wire._remote.pool._count <= wire._remote.pool.limit

    run(script)


@every_server
def test_dropped_and_closed_proxies_leave_no_connection(server):
    async def script():
        closed, dropped = [ferrolab.AioProxy(server.uri, timeout=NEVER, connect_timeout=NEVER) for _ in range(2)]
        calls = [asyncio.ensure_future(proxy.echo(1)) for proxy in (closed, dropped) for _ in range(3)]
        await asyncio.sleep(0)
        closed._remote.close()
        await asyncio.gather(*calls)
        left = [connection for proxy in (closed, dropped) for connection in proxy._remote.pool._idle]
        assert len(left) == 3 and await closed.echo(2)
        del closed, dropped, calls
        gc.collect()
        await asyncio.sleep(0)
        assert all(connection.closed for connection in left)

    run(script)


@every_server
def test_a_cancelled_call_leaves_no_stale_answer(server, tmp_path):
    async def script():
        async with lab_of(server.uri).aio as lab:
            wire = lab[str(server.uri)]
            held = [asyncio.ensure_future(wire.hold(n, str(tmp_path / "gate"))) for n in range(8)]
            await asyncio.sleep(0)
            waiting = asyncio.ensure_future(wire.note("never"))
            with server.stock() as stock:
                await asyncio.get_running_loop().run_in_executor(None, begun)
                stock._pyroClaimOwnership()
                assert len(stock.notes()) == 8
            waiting.cancel()
            held[0].cancel()
            for task in (waiting, held[0]):
                with pytest.raises(asyncio.CancelledError):
                    await task
            assert (await wire.echo(5))[0] == [5], "the cancelled call's connection is replaced"
            late = [wire.hold.with_timeout(0.2)("late", str(tmp_path / "gate")) for _ in range(3)]
            # Until the last has ended: one may have been given the right to open a connection.
            for error in await asyncio.gather(*late, return_exceptions=True):
                assert isinstance(error, ferrolab.TimeoutError) and error.outcome in ("unknown", "not started")
            (tmp_path / "gate").touch()
            await asyncio.gather(*held[1:])
            for number in range(20):
                assert (await wire.echo(number))[0] == [number]
            assert "never" not in await wire.notes()
            pool = wire._remote.pool
            assert pool._count == len([one for one in pool._idle if not one.closed]) and not pool._waiting

    def begun():
        with server.stock() as other:
            wait_for(lambda: len(other.notes()) == 8, 30, "all eight run")

    run(script)


@pytest.mark.parametrize("lie", LIES)
def test_a_server_that_lies(lie):
    data, error, words = LIES[lie]

    async def script():
        with Liar(send(data)) as server:
            liar = lab_of(server.uri, max_message=1 << 20).aio[server.uri]
            with pytest.raises(error, match=words) as caught:
                await liar.echo(1)
            assert caught.value.outcome in ("ran", "unknown") and server.requests == 1

    run(script)


def test_stalls_and_vanishing():
    async def script():
        with Liar(send(b"")) as server:
            liar = lab_of(server.uri).aio[server.uri]
            with pytest.raises(ferrolab.TimeoutError) as caught:
                await liar.echo.with_timeout(0.2)(1)
            assert caught.value.outcome == "unknown"
        with Liar(welcome=b"") as server:
            with pytest.raises(ferrolab.TimeoutError) as caught:
                await lab_of(server.uri, connect_timeout=0.2).aio[server.uri].echo(1)
            assert caught.value.outcome == "not started"
        with Liar(lambda sock, seq, payload: sock.shutdown(socket.SHUT_RDWR)) as server:
            with pytest.raises(ferrolab.ConnectionClosedError, match="may have run") as caught:
                await lab_of(server.uri).aio[server.uri].echo(1)
            assert caught.value.outcome == "unknown" and server.requests == 1
        with pytest.raises(ferrolab.CommunicationError, match="cannot connect") as caught:
            await lab_of(server.uri).aio[server.uri].echo(1)
        assert caught.value.outcome == "not started"

    run(script)


def test_members_have_signatures_and_texts(running):
    """Those that the other client shows, and before any call."""
    lab = ferrolab.connect(running.home, timeout=NEVER, connect_timeout=NEVER)

    async def script():
        async with lab.aio as aio:
            assert {"move", "position", "lock_info"} <= set(dir(aio["lab.laser"]))
            shown, known = aio["lab.laser"], lab["lab.laser"]
            for name in ("move", "drive", "axis", "lock"):
                member, other = getattr(shown, name), getattr(known, name)
                assert member.__name__ == name and member.__doc__ == other.__doc__
                assert inspect.signature(member) == inspect.signature(other)
            assert "two drivers" not in (shown.move.__doc__ or "")
            assert "by" in inspect.signature(shown.move).parameters
            assert await shown.move.with_timeout(NEVER)(by=1)

    with lab:
        run(script)


def test_a_lab_of_several_event_loops():
    with Liar(send(lambda seq: result(marshal.dumps(5, 2), seq))) as server:
        lab = lab_of(server.uri).aio

        async def script():
            assert await lab[server.uri].echo(1) == 5
            await lab.close()

        for _ in range(3):
            run(script)


# Locks and sessions


@pytest.fixture(scope="module")
def running():
    with lockable_lab() as lab:
        yield lab


@pytest.fixture
def both(running):
    """A lab, and the proxies of another client."""
    settings = {"timeout": NEVER, "connect_timeout": NEVER}
    with ferrolab.connect(running.home, **settings) as lab, ferrolab.connect(running.home, **settings) as other:
        yield lab, other


def test_a_lock_for_a_block(running, both):
    lab, other = both

    async def script():
        assert "lab.laser" in await lab.aio.services()
        lock = lab.aio.locked("lab.laser", user="ada")
        async with lock as laser:
            assert await laser.move(1) and lock.epoch == other["lab.laser"].lock_info()["epoch"]
            assert all(await asyncio.gather(*[laser.move(1) for _ in range(10)]))
            with pytest.raises(ConnectionRefusedError, match="by 'ada'"):
                await lab.aio["lab.laser"].move(1)
            with pytest.raises(ferrolab.LockError, match="by 'ada'"):
                await lab.aio.locked("lab.laser").__aenter__()
            stream = await laser.count(3)
            assert [await stream.__anext__(), await laser.number(), [item async for item in stream]] == [0, 1, [1, 2]]
            epoch = lock.epoch
            lock._connection._transport.get_extra_info("socket").shutdown(socket.SHUT_RDWR)
            await until(lambda: asyncio.sleep(0, lock._connection.closed), "its end is noticed")
            assert await laser.move(1) and lock.epoch == epoch + 1, "it is resumed"
        assert state(other["lab.laser"]) == "free"
        async with ferrolab.AioProxy(running.uri("lab.laser"), timeout=NEVER) as proxy:
            async with ferrolab.locked(proxy, wait=NEVER, user="ada") as laser:
                assert await laser.move(1)
                with pytest.raises(ConnectionRefusedError, match="by 'ada'"):
                    await proxy.move(1)
            assert await proxy.move(1)
        with pytest.raises(ferrolab.LockLost, match="broken"):
            async with lab.aio.locked("lab.laser") as laser:
                running.run("unlock", "--break", "lab.laser", "--reason", "tested")
                await laser.move(1)
        await lab.aio.close()

    run(script)


def test_blocks_in_blocks_and_timeouts_share_the_lock_s_connection(running):
    async def script():
        async with ferrolab.connect(running.home, timeout=NEVER, connect_timeout=NEVER).aio as lab:
            async with lab.locked("lab.laser") as laser:
                turn = laser._remote.pool._lock._turn
                async with turn:
                    with pytest.raises(ferrolab.TimeoutError) as caught:
                        await laser.move.with_timeout(0.2)(1)
                assert caught.value.outcome == "not started"
                async with ferrolab.locked(laser) as inner:
                    assert await inner.move(1)
                assert await laser.move(1)

    run(script)


def test_a_forked_child_keeps_no_connection(running):
    """Else a lock would not end with the program that took it."""

    async def script():
        async with ferrolab.connect(running.home, timeout=NEVER, connect_timeout=NEVER).aio as lab:
            laser = lab["lab.laser"]
            lock = ferrolab.locked(laser)
            await lock.take(NEVER)
            held, end = os.pipe()
            child = os.fork()
            if child == 0:
                os.close(end)
                os.read(held, 1)
                os._exit(0)
            try:
                lock._keeper.cancel()
                lock._connection.close()

                async def is_away():
                    return (await laser.lock_info())["away"]

                await until(is_away, "the daemon sees its end")
            finally:
                os.close(end)
                os.close(held)
                os.waitpid(child, 0)
            await lock.end(safe=True)

    run(script)


def test_a_cancelled_block_ends_by_the_safe_state(running, both):
    lab, other = both
    first, started = len(lines(running.record, 0)), []

    async def block():
        async with lab.aio.locked("lab.laser", wait=NEVER) as laser:
            await laser.move(1)
            started.append(True)
            await asyncio.sleep(NEVER)

    async def script():
        task = asyncio.ensure_future(block())
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(None, wait_for, lambda: started, 30, "the block has begun")
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await lab.aio.close()

    run(script)
    assert state(other["lab.laser"]) == "free"
    assert "off" in lines(running.record, first)


def test_sessions(running, both):
    lab, other = both

    async def script():
        async with lab.aio.session("lab.shutter", "lab.laser", wait=NEVER, name="cooldown", user="ada") as session:
            assert set(session.epochs) == {"lab.shutter", "lab.laser"}
            assert other["lab.laser"].lock_info()["user"] == "ada: cooldown"
            await session["lab.laser"].move(1)
        assert {state(other[name]) for name in ("lab.shutter", "lab.laser")} == {"free"}
        with other["lab.c"].locked(user="eve"), pytest.raises(ferrolab.LockError):
            async with lab.aio.session("lab.a", "lab.c", "lab.d"):
                pass
        assert {state(other[name]) for name in ("lab.a", "lab.d")} == {"free"}
        overlaps = await asyncio.gather(*[crowd(number) for number in range(6)])
        assert overlaps == [None] * 6
        assert other["lab.a"].overlaps() == []
        await lab.aio.close()

    async def crowd(number):
        names = ["lab.a", "lab.b", "lab.c", "lab.d"]
        for index in range(4):
            chosen = (names[(number + index) % 4 :] + names)[:3]
            chosen = list(dict.fromkeys(chosen))
            async with lab.aio.session(*chosen, wait=NEVER, user=str(number)) as session:
                await asyncio.gather(*[session[name].drive(str(number)) for name in chosen])

    run(script)
    assert SERVERS
