"""`python-client.py URL TOKEN WAY CALLS`: what an application with the official Python SDK does, 1.x or 2.x, whichever is installed.

WAY is `sse`, `http`, or with 2.x `auto` or a revision; CALLS is JSON, [[tool, arguments], ...]. Prints the tools' names, the answers and the revision.
"""

import asyncio
import json
import sys

url, token, way, calls = sys.argv[1], sys.argv[2], sys.argv[3], json.loads(sys.argv[4])
headers = {"Authorization": f"Bearer {token}"}


async def use(list_tools, call_tool, revision):
    names = [tool.name for tool in (await list_tools()).tools]
    answers = []
    for name, arguments in calls:
        try:
            result = await call_tool(name, arguments)
            answers.append(result.content[0].text)
        except Exception as error:
            answers.append(f"{type(error).__name__}: {error}")
    print(json.dumps({"tools": names, "answers": answers, "revision": revision()}))


async def session_over(streams):
    from mcp import ClientSession

    async with ClientSession(streams[0], streams[1]) as session:
        hello = await session.initialize()
        version = getattr(hello, "protocolVersion", None) or getattr(hello, "protocol_version", None)
        await use(session.list_tools, session.call_tool, lambda: version)


async def main():
    if way == "sse":
        from mcp.client.sse import sse_client

        async with sse_client(url, headers=headers) as streams:
            await session_over(streams)
        return
    from mcp.client.streamable_http import streamable_http_client

    if way == "http":
        import httpx

        async with httpx.AsyncClient(headers=headers, timeout=60) as http:
            async with streamable_http_client(url, http_client=http) as streams:
                await session_over(streams)
        return
    import httpx2
    from mcp import Client

    async with httpx2.AsyncClient(headers=headers, timeout=60) as http:
        async with Client(streamable_http_client(url, http_client=http), mode=way) as client:
            await use(client.list_tools, client.call_tool, lambda: client.protocol_version)


asyncio.run(main())
