"""List the tools of an MCP server and call one, with the official Python client.

Usage: list_and_call.py URL ERA TOOL ARGUMENTS, the token in MCP_TOKEN, ERA is legacy or modern.
Prints one JSON object: protocol_version, tools, result.
"""

import asyncio
import json
import os
import sys

import httpx2
from mcp.client.client import Client
from mcp.client.streamable_http import streamable_http_client

MODES = {"legacy": "legacy", "modern": "2026-07-28", "auto": "auto"}


async def main(url: str, era: str, tool: str, arguments: str) -> None:
    headers = {"Authorization": f"Bearer {os.environ['MCP_TOKEN']}"}
    async with httpx2.AsyncClient(headers=headers, timeout=30) as http_client:
        transport = streamable_http_client(url, http_client=http_client)
        async with Client(transport, mode=MODES[era]) as client:
            tools = []
            cursor = None
            while True:
                page = await client.list_tools(cursor=cursor)
                tools += [tool.name for tool in page.tools]
                cursor = page.next_cursor
                if cursor is None:
                    break
            result = await client.call_tool(tool, json.loads(arguments))
            print(
                json.dumps(
                    {
                        "protocol_version": client.protocol_version,
                        "tools": tools,
                        "result": result.model_dump(mode="json", by_alias=True, exclude_none=True),
                    }
                )
            )


asyncio.run(main(*sys.argv[1:]))
