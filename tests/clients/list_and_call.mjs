// List the tools of an MCP server and call one, with the official TypeScript client.
//
// Usage: list_and_call.mjs URL ERA TOOL ARGUMENTS, the token in MCP_TOKEN, ERA is legacy or modern.
// Prints one JSON object: protocol_version, tools, result.

import { createRequire } from 'node:module';

// The packages are installed beside this folder, not above it.
const require = createRequire(new URL('../node/package.json', import.meta.url));
const { Client, StreamableHTTPClientTransport } = require('@modelcontextprotocol/client');

const [url, era, tool, args] = process.argv.slice(2);
const mode = { legacy: 'legacy', auto: 'auto', modern: { pin: '2026-07-28' } }[era];
const client = new Client(
    { name: 'proctor-test-typescript', version: '1.0.0' },
    { versionNegotiation: { mode } },
);
const headers = { Authorization: `Bearer ${process.env.MCP_TOKEN}` };
await client.connect(new StreamableHTTPClientTransport(new URL(url), { requestInit: { headers } }));

const tools = [];
let cursor;
do {
    const page = await client.listTools(cursor === undefined ? undefined : { cursor });
    tools.push(...page.tools.map(({ name }) => name));
    cursor = page.nextCursor;
} while (cursor !== undefined);

const result = await client.callTool({ name: tool, arguments: JSON.parse(args) });
console.log(
    JSON.stringify({
        protocol_version: client.getNegotiatedProtocolVersion?.() ?? null,
        tools,
        result,
    }),
);
await client.close();
