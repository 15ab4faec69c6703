// `doorward connect` as a client would start it, and what came back.
import readline from 'node:readline';

import { doorward, file, start } from './place.mjs';

const INITIALIZE = {
  method: 'initialize',
  params: { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'issuer', version: '1' } },
};
export const CALL = { method: 'tools/call', params: { name: 'get_uptime', arguments: {} } };

// The options for a client of the authorization server; `more` comes last.
export function options(server, client, more = []) {
  const [kind, alg] = client.split('-');
  const key = kind === 'cert' ? [] : ['--oauth-client-key', file(`client-${alg}.pem`), '--oauth-client-alg', alg];
  return ['--oauth-client-id', client, '--oauth-issuer', server.issuer, '--oauth-ca', file('ca/ca.crt'), '--oauth-scope', 'core', ...key, ...more];
}

export class Bridge {
  constructor(door, words, certificate = 'agent') {
    const common = ['--ca', file('ca/ca.crt'), '--cert', file(`${certificate}.crt`), '--key', file(`${certificate}.key`)];
    this.child = start(doorward, ['connect', door.url, ...common, ...words]);
    this.waiting = new Map();
    this.next = 0;
    this.complaints = '';
    this.child.stderr.setEncoding('utf8').on('data', (text) => { this.complaints += text; });
    readline.createInterface({ input: this.child.stdout }).on('line', (line) => {
      const answer = JSON.parse(line);
      this.waiting.get(answer.id)?.(answer);
      this.waiting.delete(answer.id);
    });
    this.ended = new Promise((done) => this.child.on('exit', () => {
      this.waiting.forEach((answered, id) => answered({ id, error: { message: `the bridge ended: ${this.complaints}` } }));
      done();
    }));
  }

  // Sends a request; '' when it went well, else what was said.
  async say(request) {
    const id = this.next += 1;
    const answered = new Promise((done) => this.waiting.set(id, done));
    this.child.stdin.write(`${JSON.stringify({ jsonrpc: '2.0', id, ...request })}\n`);
    const { result, error } = await answered;
    return result && !result.isError ? '' : error?.message ?? JSON.stringify(result);
  }

  // What a client does first.
  begin() {
    return this.say(INITIALIZE);
  }

  // The whole way.
  async use() {
    return await this.begin() || this.say(CALL);
  }

  async end() {
    this.child.stdin.end();
    await this.ended;
  }
}

// So many callers at once, each with one call after the other, until told to stop.
export class Load {
  static async on(bridge, callers) {
    const said = await bridge.use();
    if (said) throw new Error(said);
    return new Load(bridge, callers);
  }

  constructor(bridge, callers) {
    this.bridge = bridge;
    this.calls = 0;
    this.refused = [];
    this.times = [];
    this.going = true;
    this.start = performance.now();
    this.callers = Array.from({ length: callers }, () => this.#call());
  }

  async #call() {
    while (this.going) {
      const start = performance.now();
      const said = await this.bridge.say(CALL);
      this.times.push(performance.now() - start);
      this.calls += 1;
      if (said) this.refused.push(said);
    }
  }

  async stop() {
    this.going = false;
    await Promise.all(this.callers);
    this.seconds = (performance.now() - this.start) / 1000;
    await this.bridge.end();
    this.times.sort((one, other) => one - other);
    const at = (share) => this.times[Math.min(this.times.length - 1, Math.floor(this.times.length * share))].toFixed(1);
    return `${this.calls} calls in ${this.seconds.toFixed(0)} s (${(this.calls / this.seconds).toFixed(0)}/s, p50 ${at(0.5)} ms, p99 ${at(0.99)} ms)`;
  }
}
