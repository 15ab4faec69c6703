//! `doorward connect`: a door as a local program, for MCP clients that have no client certificate and keep one token.

mod oauth;

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use clap::{ArgAction, ArgGroup};

use self::oauth::AuthorizationServer;
use super::unsaid::Unsaid;
use super::{Exit, Outcome, complain};
use crate::authn::mint::{Mint, Minter};
use crate::clock::Clock;
use crate::error::{Code, Failure};
use crate::identity::Scope;
use crate::mcp::connect::{Bridge, Door, LOCAL, Report, Tokens, address, read_private, split};
use crate::net::{Options, Outbound};
use crate::pki::store;

/// Longest time for name lookup, TCP and TLS together.
const CONNECT: Duration = Duration::from_secs(10);
/// Longest time for a token command.
const COMMAND: Duration = Duration::from_secs(30);
/// Longest PEM file.
const PEM_BYTES: usize = 1024 * 1024;
/// Lines for standard error that may wait; more are lost.
const COMPLAINTS: usize = 256;

/// Bridge an MCP client that speaks stdio to the door
///
/// JSON-RPC lines on standard input go to the door over mutual TLS, each with a token of its own, or through a unix socket; the
/// answers come back on standard output. It ends with standard input.
#[derive(clap::Args, Debug)]
#[command(group = ArgGroup::new("token source"))]
pub(super) struct Args {
    /// The door: https://HOST:PORT, with /mcp or another path
    #[arg(value_name = "URL", env = "DOORWARD_CONNECT_URL", hide_env_values = true, value_parser = Unsaid(address))]
    #[arg(required_unless_present = "socket")]
    url: Option<String>,
    /// The door's unix socket, instead of a URL and a certificate; a token is sent only if it has a source
    #[arg(long, value_name = "PATH", env = "DOORWARD_CONNECT_SOCKET", hide_env_values = true)]
    #[arg(conflicts_with_all = ["url", "cert", "key", "ca", "oauth_client_id"])]
    socket: Option<PathBuf>,
    /// Client certificate chain, PEM
    #[arg(long, value_name = "PEM", env = "DOORWARD_CONNECT_CERT", hide_env_values = true)]
    #[arg(required_unless_present = "socket")]
    cert: Option<PathBuf>,
    /// Its private key, PEM, readable by its owner only
    #[arg(long, value_name = "PEM", env = "DOORWARD_CONNECT_KEY", hide_env_values = true)]
    #[arg(required_unless_present = "socket")]
    key: Option<PathBuf>,
    /// Authorities that may vouch for the door, PEM [default: the system's]
    #[arg(long, value_name = "PEM", env = "DOORWARD_CONNECT_CA", hide_env_values = true)]
    ca: Option<PathBuf>,
    /// Mint a token for each request with this private key, PEM, readable by its owner only
    #[arg(long, value_name = "PEM", env = "DOORWARD_CONNECT_TOKEN_KEY", hide_env_values = true)]
    #[arg(group = "token source", requires_all = ["issuer", "audience", "subject"])]
    #[arg(required_unless_present_any = ["token_command", "token_file", "oauth_client_id", "socket"])]
    token_key: Option<PathBuf>,
    /// Run this for each request and send what it prints: an absolute path and arguments; no shell
    #[arg(long, value_name = "COMMAND", env = "DOORWARD_CONNECT_TOKEN_COMMAND", hide_env_values = true)]
    #[arg(group = "token source", value_parser = Unsaid(Command::parse))]
    token_command: Option<Command>,
    /// Read this for each request and send what is in it; readable by its owner only
    #[arg(long, value_name = "PATH", env = "DOORWARD_CONNECT_TOKEN_FILE", hide_env_values = true)]
    #[arg(group = "token source")]
    token_file: Option<PathBuf>,
    /// Longest silence of the door, in seconds
    #[arg(long, value_name = "SECONDS", env = "DOORWARD_CONNECT_TIMEOUT", hide_env_values = true)]
    #[arg(default_value_t = 300, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    timeout: u64,
    #[command(flatten)]
    claims: Claims,
    #[command(flatten)]
    server: Box<AuthorizationServer>,
}

