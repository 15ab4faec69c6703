"""The same call behind the same TLS and the same check of the token, as FastMCP serves it."""

import os
import time

from fastmcp import FastMCP
from fastmcp.server.auth.providers.jwt import JWTVerifier

with open(os.path.join(os.environ["DOORWARD_LOAD_HOME"], "token-key.pub.pem")) as file:
    key = file.read()
verifier = JWTVerifier(public_key=key, issuer="https://issuer.example", audience="https://localhost/mcp", algorithm="ES256")
server = FastMCP("load", auth=verifier)
begun = time.monotonic()


@server.tool
def get_uptime() -> dict[str, int]:
    """Seconds since the start."""
    return {"seconds": int(time.monotonic() - begun)}


app = server.http_app(path="/mcp", stateless_http=True, json_response=True)
