"""The PyPI client starts the command it is given, in both eras, lists the tools and calls one."""

import asyncio
import sys

from mcp import Client
from mcp.client.stdio import StdioServerParameters, stdio_client


async def main(mode):
    program = StdioServerParameters(command=sys.argv[1], args=sys.argv[2:])
    async with Client(stdio_client(program), mode=mode) as client:
        print(client.protocol_version, len((await client.list_tools()).tools))
        result = await client.call_tool("get_uptime", {})
        print(result.is_error, result.structured_content["uptime_seconds"] > 0)


asyncio.run(main("auto"))
asyncio.run(main("legacy"))
