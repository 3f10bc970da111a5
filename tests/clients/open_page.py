"""Calls a tool that first needs its user on a web page, with the official Python client.

Usage: open_page.py URL ERA TOOL, the token in MCP_TOKEN, ERA is legacy or modern.
Prints the page's URL, waits for a line on its input, goes on, and prints the tool's result as JSON.
"""

import asyncio
import os
import sys

import httpx2
from mcp import UrlElicitationRequiredError, types
from mcp.client.client import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError

MODES = {"legacy": "legacy", "modern": "2026-07-28"}
URL_ELICITATION_REQUIRED = -32042


async def visit(page: str) -> None:
    print(page, flush=True)
    await asyncio.to_thread(sys.stdin.readline)


async def asked(context, params) -> types.ElicitResult:
    assert params.mode == "url", params
    await visit(params.url)
    return types.ElicitResult(action="accept")


async def main(url: str, era: str, tool: str) -> None:
    headers = {"Authorization": f"Bearer {os.environ['MCP_TOKEN']}"}
    async with httpx2.AsyncClient(headers=headers, timeout=30) as http_client:
        transport = streamable_http_client(url, http_client=http_client)
        async with Client(transport, mode=MODES[era], elicitation_callback=asked) as client:
            try:
                result = await client.call_tool(tool, {})
            except MCPError as error:
                if error.error.code != URL_ELICITATION_REQUIRED:
                    raise
                required = UrlElicitationRequiredError.from_error(error.error)
                await visit(required.elicitations[0].url)
                result = await client.call_tool(tool, {})
            print(result.model_dump_json(by_alias=True, exclude_none=True))


asyncio.run(main(*sys.argv[1:]))
