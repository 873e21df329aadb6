"""A model server that takes a millisecond for a request, beside what the protocol takes. It needs the standard library only."""

import asyncio
import os


async def serve(reader, writer):
    while head := await reader.readuntil(b"\r\n\r\n"):
        length = 0
        for line in head.split(b"\r\n"):
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        body = await reader.readexactly(length)
        if body:
            await asyncio.sleep(0.001)
        status = b"404 Not Found" if head.startswith(b"GET /execution-parameters ") else b"200 OK"
        writer.write(b"HTTP/1.1 " + status + b"\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        await writer.drain()


async def guarded(reader, writer):
    try:
        await serve(reader, writer)
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


async def main():
    server = await asyncio.start_server(guarded, os.environ["BIND_HOST"], int(os.environ["SAGEMAKER_BIND_TO_PORT"]))
    await server.serve_forever()


asyncio.run(main())
