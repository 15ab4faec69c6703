// Stands in for the model behind Claude Code, on 127.0.0.1: asks once for the tool named in the arguments, then says what
// the tool answered. Prints its port.
import { createServer } from 'node:http';

const wanted = process.argv[2];

/** What was answered to the last call, as text; undefined when nothing was called yet. */
const answered = (messages) => {
  const parts = messages.flatMap(({ content }) => (Array.isArray(content) ? content : []));
  const result = parts.findLast(({ type }) => type === 'tool_result');
  return result && JSON.stringify(result.content);
};

const reply = ({ messages = [], tools = [] }) => {
  const answer = answered(messages);
  const offered = tools.some(({ name }) => name === wanted);
  if (answer === undefined && offered) {
    const start = { type: 'tool_use', id: 'toolu_1', name: wanted, input: {} };
    return ['tool_use', start, { type: 'input_json_delta', partial_json: '{}' }];
  }
  const text = answer ?? `${wanted} is not among the tools: ${tools.map(({ name }) => name).join(' ')}`;
  return ['end_turn', { type: 'text', text: '' }, { type: 'text_delta', text }];
};

const events = (asked) => {
  const [stop_reason, content_block, delta] = reply(asked);
  const message = { id: 'msg_1', type: 'message', role: 'assistant', model: asked.model, content: [] };
  const usage = { input_tokens: 1, output_tokens: 1 };
  return [
    { type: 'message_start', message: { ...message, stop_reason: null, stop_sequence: null, usage } },
    { type: 'content_block_start', index: 0, content_block },
    { type: 'content_block_delta', index: 0, delta },
    { type: 'content_block_stop', index: 0 },
    { type: 'message_delta', delta: { stop_reason, stop_sequence: null }, usage },
    { type: 'message_stop' },
  ];
};

const server = createServer(async (request, response) => {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  if (request.method !== 'POST' || !request.url.startsWith('/v1/messages?') && request.url !== '/v1/messages') {
    response.writeHead(404).end();
    return;
  }
  response.writeHead(200, { 'content-type': 'text/event-stream' });
  for (const event of events(JSON.parse(Buffer.concat(chunks)))) {
    response.write(`event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`);
  }
  response.end();
});
server.listen(0, '127.0.0.1', () => console.log(server.address().port));
