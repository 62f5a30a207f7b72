"""A client that does not parse HTTP, and so hides nothing."""

import asyncio

GET = b"GET /keys?offset=100 HTTP/1.1\r\nHost: x\r\n\r\n"


async def talk(port: int, request: bytes = GET, *, within: float = 3.0) -> tuple[bytes, str]:
    """Send a request; return all bytes received and what ended them: FIN, RST or silence."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    received = b""
    ending = "fin"
    try:
        writer.write(request)
        async with asyncio.timeout(within):
            while data := await reader.read(65536):
                received += data
    except ConnectionResetError:
        ending = "reset"
    except TimeoutError:
        ending = "silence"
    finally:
        writer.close()
        await asyncio.gather(writer.wait_closed(), return_exceptions=True)
    return received, ending
