//! Tokens from an authorization server by client credentials (OAuth 2.1 section 4.2): over https only, from the issuer that
//! was named and no other, and a new one for each request unless the operator says otherwise.

mod assertion;
mod discovery;
mod form;
mod granted;
mod kept;
#[cfg(test)]
mod tests;

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, StatusCode, Uri};
use tokio::time::timeout;

use self::discovery::Endpoint;
use self::granted::Granted;
use self::kept::Kept;
use crate::authn::mint::Minter;
use crate::clock::Clock;
use crate::error::{Code, Failure};
use crate::net::repeatable::Repeatable;
use crate::secret::Secret;

/// How long what the authorization server says of itself is believed without asking again.
const METADATA_LIFE: Duration = Duration::from_secs(3600);
/// Longest metadata, in bytes.
const METADATA_BYTES: usize = 256 * 1024;
/// Longest answer of the token endpoint, in bytes.
const ANSWER_BYTES: usize = 64 * 1024;

/// Where tokens are asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Server {
    /// At the token endpoint that this issuer publishes (RFC 8414, OpenID Connect Discovery).
    Issuer(String),
    /// At this token endpoint, unseen.
    Endpoint {
        /// Its address.
        url: String,
        /// Whose it is; the audience of an assertion is the address itself when nobody says.
        issuer: Option<String>,
    },
}

/// How the client proves who it is.
pub enum Proof {
    /// `private_key_jwt` (RFC 7523 section 2.2).
    Key(Box<Minter>),
    /// `tls_client_auth` (RFC 8705 section 2): by the certificate that every request shows.
    Certificate,
}

/// A client as it is registered, and what it wants.
pub struct Client {
    /// `client_id`.
    pub id: String,
    /// Where.
    pub server: Server,
    /// By which right.
    pub proof: Proof,
    /// `resource` (RFC 8707): what the token is for.
    pub resource: Option<String>,
    /// `scope`.
    pub scopes: Vec<String>,
    /// Whether a token serves until shortly before it expires.
    pub reuse: bool,
}

/// Makes a form. What is signed in it is for one use, so no two are the same.
pub type Form<'a> = &'a (dyn Fn() -> Result<Bytes, Failure> + Sync);

/// The way to an authorization server. A trait, so that a test can stand in for it.
#[async_trait]
pub trait Web: Send + Sync {
    /// What lies at `url`.
    ///
    /// # Errors
    /// When that is not to be had.
    async fn get(&self, url: &str) -> Result<Vec<u8>, Failure>;

    /// Sends a form (`application/x-www-form-urlencoded`), made anew for each try; an answer of any status is an answer.
    ///
    /// # Errors
    /// When there is none, or no form.
    async fn submit(&self, url: &str, form: Form<'_>) -> Result<(StatusCode, Vec<u8>), Failure>;
}

/// Through [`Repeatable`]: a token that was asked for twice does no harm.
pub struct Https {
    /// The connections; their certificate is the one that tokens are bound to.
    pub outbound: Repeatable,
    /// Longest time for one answer.
    pub limit: Duration,
}

#[async_trait]
impl Web for Https {
    async fn get(&self, url: &str) -> Result<Vec<u8>, Failure> {
        self.outbound.get(url, self.limit, METADATA_BYTES).await
    }

    async fn submit(&self, url: &str, form: Form<'_>) -> Result<(StatusCode, Vec<u8>), Failure> {
        let headers = HeaderMap::from_iter([
            (ACCEPT, HeaderValue::from_static("application/json")),
            (CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded")),
        ]);
        let whole = async {
            let reply = self.outbound.post(url, headers, form, self.limit).await?;
            let status = reply.status;
            Ok((status, reply.collect(ANSWER_BYTES).await?))
        };
        let late = || Failure::new(Code::Upstream, "the remote party took too long");
        timeout(self.limit, whole).await.map_err(|_| late())?
    }
}

/// A source of tokens for one client.
pub struct ClientCredentials {
    client: Client,
    web: Box<dyn Web>,
    clock: Clock,
    endpoint: Kept<Endpoint>,
    token: Kept<Secret<String>>,
}

impl ClientCredentials {
    /// Asks nobody yet.
    pub fn new(client: Client, web: impl Web + 'static, clock: Clock) -> Self {
        Self { client, web: Box::new(web), clock, endpoint: Kept::default(), token: Kept::default() }
    }

    /// A token for one request.
    ///
    /// # Errors
    /// [`Code::TokenMissing`] when the authorization server refuses; [`Code::Upstream`] when it cannot be reached, or what
    /// it says is not what the standards have.
    pub(super) async fn next(&self) -> Result<Secret<String>, Failure> {
        if !self.client.reuse {
            return self.ask().await.map(|granted| granted.token);
        }
        let ask = async {
            let granted = self.ask().await?;
            Ok((granted.token, granted.life.map(kept::safely).unwrap_or_default()))
        };
        self.token.get(&self.clock, ask).await
    }

    /// Gives up a token that is kept: the door did not take it.
    pub(super) fn forget(&self) {
        self.token.forget();
    }

    async fn ask(&self) -> Result<Granted, Failure> {
        let endpoint = self.endpoint().await?;
        let form = || form::encoded(&self.client, &endpoint, self.clock.now());
        let answer = self.web.submit(&endpoint.url, &form).await;
        let granted = answer
            .map_err(|failure| because(failure, "the authorization server's token endpoint"))
            .and_then(|(status, body)| Granted::read(status, &body));
        if granted.as_ref().is_err_and(|failure| failure.code() == Code::Upstream) {
            // It may have moved.
            self.endpoint.forget();
        }
        granted
    }

    async fn endpoint(&self) -> Result<Endpoint, Failure> {
        match &self.client.server {
            Server::Endpoint { url, issuer } => {
                Ok(Endpoint { url: url.clone(), audience: issuer.clone().unwrap_or_else(|| url.clone()) })
            }
            Server::Issuer(issuer) => {
                let discover = async { Ok((discovery::endpoint(&*self.web, issuer).await?, METADATA_LIFE)) };
                self.endpoint.get(&self.clock, discover).await
            }
        }
    }
}

/// The same, with who it was in front.
fn because(failure: Failure, who: &str) -> Failure {
    let text = format!("{who}: {}", failure.public());
    let named = Failure::new(failure.code(), text);
    match failure.cause() {
        Some(cause) => named.because(cause),
        None => named,
    }
}

/// Whether `text` can be the address of an authorization server, or its name: https, a host, no user, no fragment.
///
/// # Errors
/// What is wrong, for the person who typed it.
pub fn https(text: &str) -> Result<String, String> {
    let uri: Uri = text.parse().map_err(|error| format!("not a URL: {error}"))?;
    if uri.scheme_str() != Some("https") {
        return Err("an authorization server is reached by https only".to_owned());
    }
    let authority = uri.authority().filter(|authority| !authority.host().is_empty()).ok_or("there is no host")?;
    if authority.as_str().contains('@') || text.contains('#') {
        return Err("neither a user or password nor a fragment (#…) belongs here".to_owned());
    }
    Ok(text.to_owned())
}

/// The same for an issuer, which has no query either (RFC 8414 section 2).
///
/// # Errors
/// What is wrong.
pub fn issuer(text: &str) -> Result<String, String> {
    if text.contains('?') { Err("an issuer has no query (?…)".to_owned()) } else { https(text) }
}
