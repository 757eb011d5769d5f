"""Serve a model over HTTP with asyncio alone: `python examples/serve.py model.onnx [port]`.

POST / takes {"input name": nested list, ...} and answers {"output name": nested list, ...}; runs do not block others.
"""

import asyncio
import json
import sys

import arenaut
from arenaut.errors import ArenautError


async def answer(model: arenaut.Model, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    length = next((int(h.split(":")[1]) for h in head.split("\r\n") if h.lower().startswith("content-length:")), 0)
    try:
        feeds = json.loads(await reader.readexactly(length))
        outputs = await model.run_async(feeds, timeout=10)
        status, body = "200 OK", {name: value.tolist() for name, value in outputs.items()}
    except (ArenautError, ValueError) as error:
        status, body = "400 Bad Request", {"error": str(error)}
    data = json.dumps(body).encode()
    writer.write(f"HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {len(data)}\r\n\r\n".encode())
    writer.write(data)
    await writer.drain()
    writer.close()


async def serve(path: str, port: int) -> None:
    model = arenaut.load_onnx(path)
    server = await asyncio.start_server(lambda r, w: answer(model, r, w), "127.0.0.1", port)
    print(f"serving {model!r} on port {server.sockets[0].getsockname()[1]}", flush=True)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 8000))
