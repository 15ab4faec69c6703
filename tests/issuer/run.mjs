// What scripts/issuer shows: tokens of a real authorization server at a real door. Any surprise ends it with status 1.
import crypto from 'node:crypto';
import fs from 'node:fs';

import { Bridge, CALL, Load, options } from './bridge.mjs';
import {
  ALGORITHMS, PACE, RESOURCE, ask, authorizationServer, certificates, clean, door, file, freePort, present, shell, sleep,
} from './place.mjs';

// The blocks of the document by language.
const recipe = { sh: [], yaml: [] };
for (const [, language, text] of fs.readFileSync('docs/issuers.md', 'utf8').matchAll(/^```(\w+)\n(.*?)^```$/gms)) {
  recipe[language].push(text);
}

const wrong = [];
const figures = { accepted: 0, refused: 0, checks: 0, fresh: 0 };

function check(what, holds, said = '') {
  figures.checks += 1;
  if (!holds) wrong.push(`${what}: ${said}`);
  console.log(`${holds ? '  ok ' : 'WRONG'} ${what}${holds ? '' : `: ${said}`}`);
}

// What should run, runs.
function runs(what, said) {
  figures[said ? 'refused' : 'accepted'] += 1;
  check(what, said === '', said);
}

function fails(what, said, expected) {
  check(what, said.includes(expected) && !said.includes('eyJ'), `expected ${expected}, got '${said}'`);
}

async function recipes({ server }) {
  console.log('\ndocs/issuers.md');
  let auth = recipe.yaml[0];
  for (const [from, to] of [
    ['https://auth.example.com', server.issuer],
    ['https://mcp.example.com:8443/mcp', RESOURCE],
    ['/etc/doorward/jwks-ca.pem', file('ca/ca.crt')],
  ]) {
    if (!auth.includes(from)) throw new Error(`docs/issuers.md no longer says ${from}`);
    auth = auth.replaceAll(from, to);
  }
  const at = await door('documented', server.issuer, { auth, audience: RESOURCE });
  await ready(at, server);
  const places = {
    DOOR: at.url, CA: file('ca/ca.crt'), CERT: file('agent.crt'), KEY: file('agent.key'),
    ISSUER: server.issuer, ISSUER_CA: file('ca/ca.crt'), RESOURCE,
  };
  for (const command of recipe.sh.slice(1)) {
    const said = shell(command, places);
    check(command.match(/--oauth-client-id \S+/)[0], said.includes('"isError":false') && !said.includes('"error"'), said);
  }
}

async function eachWayIn({ server, free, bound }) {
  console.log('\nclient credentials: each algorithm, each proof');
  for (const alg of ALGORITHMS) {
    for (const [client, at, more] of [
      [`key-${alg}`, free, []],
      [`bound-${alg}`, bound, ['--oauth-resource', RESOURCE]],
      [`cert-${alg}`, bound, ['--oauth-resource', RESOURCE]],
    ]) {
      const bridge = new Bridge(at, options(server, client, more));
      runs(`${client}: a token for ${at.audience === RESOURCE ? 'the resource' : 'the URL'}`, await bridge.use());
      await bridge.end();
    }
  }
  const unseen = ['--oauth-client-id', 'key-ES256', '--oauth-token-endpoint', server.endpoint, '--oauth-ca', file('ca/ca.crt'),
    '--oauth-scope', 'core', '--oauth-client-key', file('client-ES256.pem')];
  const bridge = new Bridge(free, unseen);
  runs('a token endpoint that is named, not looked up', await bridge.use());
  await bridge.end();
}

async function eachWayOut({ server, free, bound }) {
  console.log('\nwhat must not work');
  const tries = async (what, at, words, expected, certificate = 'agent') => {
    const bridge = new Bridge(at, words, certificate);
    fails(what, await bridge.use(), expected);
    await bridge.end();
    check(`${what}: no token in what is said`, !bridge.complaints.includes('eyJ'), 'there is one');
  };
  const resource = ['--oauth-resource', RESOURCE];
  await tries('an unbound token where it must be bound', bound, options(server, 'key-ES256', resource), 'token_unbound');
  await tries('a token for another audience', free, options(server, 'key-ES256', resource), 'token_audience');
  await tries('a resource that is not there', free, options(server, 'key-ES256', ['--oauth-resource', 'https://no.example']), 'invalid_target');
  const scopeless = options(server, 'key-ES256').filter((word) => !['--oauth-scope', 'core'].includes(word));
  await tries('a token without a scope', free, scopeless, 'insufficient_scope');
  const stranger = ['--oauth-client-id', 'key-ES256', '--oauth-issuer', server.issuer, '--oauth-ca', file('ca/ca.crt'), '--oauth-client-key', file('stranger.pem')];
  await tries('a key that is not the client\'s', free, stranger, 'invalid_client');
  await tries('a certificate that is not the client\'s', bound, options(server, 'cert-ES256', resource), 'invalid_client', 'other');
  const similar = options({ ...server, issuer: `${server.issuer}/` }, 'key-ES256');
  await tries('an issuer that calls itself otherwise', free, similar, 'calls itself');
  const untrusting = options(server, 'key-ES256').map((word) => (word === file('ca/ca.crt') ? '/etc/ssl/certs/ca-certificates.crt' : word));
  await tries('an authorization server that nobody vouches for', free, untrusting, 'metadata cannot be had');

  const token = await ask(server, 'cert-ES256', RESOURCE);
  fails('a bound token with another certificate', await present(bound, token, 'other'), 'token_binding');
  runs('the same token with its own', await present(bound, token));
  fails('and once more', await present(bound, token), 'token_replayed');
}

