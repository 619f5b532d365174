"""Just enough HTTP to ask our own processes how they are."""

import asyncio
import contextlib

_TIMEOUT = 3.0


async def get(host: str, port: int, path: str) -> tuple[int, str]:
    """Status and body of an answer; OSError when there is none."""
    try:
        async with asyncio.timeout(_TIMEOUT):
            reader, writer = await asyncio.open_connection(host, port)
            try:
                request = f"GET {path} HTTP/1.1\r\nHost: {host}\r\n"
                writer.write(f"{request}Connection: close\r\n\r\n".encode())
                head, _, body = (await reader.read()).partition(b"\r\n\r\n")
            finally:
                writer.close()
                with contextlib.suppress(OSError):
                    await writer.wait_closed()
    except TimeoutError as error:
        raise OSError(f"{host}:{port} does not answer") from error
    words = head.split(b" ", 2)
    if len(words) < 2 or not words[1].isdigit():
        raise OSError(f"{host}:{port} hung up")
    return int(words[1]), body.decode(errors="replace")
