//! The client of rmcp, as docs/clients.md tells: through `doorward connect` at a door that takes a token once, and directly
//! with certificate and bound token at one that takes it again; both eras, and a token without the scope.

use std::collections::BTreeSet;
use std::error::Error;
use std::fs;
use std::process::Stdio;

use rmcp::ClientServiceExt as _;
use rmcp::model::{CallToolRequestParams, ProtocolVersion};
use rmcp::service::{ClientLifecycleMode, RoleClient, RunningService};
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::transport::streamable_http_client::StreamableHttpClientTransportConfig;
use serde_json::Value;

use crate::world::premises::{AUDIENCE, ISSUER, Premises};
use crate::world::program::{DOORWARD, Running};

type Client = RunningService<RoleClient, ()>;

/// A door and what its recipes are told.
struct Door {
    premises: Premises,
    _running: Running,
    url: String,
}

impl Door {
    fn open(replay: &str) -> Self {
        let premises = Premises::new();
        let file = premises.path("doorward.yaml");
        let (plain, key) = (fs::read_to_string(&file).unwrap(), "public_key: token-key.pub.pem\n");
        assert!(plain.contains(key));
        fs::write(&file, plain.replace(key, &format!("{key}    replay: {replay}\n"))).unwrap();
        let (running, port) = premises.serve();
        Self { premises, _running: running, url: format!("https://localhost:{port}/mcp") }
    }

    /// Through the bridge, which mints tokens with this scope.
    async fn through_connect(&self, mode: ClientLifecycleMode, scope: &str) -> Result<Client, Box<dyn Error>> {
        let file = |name| self.premises.name(name);
        let (doorward, door) = (DOORWARD, self.url.as_str());
        let (ca, cert, key) = (file("ca/ca.crt"), file("client.crt"), file("client.key"));
        let (token_key, issuer, audience) = (file("token-key.pem"), ISSUER, AUDIENCE);
        let mut bridge = tokio::process::Command::new(doorward)
            .args(["connect", door, "--ca", &ca, "--cert", &cert, "--key", &key])
            .args(["--token-key", &token_key, "--issuer", issuer, "--audience", audience])
            .args(["--subject", "alice", "--agent", "rmcp", "--scope", scope])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let pipes = bridge.stdout.take().zip(bridge.stdin.take()).ok_or("no pipes")?;
        let client = ().serve_with_lifecycle(pipes, mode).await?;
        Ok(client)
    }

    /// Over HTTP, with a token of this scope for all requests.
    async fn directly(&self, mode: ClientLifecycleMode, scope: &str) -> Result<Client, Box<dyn Error>> {
        let mint = format!("--issuer {ISSUER} --audience {AUDIENCE} --subject alice --agent rmcp --scope {scope}");
        let token = self.premises.doorward(&format!("token mint --key token-key.pem --cert client.crt {mint}"));
        let (door, token) = (self.url.as_str(), token.trim());
        let read = |name| fs::read(self.premises.path(name));
        let (ca, cert, key) = (read("ca/ca.crt")?, read("client.crt")?, read("client.key")?);
        doorward::transport::tls::install_provider();
        let http = reqwest::Client::builder()
            .tls_certs_only([reqwest::Certificate::from_pem(&ca)?])
            .identity(reqwest::Identity::from_pem(&[cert, key].concat())?)
            .build()?;
        let config = StreamableHttpClientTransportConfig::with_uri(door).auth_header(token);
        let transport = StreamableHttpClientTransport::with_client(http, config);
        let client = ().serve_with_lifecycle(transport, mode).await?;
        Ok(client)
    }

    fn reasons(&self) -> BTreeSet<String> {
        let records = self.premises.audit();
        records.iter().filter_map(|record| Some(record["reason"].as_str()?.to_owned())).collect()
    }
}

/// The eras, and how the client is brought to speak them.
fn modes() -> [(ClientLifecycleMode, &'static str); 2] {
    let mode = ClientLifecycleMode::Discover { preferred_versions: vec![ProtocolVersion::V_2026_07_28] };
    [(ClientLifecycleMode::Initialize, "2025-11-25"), (mode, "2026-07-28")]
}

/// The version spoken, how many tools there are, and what one of them says.
async fn converse(client: Client) -> Result<(String, usize, Value), Box<dyn Error>> {
    let version = client.peer_info().map(|server| server.protocol_version.to_string()).unwrap_or_default();
    let tools = client.list_all_tools().await?;
    let result = client.call_tool(CallToolRequestParams::new("get_uptime")).await?;
    client.cancel().await?;
    Ok((version, tools.len(), result.structured_content.unwrap_or_default()))
}

#[track_caller]
fn assert_conversation(said: Result<(String, usize, Value), Box<dyn Error>>, era: &str) {
    let (version, tools, uptime) = said.unwrap();
    assert_eq!((version.as_str(), tools), (era, 7));
    assert!(uptime["uptime_seconds"].is_number(), "{uptime}");
}

#[tokio::test]
async fn the_client_of_rmcp_speaks_through_connect_in_both_eras() {
    let door = Door::open("single_use");
    for (mode, era) in modes() {
        assert_conversation(converse(door.through_connect(mode, "core").await.unwrap()).await, era);
        assert_eq!(door.reasons(), BTreeSet::new());
    }
    for (mode, _) in modes() {
        let refused = async { converse(door.through_connect(mode, "other").await?).await };
        assert!(refused.await.is_err());
        assert_eq!(door.reasons(), BTreeSet::from(["insufficient_scope".to_owned()]));
    }
}

#[tokio::test]
async fn the_client_of_rmcp_speaks_directly_in_both_eras() {
    let door = Door::open("sender_bound");
    for (mode, era) in modes() {
        assert_conversation(converse(door.directly(mode, "core").await.unwrap()).await, era);
    }
    // What it tries first is a stream for what the door says unasked, and there is none.
    assert!(door.reasons().is_subset(&BTreeSet::from(["method_not_allowed".to_owned()])), "{:?}", door.reasons());
    for (mode, _) in modes() {
        let refused = async { converse(door.directly(mode, "other").await?).await };
        assert!(refused.await.is_err());
        assert!(door.reasons().contains("insufficient_scope"), "{:?}", door.reasons());
    }
}