/// What a token minted here says.
#[derive(clap::Args, Debug)]
#[command(next_help_heading = "With --token-key")]
struct Claims {
    /// `iss`
    #[arg(long, value_name = "TEXT", env = "DOORWARD_CONNECT_ISSUER", hide_env_values = true)]
    #[arg(requires = "token_key")]
    issuer: Option<String>,
    /// `aud`
    #[arg(long, value_name = "TEXT", env = "DOORWARD_CONNECT_AUDIENCE", hide_env_values = true)]
    #[arg(requires = "token_key")]
    audience: Option<String>,
    /// `sub`: the person on whose behalf calls are made
    #[arg(long, value_name = "TEXT", env = "DOORWARD_CONNECT_SUBJECT", hide_env_values = true)]
    #[arg(requires = "token_key")]
    subject: Option<String>,
    /// `act.sub`: the agent that makes them
    #[arg(long, value_name = "TEXT", env = "DOORWARD_CONNECT_AGENT", hide_env_values = true)]
    #[arg(requires = "token_key")]
    agent: Option<String>,
    /// `scope`; may be repeated, or hold several with spaces between them
    #[arg(long, value_name = "SCOPE", env = "DOORWARD_CONNECT_SCOPE", hide_env_values = true)]
    #[arg(requires = "token_key", value_delimiter = ' ', value_parser = scope)]
    scope: Vec<Scope>,
    /// Life of a token, in seconds
    #[arg(long, value_name = "SECONDS", env = "DOORWARD_CONNECT_TTL", hide_env_values = true)]
    #[arg(requires = "token_key", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=3600))]
    ttl: u64,
    /// Bind tokens to the client certificate (`cnf`, RFC 8705), where there is one
    #[arg(long, value_name = "BOOL", env = "DOORWARD_CONNECT_BIND", hide_env_values = true)]
    #[arg(requires = "token_key", default_value_t = true, default_missing_value = "true")]
    #[arg(num_args = 0..=1, require_equals = true, action = ArgAction::Set)]
    bind: bool,
}

/// A command that has been split.
#[derive(Clone, Debug)]
struct Command(Vec<String>);

impl Command {
    fn parse(text: &str) -> Result<Self, String> {
        split(text).map(Self)
    }
}

fn scope(text: &str) -> Result<Scope, String> {
    Scope::parse(text).ok_or_else(|| "a scope is visible ASCII without quotes and backslashes".to_owned())
}

/// Relays between standard input and output and the door until standard input ends.
///
/// # Errors
/// When a certificate or key cannot be used, or standard input cannot be read. A refusal by the door is not one: the
/// client is told, and may try again.
pub(super) fn run(args: Args, clock: Clock) -> Outcome {
    let (report, complaints) = complaints()?;
    let bridge = bridge(args, clock, report)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(Code::Io, "the system gives no event loop").because(error))?;
    let result = runtime.block_on(bridge.run(tokio::io::stdin(), tokio::io::stdout()));
    // A read of standard input may be under way, and nothing but the client can end it.
    runtime.shutdown_background();
    let _ = complaints.recv_timeout(Duration::from_secs(1));
    result.map(|()| Exit::Done)
}

fn bridge(args: Args, clock: Clock, report: Report) -> Result<Bridge, Failure> {
    let silence = Duration::from_secs(args.timeout);
    let identity = match (&args.cert, &args.key) {
        (Some(cert), Some(key)) => {
            let key = read_private(key, PEM_BYTES)?;
            store::private_key_in(key.expose())?;
            Some((read_public(cert)?, key))
        }
        _ => None,
    };
    let connect_timeout = CONNECT.min(silence);
    let (outbound, url) = match (&args.socket, args.url) {
        (Some(path), None) => (Outbound::local(path, connect_timeout)?, LOCAL.to_owned()),
        (None, Some(url)) => {
            let ca_pem = args.ca.as_deref().map(read_public).transpose()?;
            (Outbound::new(Options { ca_pem, identity: identity.clone(), connect_timeout })?, url)
        }
        _ => return Err(Failure::new(Code::Config, "there must be one door")),
    };
    let tokens = match (&args.token_key, args.token_command, args.token_file, args.server.is_named()) {
        (None, None, None, false) if args.socket.is_some() => Tokens::Absent,
        (Some(key), None, None, false) => minted(key, args.cert.as_deref(), args.claims, clock)?,
        (None, Some(command), None, false) => Tokens::Command { argv: command.0, limit: COMMAND.min(silence) },
        (None, None, Some(path), false) => Tokens::File(path),
        (None, None, None, true) => {
            let identity = identity.ok_or_else(|| Failure::new(Code::Config, "there must be a client certificate"))?;
            args.server.tokens(&url, identity, silence, clock)?
        }
        _ => return Err(Failure::new(Code::Config, "there must be one source of tokens")),
    };
    Ok(Bridge::new(Door { outbound, url, limit: silence }, tokens, silence, report))
}

fn minted(key: &Path, certificate: Option<&Path>, claims: Claims, clock: Clock) -> Result<Tokens, Failure> {
    let minter = Minter::from_file(key, None)?;
    let (issuer, audience, subject) = match (claims.issuer, claims.audience, claims.subject) {
        (Some(issuer), Some(audience), Some(subject)) => (issuer, audience, subject),
        _ => return Err(Failure::new(Code::Config, "a token needs an issuer, an audience and a subject")),
    };
    let mut mint = Mint::new(issuer, audience, subject);
    mint.agent = claims.agent;
    mint.scopes = claims.scope.iter().map(|scope| scope.as_str().to_owned()).collect();
    mint.ttl = Duration::from_secs(claims.ttl);
    if let Some(certificate) = certificate.filter(|_| claims.bind) {
        mint.certificate = Some(store::leaf(certificate)?.thumbprint);
    }
    Ok(Tokens::Minted(Box::new(move || minter.mint(&mint, clock.now()))))
}

