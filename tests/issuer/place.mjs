// A place to test in: certificates, an authorization server and doors, each a process of its own, all gone at the end.
import { execFileSync, spawn } from 'node:child_process';
import crypto from 'node:crypto';
import fs from 'node:fs';
import https from 'node:https';
import net from 'node:net';
import path from 'node:path';
import readline from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';

export const ALGORITHMS = ['ES256', 'RS256', 'PS256', 'EdDSA'];
export const RESOURCE = 'https://door.example/mcp';
// What the doors declare: seconds between fetches, between fetches that a token caused, of a fetch, of use without any.
export const PACE = { interval: 2, least: 1, timeout: 1, stale: 6 };

const doorward = process.env.DOORWARD;
const root = process.env.PLACE;
const processes = [];

export const file = (name) => path.join(root, name);
export { doorward, sleep };

function run(...words) {
  execFileSync(doorward, words, { stdio: ['ignore', 'ignore', 'inherit'] });
}

// Runs the text of a shell, as a person would who has doorward on the path.
export function shell(text, variables) {
  const env = { ...process.env, ...variables, PATH: `${path.dirname(doorward)}:${process.env.PATH}` };
  return execFileSync('bash', ['-euo', 'pipefail', '-c', text], { cwd: root, env, encoding: 'utf8', timeout: 20_000 });
}

async function freePort() {
  const server = net.createServer();
  await new Promise((done) => server.listen(0, '127.0.0.1', done));
  const { port } = server.address();
  await new Promise((done) => server.close(done));
  return port;
}

// A process that ends with this one.
export function start(command, words, complaints = 'pipe') {
  const child = spawn(command, words, { stdio: ['pipe', 'pipe', complaints] });
  processes.push(child);
  child.on('exit', () => { child.gone = true; });
  return child;
}

const log = (name) => fs.openSync(file(`${name}.log`), 'a');

export async function clean() {
  processes.forEach((child) => child.kill('SIGTERM'));
  for (let tries = 0; tries < 50 && processes.some((child) => !child.gone); tries += 1) await sleep(100);
  processes.filter((child) => !child.gone).forEach((child) => child.kill('SIGKILL'));
}

export function certificates() {
  run('pki', 'init', '--dir', file('ca'));
  run('pki', 'issue', 'server', '--dir', file('ca'), '--name', 'localhost', '--out', file('server'));
  for (const name of ['agent', 'other']) {
    run('pki', 'issue', 'client', '--dir', file('ca'), '--cn', name, '--out', file(name));
  }
  for (const alg of ALGORITHMS) run('token', 'keygen', '--alg', alg, '--out', file(`client-${alg}.pem`));
  run('token', 'keygen', '--out', file('stranger.pem'));
}

// Clients by name: how they prove themselves, perhaps more, and the algorithm of their tokens.
function clients() {
  const plain = { grant_types: ['client_credentials'], redirect_uris: [], response_types: [] };
  const byKey = (name, alg, more = {}) => ({
    ...plain,
    ...more,
    client_id: `${name}-${alg}`,
    token_endpoint_auth_method: 'private_key_jwt',
    token_endpoint_auth_signing_alg: alg,
    jwks: JSON.parse(fs.readFileSync(file(`client-${alg}.jwks.json`), 'utf8')),
  });
  const bound = { tls_client_certificate_bound_access_tokens: true };
  const byCertificate = (alg) => ({
    ...plain,
    ...bound,
    client_id: `cert-${alg}`,
    token_endpoint_auth_method: 'tls_client_auth',
    tls_client_auth_subject_dn: 'CN=agent',
  });
  // Those of docs/issuers.md.
  const documented = JSON.parse(fs.readFileSync(file('agent.jwks.json'), 'utf8'));
  return [
    { ...byKey('documented', 'ES256', bound), client_id: 'agent', jwks: documented },
    { ...byCertificate('ES256'), client_id: 'agent-by-certificate' },
    ...ALGORITHMS.flatMap((alg) => [byKey('key', alg), byKey('bound', alg, bound), byCertificate(alg)]),
    byKey('short', 'ES256'),
  ];
}

export async function authorizationServer(resources) {
  const ports = [await freePort(), await freePort()];
  const settings = { key: file('server.key'), cert: file('server.crt'), ca: file('ca/ca.crt'), ports, resources };
  fs.writeFileSync(file('idp.json'), JSON.stringify({ ...settings, clients: clients() }));
  const child = start(process.execPath, [process.env.IDP, file('idp.json')], log('idp'));
  const lines = readline.createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const said = async () => JSON.parse((await lines.next()).value);
  const { issuer } = await said();
  return {
    issuer,
    // Changes what is served, and says how many tokens were issued so far.
    async tell(command) {
      child.stdin.write(`${command}\n`);
      return said();
    },
    endpoint: `https://localhost:${ports[1]}/token`,
  };
}

