// An authorization server for the tests of scripts/issuer: oidc-provider over TLS, with keys that change when told.
//
// Started with one argument, a JSON file: { key, cert, ca, ports: [plain, mutual], resources, clients }. The first port asks
// for no certificate; the second does, and is the alias for clients that show one (RFC 8705 section 5). Commands come as
// lines on standard input; each is answered by one line of JSON on standard output.
import crypto from 'node:crypto';
import fs from 'node:fs';
import https from 'node:https';
import readline from 'node:readline';

import Provider, { errors } from 'oidc-provider';

const settings = JSON.parse(fs.readFileSync(process.argv[2], 'utf8'));
const [plainPort, mutualPort] = settings.ports;
const issuer = `https://localhost:${plainPort}`;
const LIFE = 300;
const SHORT_LIFE = 8;

// Standard output is for answers only.
console.info = console.error;

let generation = 0;
let published = [];
let issued = 0;
let serving;
let silent = false;

// One key for each algorithm.
function generate() {
  generation += 1;
  const kinds = {
    ES256: ['ec', { namedCurve: 'P-256' }],
    RS256: ['rsa', { modulusLength: 2048 }],
    PS256: ['rsa', { modulusLength: 2048 }],
    EdDSA: ['ed25519', {}],
  };
  return Object.entries(kinds).map(([alg, [kind, options]]) => ({
    ...crypto.generateKeyPairSync(kind, options).privateKey.export({ format: 'jwk' }),
    alg,
    use: 'sig',
    kid: `${alg}-${generation}`,
  }));
}

// The algorithm of a client's tokens is the last part of its name, or ES256.
function algorithm(client) {
  const last = client.clientId.split('-').pop();
  return ['RS256', 'PS256', 'EdDSA'].includes(last) ? last : 'ES256';
}

// The first key for an algorithm is the one that signs.
function serve() {
  const provider = new Provider(issuer, {
    jwks: { keys: published.flat() },
    clients: settings.clients,
    clientAuthMethods: ['private_key_jwt', 'tls_client_auth'],
    discovery: { mtls_endpoint_aliases: { token_endpoint: `https://localhost:${mutualPort}/token` } },
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      mTLS: {
        enabled: true,
        certificateBoundAccessTokens: true,
        tlsClientAuth: true,
        getCertificate: (ctx) => ctx.socket.getPeerX509Certificate(),
        certificateAuthorized: (ctx) => ctx.socket.authorized,
        certificateSubjectMatches: (ctx, property, expected) =>
          property === 'tls_client_auth_subject_dn' && `CN=${ctx.socket.getPeerCertificate().subject.CN}` === expected,
      },
      resourceIndicators: {
        enabled: true,
        useGrantedResource: () => true,
        getResourceServerInfo(ctx, resource, client) {
          if (!settings.resources.includes(resource)) throw new errors.InvalidTarget('unknown resource');
          return {
            scope: 'core',
            audience: resource,
            accessTokenFormat: 'jwt',
            accessTokenTTL: client.clientId.startsWith('short-') ? SHORT_LIFE : LIFE,
            jwt: { sign: { alg: algorithm(client) } },
          };
        },
      },
    },
  });
  provider.on('grant.success', () => { issued += 1; });
  provider.on('server_error', (ctx, error) => console.error(error.stack));
  serving = provider.callback();
}

const commands = {
  // The next keys can be seen; the old ones still sign.
  publish() { published.push(generate()); },
  // The newest keys sign; the others can still be seen.
  switch() { published.unshift(published.pop()); },
  // Both at once: nobody was told.
  rotate() { published.unshift(generate()); },
  // Only the keys that sign can be seen.
  withdraw() { published = [published[0]]; },
  // The key set cannot be had, and can again.
  hush() { silent = true; },
  speak() { silent = false; },
  count() {},
};

function answer(request, response) {
  // A server that hangs is worse than one that is gone.
  if (!(silent && request.url === '/jwks')) serving(request, response);
}

published = [generate()];
serve();
const tls = { key: fs.readFileSync(settings.key), cert: fs.readFileSync(settings.cert), ca: fs.readFileSync(settings.ca) };
https.createServer(tls, answer).listen(plainPort, '127.0.0.1', () => {
  https.createServer({ ...tls, requestCert: true, rejectUnauthorized: false }, answer)
    .listen(mutualPort, '127.0.0.1', () => console.log(JSON.stringify({ issuer })));
});
const lines = readline.createInterface({ input: process.stdin });
lines.on('line', (line) => {
  commands[line]();
  serve();
  console.log(JSON.stringify({ done: line, issued, keys: published.flat().map((key) => key.kid) }));
});
lines.on('close', () => process.exit(0));
