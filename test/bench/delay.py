#!/usr/bin/env python3
"""A TCP proxy on loopback that delays what the server answers.

delay.py LISTEN_PORT SERVER_PORT MILLISECONDS
"""
import asyncio
import sys

LISTEN, SERVER, DELAY = int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]) / 1000


async def forward(reader, writer, delay):
    """Copies; each piece comes out delay seconds after it came in, in order."""
    loop = asyncio.get_running_loop()
    pieces = asyncio.Queue()

    async def deliver():
        while True:
            due, data = await pieces.get()
            if due > loop.time():
                await asyncio.sleep(due - loop.time())
            if not data:
                break
            writer.write(data)
            await writer.drain()
        writer.close()

    task = asyncio.ensure_future(deliver())
    try:
        while True:
            data = await reader.read(65536)
            pieces.put_nowait((loop.time() + delay, data))
            if not data:
                break
        await task
    except (ConnectionError, asyncio.CancelledError):
        task.cancel()
        writer.close()


async def serve(reader, writer):
    server_reader, server_writer = await asyncio.open_connection("127.0.0.1", SERVER)
    await asyncio.gather(forward(reader, server_writer, 0), forward(server_reader, writer, DELAY))


async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", LISTEN)
    async with server:
        await server.serve_forever()


asyncio.run(main())
