//! The options of `doorward connect` for tokens from an authorization server.

use std::path::PathBuf;
use std::time::Duration;

use clap::ArgGroup;

use super::{CONNECT, PEM_BYTES, read_public, scope};
use crate::authn::JwtAlgorithm;
use crate::authn::mint::Minter;
use crate::cli::token::algorithm;
use crate::cli::unsaid::Unsaid;
use crate::clock::Clock;
use crate::error::{Code, Failure};
use crate::identity::Scope;
use crate::mcp::connect::oauth::{Client, ClientCredentials, Https, Proof, Server, https, issuer};
use crate::mcp::connect::{Tokens, read_private};
use crate::net::Options;
use crate::net::repeatable::Repeatable;
use crate::secret::Secret;

/// Longest time for one answer of the authorization server.
const ANSWER: Duration = Duration::from_secs(15);

/// Which authorization server, and as whom.
#[derive(clap::Args, Debug)]
#[command(next_help_heading = "With --oauth-client-id")]
#[command(group = ArgGroup::new("authorization server").multiple(true))]
pub(super) struct AuthorizationServer {
    /// Ask an authorization server for a token for each request, as this client (client credentials)
    #[arg(long, value_name = "ID", env = "DOORWARD_CONNECT_OAUTH_CLIENT_ID", hide_env_values = true)]
    #[arg(group = "token source", requires = "authorization server")]
    oauth_client_id: Option<String>,
    /// Its issuer, exactly; its metadata says where tokens are asked for
    #[arg(long, value_name = "URL", env = "DOORWARD_CONNECT_OAUTH_ISSUER", hide_env_values = true)]
    #[arg(group = "authorization server", requires = "oauth_client_id", value_parser = Unsaid(issuer))]
    oauth_issuer: Option<String>,
    /// Its token endpoint, instead of the one that the metadata names
    #[arg(long, value_name = "URL", env = "DOORWARD_CONNECT_OAUTH_TOKEN_ENDPOINT", hide_env_values = true)]
    #[arg(group = "authorization server", requires = "oauth_client_id", value_parser = Unsaid(https))]
    oauth_token_endpoint: Option<String>,
    /// The client's private key for private_key_jwt, PEM, readable by its owner only [default: none, the client is known
    /// by --cert: tls_client_auth]
    #[arg(long, value_name = "PEM", env = "DOORWARD_CONNECT_OAUTH_CLIENT_KEY", hide_env_values = true)]
    #[arg(requires = "oauth_client_id")]
    oauth_client_key: Option<PathBuf>,
    /// The name of that key at the server [default: its thumbprint, RFC 7638]
    #[arg(long, value_name = "KID", env = "DOORWARD_CONNECT_OAUTH_CLIENT_KID", hide_env_values = true)]
    #[arg(requires = "oauth_client_key")]
    oauth_client_kid: Option<String>,
    /// How that key signs [default: the key's own algorithm; RS256 for RSA]
    #[arg(long, value_name = "ALG", env = "DOORWARD_CONNECT_OAUTH_CLIENT_ALG", hide_env_values = true)]
    #[arg(requires = "oauth_client_key", value_parser = algorithm)]
    oauth_client_alg: Option<JwtAlgorithm>,
    /// What the token is for: the audience that the door expects, or `none` to leave it to the server [default: the URL]
    #[arg(long, value_name = "URI", env = "DOORWARD_CONNECT_OAUTH_RESOURCE", hide_env_values = true)]
    #[arg(requires = "oauth_client_id", value_parser = Unsaid(resource))]
    oauth_resource: Option<Resource>,
    /// `scope`; may be repeated, or hold several with spaces between them
    #[arg(long, value_name = "SCOPE", env = "DOORWARD_CONNECT_OAUTH_SCOPE", hide_env_values = true)]
    #[arg(requires = "oauth_client_id", value_delimiter = ' ', value_parser = scope)]
    oauth_scope: Vec<Scope>,
    /// Authorities that may vouch for the authorization server, PEM [default: the system's, whatever --ca says]
    #[arg(long, value_name = "PEM", env = "DOORWARD_CONNECT_OAUTH_CA", hide_env_values = true)]
    #[arg(requires = "oauth_client_id")]
    oauth_ca: Option<PathBuf>,
    /// Use a token until shortly before it expires; the door must run with `replay: sender_bound`
    #[arg(long, env = "DOORWARD_CONNECT_OAUTH_REUSE", hide_env_values = true)]
    #[arg(requires = "oauth_client_id")]
    oauth_reuse: bool,
}

/// RFC 8707 section 2.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Resource {
    Named(String),
    None,
}

fn resource(text: &str) -> Result<Resource, String> {
    let plain = text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#');
    let scheme = text.split_once(':').map(|(scheme, _)| scheme).filter(|scheme| !scheme.is_empty());
    match (text, scheme) {
        ("none", _) => Ok(Resource::None),
        (_, Some(_)) if plain => Ok(Resource::Named(text.to_owned())),
        _ => Err("a resource is a whole URI without a fragment (#…), or none".to_owned()),
    }
}

