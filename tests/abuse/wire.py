"""HTTP/2 frames and TLS connections by hand: what no library would let a client say."""

import socket
import ssl
import struct
import time

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 0, 1, 2, 3, 4, 6, 7, 8, 9
END_STREAM, END_HEADERS = 1, 4
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def number(value, bits):
    """An HPACK integer (RFC 7541 section 5.1)."""
    most = (1 << bits) - 1
    if value < most:
        return bytes([value])
    out, value = [most], value - most
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def literal(name, value):
    name, value = name.encode(), value.encode()
    return b"\0" + number(len(name), 7) + name + number(len(value), 7) + value


def request(method, path, authority, more=()):
    fields = [(":method", method), (":scheme", "https"), (":path", path), (":authority", authority), *more]
    return b"".join(literal(*field) for field in fields)


def context(pki, name=None, alpn=None):
    tls = ssl.create_default_context(cafile=f"{pki}/ca/ca.crt")
    if name:
        tls.load_cert_chain(f"{pki}/{name}.crt", f"{pki}/{name}.key")
    if alpn:
        tls.set_alpn_protocols([alpn])
    return tls


def tcp(source, port):
    return socket.create_connection(("127.0.0.1", port), 5, source_address=(source, 0))


class Http2:
    """One connection: what was sent and what came back."""

    def __init__(self, tls, source, port, settings=b"", first=b""):
        self.socket = tls.wrap_socket(tcp(source, port), server_hostname="localhost")
        self.opened, self.sent, self.units, self.said = time.monotonic(), 0, 0, "EOF"
        self.rest, self.stream, self.answers, self.resets = b"", 1, 0, 0
        self.socket.settimeout(5)
        self.socket.sendall(PREFACE + frame(SETTINGS, 0, 0, settings) + first)
        self.socket.setblocking(False)

    def next(self):
        stream, self.stream = self.stream, self.stream + 2
        return stream

    def send(self, data, units, until):
        """Sends as fast as the other end takes it; False when the connection has ended."""
        view = memoryview(data)
        while view and time.monotonic() < until:
            if not self.read():
                return False
            try:
                sent = self.socket.send(view)
                self.sent += sent
                view = view[sent:]
            except (ssl.SSLWantWriteError, ssl.SSLWantReadError):
                time.sleep(0.002)
            except OSError as error:
                if self.said == "EOF":
                    self.said = type(error).__name__
                return False
        self.units += units
        return True

    def read(self):
        try:
            while data := self.socket.recv(65536):
                self.parse(data)
            return False
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return True
        except OSError as error:
            if self.said == "EOF":
                self.said = type(error).__name__
            return False

    def parse(self, data):
        self.rest += data
        at = 0
        while len(self.rest) - at >= 9:
            length, kind = int.from_bytes(self.rest[at:at + 3]), self.rest[at + 3]
            if len(self.rest) - at < 9 + length:
                break
            body = self.rest[at + 9:at + 9 + length]
            if kind == GOAWAY:
                code = int.from_bytes(body[4:8])
                self.said = f"GOAWAY {code} {body[8:48].decode(errors='replace')}".strip()
            elif kind == HEADERS:
                self.answers += 1
            elif kind == RST_STREAM:
                self.resets += 1
            at += 9 + length
        self.rest = self.rest[at:]

    def close(self):
        self.socket.close()