// Callers that never stop, while keys come and go.
async function rotation({ server, free, bound, again }) {
  console.log('\nkeys come and go under load');
  const resource = ['--oauth-resource', RESOURCE];
  const loads = [
    await Load.on(new Bridge(bound, options(server, 'cert-ES256', resource)), 4),
    await Load.on(new Bridge(free, options(server, 'key-EdDSA')), 4),
  ];
  // Somebody with a certificate and tokens of unknown keys, who would use up the right to ask for new keys.
  const noise = { going: true, count: 0, passed: 0 };
  const noisy = (async () => {
    const { privateKey } = crypto.generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const part = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
    while (noise.going) {
      const input = `${part({ alg: 'ES256', typ: 'at+jwt', kid: crypto.randomUUID() })}.${part({})}`;
      const signature = crypto.sign('sha256', Buffer.from(input), { key: privateKey, dsaEncoding: 'ieee-p1363' });
      const said = await present(bound, `${input}.${signature.toString('base64url')}`, 'other');
      noise.count += 1;
      if (said !== 'token_key_unknown') noise.passed += 1;
      await sleep(100);
    }
  })();

  await sleep(2000);
  for (let round = 0; round < 2; round += 1) {
    await server.tell('publish');
    await sleep((PACE.interval + PACE.timeout) * 1000 + 500);
    const { keys } = await server.tell('switch');
    console.log(`     announced: signing with ${keys.slice(0, 4).join(' ')}`);
    await sleep(2000);
    await server.tell('withdraw');
    await sleep(2000);
  }
  noise.going = false;
  await noisy;
  check(`${noise.count} tokens of unknown keys are refused as such meanwhile`, noise.passed === 0 && noise.count > 50, `${noise.passed} were not, of ${noise.count}`);
  await sleep(1500);
  for (let round = 0; round < 2; round += 1) {
    const { keys } = await server.tell('rotate');
    console.log(`     unannounced: signing with ${keys.slice(0, 4).join(' ')}`);
    await sleep(3000);
  }

  // Tokens with a long life, all of the key that is about to go.
  const stock = Object.fromEntries(await Promise.all(ALGORITHMS.map(async (alg) => {
    const tokens = [];
    for (let count = 0; count < 90; count += 1) tokens.push(await ask(server, `cert-${alg}`, RESOURCE));
    return [alg, tokens];
  })));
  const kept = await ask(server, 'key-ES256', RESOURCE);
  await server.tell('publish');
  await sleep((PACE.interval + PACE.timeout) * 1000 + 500);
  await server.tell('switch');
  for (const alg of ALGORITHMS) runs(`${alg}: a token of the old key while that is published`, await present(bound, stock[alg].pop()));
  runs('one that is used again', await present(again, kept));
  const declared = (PACE.interval + PACE.timeout) * 1000;
  const { keys } = await server.tell('withdraw');
  const start = performance.now();
  console.log(`     withdrawn: what is left is ${keys.join(' ')}; the declared time is ${declared} ms`);
  const watch = async (next, at) => {
    let [last, first, late] = [0, 0, 0];
    while (performance.now() - start < declared + 1500) {
      const sent = performance.now() - start;
      const said = await present(at, next());
      if (said === '') {
        last = sent;
        if (first) late += 1;
      } else if (said === 'token_key_unknown') {
        first ||= performance.now() - start;
      } else {
        wrong.push(`a withdrawn key: ${said}`);
      }
      await sleep(50);
    }
    return { last, first, late };
  };
  const watched = await Promise.all([
    ...ALGORITHMS.map(async (alg) => [alg, await watch(() => stock[alg].pop(), bound)]),
    ['used again', await watch(() => kept, again)],
  ]);
  figures.withdrawal = [];
  for (const [what, { last, first, late }] of watched) {
    figures.withdrawal.push(`${what} ${first.toFixed(0)} ms`);
    const holds = first > 0 && last <= declared && late === 0;
    check(`${what}: refused ${first.toFixed(0)} ms after the withdrawal, and from then on`, holds, `accepted at ${last.toFixed(0)} ms, ${late} after a refusal`);
  }
  for (const load of loads) {
    const told = await load.stop();
    figures.fresh += load.calls;
    figures.accepted += load.calls - load.refused.length;
    figures.refused += load.refused.length;
    check(`no valid token was refused: ${told}`, load.refused.length === 0, `${load.refused.length}: ${[...new Set(load.refused)].join('; ')}`);
  }
}