// A door; without `audience` that is its own address. `auth` is the whole section instead.
export async function door(name, issuer, { jwt = '', audience, auth } = {}, port = undefined) {
  const at = port ?? await freePort();
  const url = `https://localhost:${at}/mcp`;
  const own = `auth:
  jwt:
    issuer: ${issuer}
    audience: ${audience ?? url}
    jwks_uri: ${issuer}/jwks
    jwks_ca: ${file('ca/ca.crt')}
    jwks_refresh_interval: ${PACE.interval}
    jwks_min_refresh: ${PACE.least}
    jwks_timeout: ${PACE.timeout}
    jwks_max_stale: ${PACE.stale}
${jwt}`;
  fs.writeFileSync(file(`${name}.yaml`), `transport: https
tls:
  bind: 127.0.0.1:${at}
  cert: ${file('server.crt')}
  key: ${file('server.key')}
  client_ca: ${file('ca/ca.crt')}
  allowed_subjects: [CN=agent, CN=other]
${auth ?? own}
scopes: {core: [get_uptime]}
resources: {max_concurrent_queries: 64}
# Tokens of keys that are gone are sent on purpose, over and over.
budgets: {failures: {free: 1000000}}
audit: {path: ${file(`${name}.audit.jsonl`)}}
metrics: {enabled: false}
`);
  start(doorward, ['serve', '--config', file(`${name}.yaml`)], log(name));
  return { url, audience: audience ?? url };
}

export { freePort };

const agents = Object.fromEntries(['agent', 'other', 'nobody'].map((name) => {
  const shown = name === 'nobody' ? {} : { key: () => fs.readFileSync(file(`${name}.key`)), cert: () => fs.readFileSync(file(`${name}.crt`)) };
  let made;
  return [name, () => {
    made ??= new https.Agent({
      keepAlive: true, maxSockets: 8, ca: fs.readFileSync(file('ca/ca.crt')), key: shown.key?.(), cert: shown.cert?.(),
    });
    return made;
  }];
}));

export function post(url, certificate, headers, body) {
  return new Promise((done, failed) => {
    const request = https.request(url, { method: 'POST', agent: agents[certificate](), headers, timeout: 10_000 }, (reply) => {
      let text = '';
      reply.setEncoding('utf8').on('data', (part) => { text += part; }).on('end', () => done({ status: reply.statusCode, text }));
    });
    request.on('timeout', () => request.destroy(new Error('no answer in 10 s'))).on('error', failed).end(body);
  });
}

// Presents a token with a call: '' when it ran, else the reason of the refusal.
export async function present(door, token, certificate = 'agent') {
  const call = { jsonrpc: '2.0', id: 1, method: 'tools/call', params: { name: 'get_uptime', arguments: {} } };
  const { text } = await post(door.url, certificate, {
    authorization: `Bearer ${token}`,
    'content-type': 'application/json',
    accept: 'application/json, text/event-stream',
    'mcp-protocol-version': '2025-11-25',
  }, JSON.stringify(call));
  const answer = JSON.parse(text);
  return answer.result && !answer.result.isError ? '' : answer.error?.data?.reason ?? text;
}

// A token, asked for without doorward: by certificate, or with an assertion made here.
export async function ask(server, client, resource, certificate = 'agent') {
  const form = new URLSearchParams({ grant_type: 'client_credentials', client_id: client, scope: 'core', resource });
  const [kind, alg] = client.split('-');
  if (kind !== 'cert') {
    const { kid } = JSON.parse(fs.readFileSync(file(`client-${alg}.jwks.json`), 'utf8')).keys[0];
    const at = Math.floor(Date.now() / 1000);
    const claims = { iss: client, sub: client, aud: server.issuer, jti: crypto.randomUUID(), iat: at, exp: at + 60 };
    const input = [{ alg, kid }, claims].map((part) => Buffer.from(JSON.stringify(part)).toString('base64url')).join('.');
    const key = crypto.createPrivateKey(fs.readFileSync(file(`client-${alg}.pem`)));
    const padding = alg === 'PS256' ? { padding: crypto.constants.RSA_PKCS1_PSS_PADDING, saltLength: 32 } : {};
    const signature = crypto.sign(alg === 'EdDSA' ? null : 'sha256', Buffer.from(input), { key, dsaEncoding: 'ieee-p1363', ...padding });
    form.set('client_assertion_type', 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer');
    form.set('client_assertion', `${input}.${signature.toString('base64url')}`);
  }
  const headers = { 'content-type': 'application/x-www-form-urlencoded' };
  const { text } = await post(server.endpoint, certificate, headers, form.toString());
  const token = JSON.parse(text).access_token;
  if (!token) throw new Error(`no token for ${client}: ${text}`);
  return token;
}