/// A file that is no secret. What stands in it is judged by who uses it.
fn read_public(path: &Path) -> Result<Vec<u8>, Failure> {
    let failed = |error: std::io::Error| {
        let cause = format!("{}: {error}", path.display());
        Failure::new(Code::Io, "a certificate cannot be read").because(cause)
    };
    let limit = u64::try_from(PEM_BYTES).unwrap_or(u64::MAX);
    let mut pem = Vec::new();
    File::open(path).map_err(failed)?.take(limit).read_to_end(&mut pem).map_err(failed)?;
    Ok(pem)
}

/// Lines for standard error, written by a thread of their own: a client that does not read them holds up no call. The
/// receiver hears when the last line is written.
fn complaints() -> Result<(Report, mpsc::Receiver<()>), Failure> {
    let (lines, queue) = mpsc::sync_channel::<String>(COMPLAINTS);
    let (ended, end) = mpsc::channel();
    let write = move || {
        queue.iter().for_each(|line| complain(format!("doorward connect: {line}")));
        let _ = ended.send(());
    };
    std::thread::Builder::new()
        .name("complaints".to_owned())
        .spawn(write)
        .map_err(|error| Failure::new(Code::Io, "the system gives no thread").because(error))?;
    Ok((Arc::new(move |line| drop(lines.try_send(line.to_owned()))), end))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use clap::{Args as _, FromArgMatches as _};

    use crate::clock::Timestamp;
    use crate::pki::{Authority, Profile};

    pub(super) const DOOR: &[&str] = &["https://door:8443", "--cert", "c.pem", "--key", "k.pem"];
    pub(super) const MINT: &[&str] = &["--token-key", "t.pem", "--issuer", "i", "--audience", "a", "--subject", "s"];

    pub(super) fn parse(arguments: &[&[&str]]) -> Result<Args, clap::error::ErrorKind> {
        let command = Args::augment_args(clap::Command::new("connect").no_binary_name(true));
        let matches = command.try_get_matches_from(arguments.concat()).map_err(|error| error.kind())?;
        Args::from_arg_matches(&matches).map_err(|error| error.kind())
    }

    #[test]
    fn the_options_are_consistent() {
        Args::augment_args(clap::Command::new("connect")).debug_assert();
    }

    #[test]
    fn tokens_are_bound_and_short_unless_told_otherwise() {
        let args = parse(&[DOOR, MINT]).unwrap();
        assert_eq!((args.url.as_deref(), args.timeout), (Some("https://door:8443/mcp"), 300));
        assert_eq!((args.claims.bind, args.claims.ttl), (true, 60));
        let args = parse(&[DOOR, MINT, &["--bind=false", "--scope", "core logs", "--scope", "ssh"]]).unwrap();
        assert!(!args.claims.bind);
        assert_eq!(args.claims.scope, ["core", "logs", "ssh"].map(|text| Scope::parse(text).unwrap()));
    }

    #[test]
    fn there_is_exactly_one_source_of_tokens() {
        use clap::error::ErrorKind::{ArgumentConflict, MissingRequiredArgument};
        assert_eq!(parse(&[DOOR]).unwrap_err(), MissingRequiredArgument);
        assert_eq!(parse(&[DOOR, &["--token-key", "t.pem"]]).unwrap_err(), MissingRequiredArgument);
        assert_eq!(parse(&[DOOR, MINT, &["--token-file", "f"]]).unwrap_err(), ArgumentConflict);
        assert_eq!(parse(&[DOOR, &["--token-file", "f", "--token-command", "/x"]]).unwrap_err(), ArgumentConflict);
        assert_eq!(parse(&[DOOR, &["--token-file", "f", "--scope", "x"]]).unwrap_err(), MissingRequiredArgument);
        assert!(parse(&[DOOR, &["--token-file", "f"]]).is_ok());
        assert!(parse(&[DOOR, &["--token-command", "/bin/tok 'a b'"]]).is_ok());
    }

    #[test]
    fn a_socket_needs_no_certificate_and_no_token() {
        use clap::error::ErrorKind::ArgumentConflict;
        let socket: &[&str] = &["--socket", "/run/door.sock"];
        assert!(parse(&[socket]).unwrap().url.is_none());
        assert!(parse(&[socket, &["--token-file", "f"]]).is_ok() && parse(&[socket, MINT]).is_ok());
        assert_eq!(parse(&[socket, DOOR]).unwrap_err(), ArgumentConflict);
        assert_eq!(parse(&[socket, &["--ca", "ca.pem"]]).unwrap_err(), ArgumentConflict);
        assert_eq!(parse(&[socket, &["--token-file", "f", "--token-command", "/x"]]).unwrap_err(), ArgumentConflict);
    }

    #[test]
    fn what_could_not_work_is_a_wrong_command_line() {
        use clap::error::ErrorKind::ValueValidation;
        let file: &[&str] = &["--token-file", "f", "--cert", "c", "--key", "k"];
        assert_eq!(parse(&[&["http://door:8443"], file]).unwrap_err(), ValueValidation);
        assert_eq!(parse(&[DOOR, &["--token-command", "vault token"]]).unwrap_err(), ValueValidation);
        assert_eq!(parse(&[DOOR, &["--token-file", "f", "--timeout", "0"]]).unwrap_err(), ValueValidation);
        assert_eq!(parse(&[DOOR, MINT, &["--ttl", "0"]]).unwrap_err(), ValueValidation);
        assert_eq!(parse(&[DOOR, MINT, &["--scope", "a\"b"]]).unwrap_err(), ValueValidation);
    }

    #[test]
    fn a_wrong_value_that_may_hold_a_secret_is_not_repeated() {
        let said = |arguments: &[&[&str]]| {
            let command = Args::augment_args(clap::Command::new("connect").no_binary_name(true));
            command.try_get_matches_from(arguments.concat()).unwrap_err().to_string()
        };
        let file: &[&str] = &["--token-file", "f", "--cert", "c", "--key", "k"];
        let client: &[&str] = &["--oauth-client-id", "c"];
        for text in [
            said(&[&["https://bob:hunter2@door:8443"], file]),
            said(&[&["http://door/hunter2"], file]),
            said(&[DOOR, &["--token-command", "echo hunter2"]]),
            said(&[DOOR, &["--token-command", "/bin/echo 'hunter2"]]),
            said(&[DOOR, client, &["--oauth-issuer", "https://bob:hunter2@issuer"]]),
            said(&[DOOR, client, &["--oauth-token-endpoint", "https://bob:hunter2@issuer/token"]]),
            said(&[DOOR, client, &["--oauth-issuer", "https://i", "--oauth-resource", "hunter2"]]),
        ] {
            assert!(text.contains("invalid value for") && !text.contains("hunter2"), "{text}");
        }
    }

    /// A certificate and its key; here they stand for the client's, the authority's and the token key.
    fn identity(dir: &Path) -> (String, String) {
        let profile = Profile { common_name: "Test".to_owned(), lifetime: Duration::from_secs(86_400) };
        Authority::create(dir, &profile, &Clock::system()).unwrap();
        ["ca.crt", "ca.key"].map(|name| dir.join(name).to_str().unwrap().to_owned()).into()
    }

    #[test]
    fn a_minted_token_is_short_scoped_and_bound_to_the_certificate() {
        let dir = tempfile::tempdir().unwrap();
        let (cert, key) = identity(&dir.path().join("ca"));
        let args = parse(&[DOOR, MINT, &["--scope", "core logs", "--agent", "bot"]]).unwrap();
        let clock = Clock::manual(Timestamp::from_seconds(1_800_000_000));
        let Tokens::Minted(mint) = minted(Path::new(&key), Some(Path::new(&cert)), args.claims, clock).unwrap() else {
            panic!("minted here")
        };
        let (first, second) = (mint().unwrap(), mint().unwrap());
        assert_ne!(first.expose(), second.expose());
        let claims = URL_SAFE_NO_PAD.decode(first.expose().split('.').nth(1).unwrap()).unwrap();
        let claims: serde_json::Value = serde_json::from_slice(&claims).unwrap();
        assert_eq!((&claims["sub"], &claims["act"]["sub"]), (&"s".into(), &"bot".into()));
        assert_eq!((&claims["scope"], &claims["exp"]), (&"core logs".into(), &1_800_000_060.into()));
        let thumbprint = store::leaf(Path::new(&cert)).unwrap().thumbprint.base64url();
        assert_eq!(claims["cnf"]["x5t#S256"], thumbprint);
    }

    #[test]
    fn a_key_that_others_may_read_is_not_used() {
        let dir = tempfile::tempdir().unwrap();
        let (cert, key) = identity(&dir.path().join("ca"));
        let arguments = ["https://door", "--cert", &cert, "--key", &key, "--ca", &cert, "--token-file", "/run/token"];
        let build = || bridge(parse(&[&arguments]).unwrap(), Clock::system(), Arc::new(|_| {})).map(drop);
        build().unwrap();
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o640)).unwrap();
        assert!(build().unwrap_err().public().contains("chmod 600"));
    }
}