async function outage({ server, free }) {
  console.log('\nthe key set cannot be had');
  const tokens = [];
  for (let count = 0; count < 150; count += 1) tokens.push(await ask(server, 'key-ES256', free.audience));
  await server.tell('hush');
  const start = performance.now();
  const passed = () => performance.now() - start;
  let [accepted, last, first] = [0, 0, 0];
  const longest = (PACE.stale + PACE.interval) * 1000;
  while (!first && passed() < longest + 2000) {
    const sent = passed();
    const said = await present(free, tokens.pop());
    if (said === '') [accepted, last] = [accepted + 1, sent];
    else if (said === 'keys_unavailable') first = passed();
    else wrong.push(`without a key set: ${said}`);
    await sleep(100);
  }
  figures.accepted += accepted;
  const least = (PACE.stale - PACE.interval) * 1000;
  check(`the last good keys serve for ${first.toFixed(0)} ms, then nobody gets in`, last > least && first && first <= PACE.stale * 1000 + 500, `${last} to ${first}`);
  await server.tell('speak');
  const back = performance.now();
  let said = 'nothing';
  while (said && performance.now() - back < 5000) {
    said = await present(free, await ask(server, 'key-ES256', free.audience));
    await sleep(100);
  }
  runs(`and ${(performance.now() - back).toFixed(0)} ms after the issuer is back they do again`, said);
}

async function reuse({ server, free, again }) {
  console.log('\na token that serves until shortly before it expires');
  const resource = ['--oauth-resource', RESOURCE, '--oauth-reuse'];
  const issued = async () => (await server.tell('count')).issued;
  let before = await issued();
  const bridge = new Bridge(again, options(server, 'key-ES256', resource));
  await bridge.begin();
  const said = await Promise.all(Array.from({ length: 32 }, () => bridge.say(CALL)));
  runs('32 calls at once', said.find((text) => text) ?? '');
  await bridge.end();
  check('take one token', await issued() - before === 1, `${await issued() - before}`);

  before = await issued();
  const load = await Load.on(new Bridge(again, options(server, 'short-ES256', resource)), 8);
  await sleep(20_000);
  const told = await load.stop();
  const tokens = await issued() - before;
  figures.accepted += load.calls - load.refused.length;
  figures.refused += load.refused.length;
  check(`tokens of 8 s are renewed in time: ${tokens} for ${told}`, load.refused.length === 0 && tokens >= 3 && tokens <= 5, [...new Set(load.refused)].join('; '));

  const mistaken = new Bridge(free, options(server, 'key-ES256', ['--oauth-reuse']));
  runs('where a token is accepted once, the first request', await mistaken.begin());
  fails('the second', await mistaken.say(CALL), 'token_replayed');
  runs('and with a new token the third', await mistaken.say(CALL));
  await mistaken.end();
}

async function ready(at, server) {
  const deadline = performance.now() + 20_000;
  let said = 'nothing';
  while (said && performance.now() < deadline) {
    await sleep(100);
    said = await ask(server, 'cert-ES256', at.audience).then((token) => present(at, token)).catch((error) => error.message);
  }
  if (said) throw new Error(`a door does not open: ${said}`);
}

async function main() {
  certificates();
  shell(recipe.sh[0], {});
  const port = await freePort();
  const server = await authorizationServer([`https://localhost:${port}/mcp`, RESOURCE]);
  const free = await door('free', server.issuer, {}, port);
  const bound = await door('bound', server.issuer, { audience: RESOURCE, jwt: '    require_cert_binding: true' });
  const again = await door('again', server.issuer, { audience: RESOURCE, jwt: '    replay: sender_bound' });
  const place = { server, free, bound, again };
  for (const at of [free, bound, again]) await ready(at, server);
  for (const part of [recipes, eachWayIn, eachWayOut, rotation, outage, reuse]) await part(place);
}

process.on('unhandledRejection', (error) => wrong.push(error.stack));
const late = new AbortController();
const deadline = sleep(300_000, undefined, { signal: late.signal }).then(() => { throw new Error('it takes longer than five minutes'); });
try {
  await Promise.race([main(), deadline]);
} catch (error) {
  wrong.push(error.stack);
}
deadline.catch(() => {});
late.abort();
await clean();
wrong.forEach((problem) => console.error(`WRONG ${problem}`));
console.log(`\nissuer: ${figures.checks} checks, ${wrong.length} wrong; ${figures.accepted} calls with a valid token ran and ${figures.refused} were refused, `
  + `${figures.fresh} of them with a token each while keys changed; withdrawn key refused after ${figures.withdrawal?.join(', ') ?? 'never'}`);
process.exit(wrong.length ? 1 : 0);
