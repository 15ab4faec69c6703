//! Lines to paste into a shell while the demo is up.

use std::path::Path;

use super::estate::Estate;

/// For curl, Claude Code, MCP Inspector and the bridge.
pub(super) fn lines(estate: &Estate, program: &Path) -> String {
    let quoted = |path: &Path| shell(&path.display().to_string());
    let file = |name: &str| quoted(&estate.path(name));
    let program = quoted(program);
    let (url, issuer) = (estate.url(), estate.issuer());
    let [cert, key, ca] = ["client.crt", "client.key", "ca/ca.crt"].map(file);
    let mint = format!(
        "{program} token mint --key {} --cert {cert} --issuer {issuer} --audience {url} --subject alice \
         --agent demo-agent --scope core",
        file("token-key.pem"),
    );
    let connect = format!(
        "{program} connect {url} --cert {cert} --key {key} --ca {ca} --token-key {} --issuer {issuer} --audience {url} \
         --subject alice --agent demo-agent --scope core",
        file("token-key.pem"),
    );
    // The token goes from printf, which the shell does itself, through a pipe: arguments stand in the list of processes.
    format!(
        "To paste while the door is open:\n\n\
         # curl (MCP 2025-11-25)\n\
         printf 'Authorization: Bearer %s\\n' \"$({mint})\" |\n  \
         curl -sS --cert {cert} --key {key} --cacert {ca} -H @- \\\n  \
         -H 'Content-Type: application/json' -H 'Accept: application/json, text/event-stream' -H 'MCP-Protocol-Version: 2025-11-25' \\\n  \
         -d '{{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{{\"name\":\"get_uptime\",\"arguments\":{{}}}}}}' {url}\n\n\
         # Claude Code\n\
         claude mcp add doorward-demo -- {connect}\n\n\
         # MCP Inspector\n\
         npx @modelcontextprotocol/inspector --cli --transport stdio --protocol-era modern --method tools/list -- {connect}\n\n\
         # doorward connect: any client that starts a stdio server\n\
         {connect}\n"
    )
}

/// A word of a shell command.
fn shell(text: &str) -> String {
    if text.chars().all(|c| c.is_ascii_alphanumeric() || "/._-".contains(c)) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', "'\\''"))
}
