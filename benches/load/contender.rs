//! Those the door is compared with. Each has the same TLS and, but for the first, the same check of the same token; none
//! has anything else.

use std::fs::File;
use std::net::SocketAddr;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use axum_server::tls_rustls::RustlsConfig;
use clap::ValueEnum;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, Implementation, ServerCapabilities, ServerConfig,
};
use rmcp::service::RequestContext;
use rmcp::transport::streamable_http_server::session::never::NeverSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use rmcp::{ErrorData, RoleServer, ServerHandler};
use serde::Deserialize;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_rustls::TlsAcceptor;

use crate::Result;
use crate::place::{AUDIENCE, ISSUER, Place};

const ANSWER: &str = r#"{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":"{\"seconds\":12345}"}],"structuredContent":{"seconds":12345},"isError":false}}"#;

/// Who serves, where, with whose keys.
#[derive(clap::Args)]
pub(crate) struct Args {
    role: Role,
    #[arg(long)]
    port: u16,
    #[arg(long)]
    home: PathBuf,
}

/// What is served.
#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Role {
    /// axum and rustls with a fixed answer.
    Bare,
    /// The same, and the token's signature, issuer, audience and end are checked.
    Floor,
    /// The protocol library with one tool, behind the same check.
    Sdk,
    /// rustls alone: shakes hands and waits for the end.
    Handshake,
}

#[derive(Clone, Deserialize)]
struct Claims {
    #[expect(dead_code, reason = "read, as any server would")]
    sub: String,
}

struct Check {
    key: DecodingKey,
    validation: Validation,
}

impl Check {
    fn new(place: &Place) -> Result<Self> {
        let key = DecodingKey::from_ec_pem(&std::fs::read(place.path("token-key.pub.pem"))?)?;
        let mut validation = Validation::new(Algorithm::ES256);
        validation.set_issuer(&[ISSUER]);
        validation.set_audience(&[AUDIENCE]);
        Ok(Self { key, validation })
    }

    fn passes(&self, headers: &HeaderMap) -> Option<Claims> {
        let token = headers.get(header::AUTHORIZATION)?.to_str().ok()?.strip_prefix("Bearer ")?;
        Some(jsonwebtoken::decode::<Claims>(token, &self.key, &self.validation).ok()?.claims)
    }
}

/// Serves until it is killed.
pub(crate) fn serve(args: Args) -> Result<()> {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let place = Place { root: args.home };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let address = SocketAddr::from(([127, 0, 0, 1], args.port));
        let tls = Arc::new(place.server_tls()?);
        let router = match args.role {
            Role::Handshake => return shake_hands(address, TlsAcceptor::from(tls)).await,
            Role::Bare => Router::new().route("/mcp", post(answer)).with_state(None),
            Role::Floor => Router::new().route("/mcp", post(answer)).with_state(Some(Arc::new(Check::new(&place)?))),
            Role::Sdk => sdk(Check::new(&place)?)?,
        };
        let server = axum_server::bind_rustls(address, RustlsConfig::from_config(tls));
        Ok(server.serve(router.into_make_service()).await?)
    })
}

async fn answer(State(check): State<Option<Arc<Check>>>, headers: HeaderMap, _body: Bytes) -> Response {
    if check.is_some_and(|check| check.passes(&headers).is_none()) {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    ([(header::CONTENT_TYPE, "application/json")], ANSWER).into_response()
}

fn sdk(check: Check) -> Result<Router> {
    let (uptime, load) = (Arc::new(File::open("/proc/uptime")?), Arc::new(File::open("/proc/loadavg")?));
    let stat = std::fs::read_to_string("/proc/stat")?;
    let boot = stat.lines().find_map(|line| line.strip_prefix("btime ")).unwrap_or_default().to_owned();
    let tool = Uptime { uptime, load, boot };
    let config = StreamableHttpServerConfig::default().with_legacy_session_mode(false).with_json_response(true);
    let sessions = Arc::new(NeverSessionManager::default());
    let service = StreamableHttpService::new(move || Ok(tool.clone()), sessions, config.enforce_origin_validation());
    let layer = middleware::from_fn_with_state(Arc::new(check), known);
    Ok(Router::new().route_service("/mcp", service).layer(layer))
}

async fn known(State(check): State<Arc<Check>>, mut request: Request, next: Next) -> Response {
    let Some(claims) = check.passes(request.headers()) else { return StatusCode::UNAUTHORIZED.into_response() };
    request.extensions_mut().insert(Arc::new(claims));
    next.run(request).await
}

/// One tool, as little as can be.
#[derive(Clone)]
struct Uptime {
    uptime: Arc<File>,
    load: Arc<File>,
    boot: String,
}

impl ServerHandler for Uptime {
    fn get_info(&self) -> ServerConfig {
        let capabilities = ServerCapabilities::builder().enable_tools().build();
        ServerConfig::new(capabilities).with_server_info(Implementation::new("sdk", "1"))
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        _context: RequestContext<RoleServer>,
    ) -> std::result::Result<CallToolResponse, ErrorData> {
        if request.name != "get_uptime" {
            return Err(ErrorData::invalid_params("there is no such tool", None));
        }
        // What the tool itself reads is not the door's doing, so it is read here too.
        let mut buffer = [0; 256];
        let mut read = |file: &File| -> String {
            let count = file.read_at(&mut buffer, 0).unwrap_or_default();
            String::from_utf8_lossy(buffer.get(..count).unwrap_or_default()).into_owned()
        };
        let (uptime, load) = (read(&self.uptime), read(&self.load));
        let number =
            |text: &str, word: usize| text.split_whitespace().nth(word).and_then(|word| word.parse::<f64>().ok());
        let boot = self.boot.as_str();
        Ok(CallToolResult::structured(serde_json::json!({
            "uptime_seconds": number(&uptime, 0), "idle_seconds": number(&uptime, 1), "boot_time": boot,
            "load": {"one_minute": number(&load, 0), "five_minutes": number(&load, 1), "fifteen_minutes": number(&load, 2)},
        }))
        .into())
    }
}

/// The handshake, and the client's end of it: only then has the server judged the client's certificate.
async fn shake_hands(address: SocketAddr, acceptor: TlsAcceptor) -> Result<()> {
    let listener = tokio::net::TcpListener::bind(address).await?;
    loop {
        let (stream, _) = listener.accept().await?;
        let acceptor = acceptor.clone();
        tokio::spawn(async move {
            stream.set_nodelay(true).ok();
            let Ok(mut tls) = acceptor.accept(stream).await else { return };
            let mut buffer = [0; 64];
            while matches!(tls.read(&mut buffer).await, Ok(1..)) {}
            let _ = tls.shutdown().await;
        });
    }
}