impl AuthorizationServer {
    /// Whether tokens are to come from here.
    pub(super) fn is_named(&self) -> bool {
        self.oauth_client_id.is_some()
    }

    /// The source of tokens for the door at `door`, with the certificate and key that the door is shown.
    pub(super) fn tokens(
        self,
        door: &str,
        identity: (Vec<u8>, Secret<Vec<u8>>),
        silence: Duration,
        clock: Clock,
    ) -> Result<Tokens, Failure> {
        let missing = || Failure::new(Code::Config, "tokens need --oauth-client-id and an authorization server");
        let server = match (self.oauth_token_endpoint, self.oauth_issuer) {
            (Some(url), issuer) => Server::Endpoint { url, issuer },
            (None, Some(issuer)) => Server::Issuer(issuer),
            (None, None) => return Err(missing()),
        };
        let proof = match self.oauth_client_key {
            None => Proof::Certificate,
            Some(path) => {
                let key = read_private(&path, PEM_BYTES)?;
                let minter = Minter::from_pem(key.expose(), self.oauth_client_alg)?;
                Proof::Key(Box::new(self.oauth_client_kid.into_iter().fold(minter, Minter::with_kid)))
            }
        };
        let resource = match self.oauth_resource {
            None => Some(door.to_owned()),
            Some(Resource::Named(uri)) => Some(uri),
            Some(Resource::None) => None,
        };
        let client = Client {
            id: self.oauth_client_id.ok_or_else(missing)?,
            server,
            proof,
            resource,
            scopes: self.oauth_scope.iter().map(|scope| scope.as_str().to_owned()).collect(),
            reuse: self.oauth_reuse,
        };
        let outbound = Repeatable::new(&Options {
            ca_pem: self.oauth_ca.as_deref().map(read_public).transpose()?,
            identity: Some(identity),
            connect_timeout: CONNECT.min(silence),
        })?;
        let web = Https { outbound, limit: ANSWER.min(silence) };
        Ok(Tokens::Granted(Box::new(ClientCredentials::new(client, web, clock))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::connect::tests::{DOOR, MINT, parse};
    use clap::error::ErrorKind::{ArgumentConflict, MissingRequiredArgument, ValueValidation};

    const CLIENT: &[&str] = &["--oauth-client-id", "agent"];
    const ISSUER: &[&str] = &["--oauth-issuer", "https://as.example"];

    #[test]
    fn a_client_needs_a_server_and_a_server_a_client() {
        let server = parse(&[DOOR, CLIENT, ISSUER]).unwrap().server;
        assert!(server.is_named() && !server.oauth_reuse && server.oauth_resource.is_none());
        let endpoint: &[&str] = &["--oauth-token-endpoint", "https://as.example/token"];
        assert!(parse(&[DOOR, CLIENT, endpoint]).is_ok());
        assert!(parse(&[DOOR, CLIENT, ISSUER, endpoint]).is_ok());
        assert_eq!(parse(&[DOOR, CLIENT]).unwrap_err(), MissingRequiredArgument);
        assert_eq!(parse(&[DOOR, ISSUER]).unwrap_err(), MissingRequiredArgument);
        assert_eq!(parse(&[DOOR, MINT, &["--oauth-reuse"]]).unwrap_err(), MissingRequiredArgument);
        assert_eq!(parse(&[DOOR, CLIENT, ISSUER, &["--oauth-client-kid", "k"]]).unwrap_err(), MissingRequiredArgument);
    }

    #[test]
    fn an_authorization_server_is_the_only_source_of_tokens() {
        assert_eq!(parse(&[DOOR, CLIENT, ISSUER, MINT]).unwrap_err(), ArgumentConflict);
        assert_eq!(parse(&[DOOR, CLIENT, ISSUER, &["--token-file", "f"]]).unwrap_err(), ArgumentConflict);
    }

    #[test]
    fn a_server_is_reached_by_https_and_a_resource_is_a_uri() {
        for wrong in [
            ["--oauth-issuer", "http://as.example"],
            ["--oauth-issuer", "https://as.example/?x"],
            ["--oauth-token-endpoint", "as.example/token"],
            ["--oauth-resource", "door"],
            ["--oauth-resource", "https://door/#x"],
            ["--oauth-client-alg", "HS256"],
            ["--oauth-scope", "a\"b"],
        ] {
            let key: &[&str] = &["--oauth-client-key", "k.pem", "--oauth-token-endpoint", "https://as.example/t"];
            let arguments = if wrong[0] == "--oauth-token-endpoint" { ISSUER } else { key };
            assert_eq!(parse(&[DOOR, CLIENT, arguments, &wrong]).unwrap_err(), ValueValidation, "{wrong:?}");
        }
        let named = |text: &str| resource(text).unwrap();
        assert_eq!(named("none"), Resource::None);
        assert_eq!(named("urn:door"), Resource::Named("urn:door".to_owned()));
    }
}
