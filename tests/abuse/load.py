"""Legitimate calls at a steady pace: mutual TLS, a fresh token each, a new connection now and then.

Reads `SECONDS` on standard input, signs as many tokens as may be needed, says `ready`, waits for another line, calls, and
answers with a line of JSON; `end` ends it. Every connection has its share
of the pace; a call that is late is made at once, and what could not be made in time is missing from the count.
"""

import asyncio
import base64
import json
import os
import ssl
import sys
import time

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

import wire

CONNECTIONS = 8
# Calls before a connection is replaced: a flood that only keeps newcomers out must show.
RENEW = 40
TIMEOUT = 10
BODY = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "get_uptime", "arguments": {}}})


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Signer:
    def __init__(self, pki):
        with open(f"{pki}/token.pem", "rb") as file:
            self.key = serialization.load_pem_private_key(file.read(), None)
        with open(f"{pki}/token.jwks.json") as file:
            kid = json.load(file)["keys"][0]["kid"]
        self.header = b64(json.dumps({"alg": "ES256", "typ": "at+jwt", "kid": kid}).encode())

    def token(self):
        now = int(time.time())
        claims = {"iss": "https://issuer.example", "aud": "doorward", "sub": "load", "scope": "core", "iat": now,
                  "client_id": "load", "exp": now + 60, "jti": b64(os.urandom(16))}
        text = f"{self.header}.{b64(json.dumps(claims).encode())}"
        r, s = decode_dss_signature(self.key.sign(text.encode(), ec.ECDSA(hashes.SHA256())))
        return f"{text}.{b64(r.to_bytes(32) + s.to_bytes(32))}"


class Caller:
    def __init__(self, tls, port, tally):
        self.tls, self.port, self.tally, self.writer, self.made = tls, port, tally, None, 0

    async def call(self, token):
        if self.writer is None or self.made >= RENEW:
            await self.close()
            self.reader, self.writer = await asyncio.open_connection(
                "127.0.0.1", self.port, ssl=self.tls, server_hostname="localhost")
            self.made = 0
        self.made += 1
        self.writer.write((
            f"POST /mcp HTTP/1.1\r\nHost: localhost:{self.port}\r\nAuthorization: Bearer {token}\r\n"
            "Content-Type: application/json\r\nAccept: application/json, text/event-stream\r\n"
            f"MCP-Protocol-Version: 2025-11-25\r\nContent-Length: {len(BODY)}\r\n\r\n{BODY}").encode())
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode().lower()
        if "transfer-encoding: chunked" in head:
            body = b""
            while length := int(await self.reader.readline(), 16):
                body += (await self.reader.readexactly(length + 2))[:length]
            await self.reader.readline()
        else:
            length = head.split("content-length:")[1].split("\r\n")[0]
            body = await self.reader.readexactly(int(length))
        if not head.startswith("http/1.1 200") or b'"result"' not in body:
            raise ValueError(head.split("\r\n")[0] + " " + body[:200].decode())

    async def close(self):
        if self.writer is not None:
            self.writer.close()
            self.writer = None

    async def run(self, tokens, share, offset, end):
        due = time.monotonic() + offset
        for token in tokens:
            if share:
                await asyncio.sleep(max(0, due - time.monotonic()))
                due += share
            begun = time.monotonic()
            if begun >= end:
                break
            try:
                await asyncio.wait_for(self.call(token), TIMEOUT)
                if time.monotonic() < end:
                    self.tally["calls"] += 1
                    self.tally["took"].append(time.monotonic() - begun)
            except (OSError, ssl.SSLError, ValueError, IndexError, asyncio.IncompleteReadError, asyncio.TimeoutError) as error:
                self.tally["errors"] += 1
                self.tally["error"] = f"{type(error).__name__} {error}"[:200]
                await self.close()
                await asyncio.sleep(0.02)
        await self.close()


async def measure(tls, port, signer, rate, seconds):
    # Signed before the clock starts, so that this process is not what limits the pace.
    most = int((rate or 3000) * seconds / CONNECTIONS) + 2
    tokens = [[signer.token() for _ in range(most)] for _ in range(CONNECTIONS)]
    print("ready", flush=True)
    sys.stdin.readline()
    tally = {"calls": 0, "errors": 0, "error": "", "took": []}
    begun = time.monotonic()
    share = CONNECTIONS / rate if rate else 0
    callers = [Caller(tls, port, tally) for _ in range(CONNECTIONS)]
    await asyncio.gather(*(
        caller.run(own, share, index / rate if rate else 0, begun + seconds)
        for index, (caller, own) in enumerate(zip(callers, tokens))))
    took = sorted(tally.pop("took")) or [0]
    at = lambda share: round(took[int(share * (len(took) - 1))] * 1000, 1)
    return {**tally, "rate": round(tally["calls"] / seconds, 1), "p50": at(0.5), "p99": at(0.99)}


def main():
    pki, port, rate = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
    tls, signer = wire.context(pki, "agent"), Signer(pki)
    while (line := sys.stdin.readline().strip()) not in ("", "end"):
        print(json.dumps(asyncio.run(measure(tls, port, signer, rate, float(line)))), flush=True)


if __name__ == "__main__":
    main()
