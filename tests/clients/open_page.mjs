// Calls a tool that first needs its user on a web page, with the official TypeScript client.
//
// Usage: open_page.mjs URL ERA TOOL, the token in MCP_TOKEN, ERA is legacy or modern.
// Prints the page's URL, waits for a line on its input, goes on, and prints the tool's result as JSON.

import { createRequire } from 'node:module';
import { once } from 'node:events';

// The packages are installed beside this folder, not above it.
const require = createRequire(new URL('../node/package.json', import.meta.url));
const { Client, StreamableHTTPClientTransport, UrlElicitationRequiredError } = require('@modelcontextprotocol/client');

const [url, era, tool] = process.argv.slice(2);
const mode = { legacy: 'legacy', modern: { pin: '2026-07-28' } }[era];
const client = new Client(
    { name: 'proctor-test-typescript', version: '1.0.0' },
    { versionNegotiation: { mode }, capabilities: { elicitation: { url: {} } } },
);

async function visit(page) {
    console.log(page);
    await once(process.stdin, 'data');
}

client.setRequestHandler('elicitation/create', async ({ params }) => {
    if (params.mode !== 'url') throw new Error(`asked for ${params.mode}`);
    await visit(params.url);
    return { action: 'accept' };
});
const headers = { Authorization: `Bearer ${process.env.MCP_TOKEN}` };
await client.connect(new StreamableHTTPClientTransport(new URL(url), { requestInit: { headers } }));

const call = () => client.callTool({ name: tool, arguments: {} });
let result;
try {
    result = await call();
} catch (error) {
    if (!(error instanceof UrlElicitationRequiredError)) throw error;
    await visit(error.elicitations[0].url);
    result = await call();
}
console.log(JSON.stringify(result));
await client.close();
process.stdin.destroy();
