// Plain HTTP on 127.0.0.1 in front of a door: adds the client certificate, and a token that is fresh with every request.
// Host is rewritten only where the client named the terminator itself, so that probes with foreign names reach the door.
// Arguments: a JSON file with upstream, cert, key, ca, tokenKey, kid, issuer, audience, scope. Prints its own port.
import fs from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import { createPrivateKey, randomUUID, sign } from 'node:crypto';

const options = JSON.parse(fs.readFileSync(process.argv[2], 'utf8'));
const upstream = new URL(options.upstream);
const [cert, key, ca] = ['cert', 'key', 'ca'].map((name) => fs.readFileSync(options[name]));
const agent = new https.Agent({ keepAlive: true, cert, key, ca });
const tokenKey = createPrivateKey(fs.readFileSync(options.tokenKey));

const encode = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');

function token() {
  const { kid, issuer: iss, audience: aud, scope } = options;
  const iat = Math.floor(Date.now() / 1000);
  const claims = { iss, aud, sub: 'suite', act: { sub: 'conformance' }, scope, iat, exp: iat + 60, jti: randomUUID() };
  const input = `${encode({ alg: 'ES256', typ: 'at+jwt', kid })}.${encode(claims)}`;
  const signature = sign('sha256', Buffer.from(input), { key: tokenKey, dsaEncoding: 'ieee-p1363' });
  return `${input}.${signature.toString('base64url')}`;
}

const server = http.createServer((request, response) => {
  const headers = { ...request.headers, authorization: `Bearer ${token()}` };
  const own = server.address().port;
  if ([`127.0.0.1:${own}`, `localhost:${own}`].includes(headers.host)) headers.host = upstream.host;
  const { method, url: path } = request;
  const { hostname, port } = upstream;
  const onward = https.request({ agent, hostname, port, servername: 'localhost', method, path, headers }, (answer) => {
    response.writeHead(answer.statusCode, answer.headers);
    answer.pipe(response);
    answer.on('error', () => response.destroy());
  });
  onward.on('error', (error) => (response.headersSent ? response.destroy() : response.writeHead(502).end(String(error))));
  response.on('close', () => onward.destroy());
  request.pipe(onward);
});

server.listen(0, '127.0.0.1', () => console.log(server.address().port));
