// Stands in for the program that starts mcp-remote: starts the command of its arguments, lists the tools, calls one.
import { Client } from '@modelcontextprotocol/client';
import { StdioClientTransport } from '@modelcontextprotocol/client/stdio';

const [command, ...args] = process.argv.slice(2);
const client = new Client({ name: 'host', version: '1' });
await client.connect(new StdioClientTransport({ command, args, env: process.env }));
console.log((await client.listTools()).tools.length);
console.log((await client.callTool({ name: 'get_uptime', arguments: {} })).structuredContent);
await client.close();
