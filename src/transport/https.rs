//! What a request passes before it is a call, in order, and the server around it: HTTPS with client certificates. A unix
//! socket has the same path, see [`super::unix`].

use std::convert::Infallible;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use arc_swap::ArcSwap;
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use axum_server::{Address, Handle};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_REQUEST_HEADERS, CONNECTION, CONTENT_LENGTH, VARY,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version};
use http_body::Body as _;
use http_body_util::Full;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use serde_json::Value;
use tower::Service;
use tower::make::Shared;

use super::accept::Acceptor;
use super::activity::Running;
use super::bearer::{self, Challenge};
use super::bodies::{Room, Share};
use super::body::Held;
use super::connection::Connection;
use super::hygiene::{self, Names};
use super::message::{self, Asks, Refused};
use super::probe::{self, Readiness};
use super::strangers::{Folded, Strangers};
use super::tls::Material;
use super::turned::{Inside, Outside};
use super::{HttpSection, allowance, reply};
use crate::audit::Event;
use crate::error::{Code, Failure};
use crate::mcp::{Endpoint, Passage};
use crate::pipeline::{Arrival, Door, TurnedAway};

/// Everything a connection and its requests are judged by, as one configuration made it.
pub struct Front {
    /// The path of a call.
    pub door: Arc<Door>,
    /// What proves a channel; over a unix socket the kernel does.
    pub tls: Option<Arc<Material>>,
    /// Longest handshake.
    pub handshake_timeout: Duration,
    /// Limits of HTTP.
    pub http: HttpSection,
    /// Names and origins served.
    pub names: Names,
    /// What a client is told about tokens.
    pub challenge: Challenge,
    /// Whether the daemon can do its work.
    pub readiness: Arc<dyn Readiness>,
    /// The protocol.
    pub endpoint: Endpoint,
}

/// A running server.
pub struct Server<A: Address = SocketAddr> {
    /// Where it listens.
    pub address: A,
    pub(super) front: Arc<ArcSwap<Front>>,
    pub(super) strangers: Strangers,
    pub(super) handle: Handle<A>,
    pub(super) task: tokio::task::JoinHandle<io::Result<()>>,
}

impl Server {
    /// Starts to serve on `listener` under whatever `front` holds at the time.
    ///
    /// # Errors
    /// [`Code::Io`] when the listener cannot be used.
    pub fn start(listener: TcpListener, front: Arc<ArcSwap<Front>>) -> Result<Self, Failure> {
        let failed = |error: io::Error| Failure::new(Code::Io, "the listener cannot be used").because(error);
        let address = listener.local_addr().map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        let http = front.load().http.clone();
        let (handle, strangers) = (Handle::new(), Strangers::default());
        let mut server = axum_server::from_tcp(listener)
            .map_err(failed)?
            .acceptor(Acceptor::new(Arc::clone(&front), strangers.clone()))
            .handle(handle.clone());
        limit(server.http_builder(), &http);
        let requests = Requests { front: Arc::clone(&front), strangers: strangers.clone() };
        let task = tokio::spawn(server.serve(Shared::new(requests)));
        Ok(Self { address, front, strangers, handle, task })
    }
}

impl<A: Address + Send + Sync + 'static> Server<A> {
    /// What requests are judged by; another one may be put in its place at any time.
    #[must_use]
    pub fn front(&self) -> &Arc<ArcSwap<Front>> {
        &self.front
    }

    /// Takes no more connections, lets running requests end for at most `grace`, then closes.
    pub async fn stop(self, grace: Duration) {
        self.handle.graceful_shutdown(Some(grace));
        let _ = tokio::time::timeout(grace.saturating_add(Duration::from_secs(1)), self.task).await;
        settle(&self.front, self.strangers.settle(None)).await;
    }

    /// Records refusals that were only counted. To be called now and then.
    pub async fn tend(&self) {
        let now = self.front.load().door.clock.instant();
        settle(&self.front, self.strangers.settle(Some(now))).await;
    }
}

/// The limits of the HTTP library itself.
pub(super) fn limit(builder: &mut Builder<TokioExecutor>, http: &HttpSection) {
    let timer = TokioTimer::new();
    // More headers than are allowed come through, so that they are refused here, with a record; far more do not.
    let most_header_bytes = http.max_header_bytes.saturating_mul(2).max(16_384);
    builder
        .http1()
        .timer(timer.clone())
        // It would run from one request to the next and so be the idle time; the stream tells them apart.
        .header_read_timeout(None)
        .max_headers(hygiene::MOST_HEADERS.saturating_mul(2))
        .max_buf_size(most_header_bytes);
    builder
        .http2()
        .timer(timer)
        .keep_alive_interval(Duration::from_secs(20))
        .keep_alive_timeout(Duration::from_secs(10))
        .max_concurrent_streams(http.max_concurrent_streams)
        .max_pending_accept_reset_streams(20)
        .max_local_error_reset_streams(Some(64))
        .max_send_buf_size(256 * 1024)
        .max_header_list_size(u32::try_from(most_header_bytes).unwrap_or(u32::MAX));
}

/// Takes every request, whatever its path. The acceptor has put the connection among the request's extensions.
#[derive(Clone)]
pub(super) struct Requests {
    pub(super) front: Arc<ArcSwap<Front>>,
    pub(super) strangers: Strangers,
}

impl<B> Service<http::Request<B>> for Requests
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<axum::BoxError>,
{
    type Response = Response;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: http::Request<B>) -> Self::Future {
        let connection = request.extensions_mut().remove::<Arc<Connection>>();
        let (front, strangers) = (self.front.load_full(), self.strangers.clone());
        Box::pin(async move {
            Ok(match connection {
                Some(connection) => enter(&front, &strangers, &connection, request.map(Body::new)).await,
                None => reply::refusal(&Failure::new(Code::Internal, "no connection"), Value::Null, &front.challenge),
            })
        })
    }
}

async fn settle(front: &ArcSwap<Front>, left: Vec<Folded>) {
    let door = Arc::clone(&front.load().door);
    for Folded { client, reason, count } in left {
        let event = if reason.known { Event::QueryDenied } else { Event::AuthFailure };
        door.turned_away(client, event, reason.code, count).await;
    }
}

/// Every request, whatever its path, comes in here.
async fn enter(front: &Arc<Front>, strangers: &Strangers, connection: &Arc<Connection>, request: Request) -> Response {
    let outside = Outside { front, connection, strangers };
    let (version, bodiless) = (request.version(), request.method() == Method::HEAD);
    if let Err(expired) = connection.open_to(version) {
        // It does not count as running, or a busy client would keep the connection for ever.
        return outside.refuse(&expired).await;
    }
    let running = Running::on(connection.activity(), version);
    let mut response = route(outside, request).await;
    if connection.aged() && version <= Version::HTTP_11 {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    if bodiless {
        return without_body(response);
    }
    response.map(|body| Body::new(Held::new(body, running)))
}

/// The answer to HEAD says how long that to GET would be, and has nothing more (RFC 9110 section 9.3.2).
fn without_body(mut response: Response) -> Response {
    if let Some(length) = response.body().size_hint().exact() {
        response.headers_mut().entry(CONTENT_LENGTH).or_insert_with(|| HeaderValue::from(length));
    }
    response.map(|_| Body::empty())
}

/// The stations before the protocol. The certificate is judged first, so that nobody who has none learns anything; the
/// token before the body, so that a stranger costs little.
async fn route(outside: Outside<'_>, request: Request) -> Response {
    let Outside { front, connection, .. } = outside;
    let (mut parts, body) = request.into_parts();
    let checked = connection
        .check(front.tls.as_deref(), front.door.clock.now())
        .and_then(|()| hygiene::check_size(&parts, front.http.max_header_bytes))
        .and_then(|()| hygiene::check_framing(&parts.headers))
        .and_then(|()| front.names.check(&parts));
    let origin = match checked {
        Ok(origin) => origin,
        Err(failure) => {
            let mut response = outside.refuse(&failure).await;
            // Where such a request ends is not sure, so nothing behind it is read.
            if failure.code() == Code::HeaderMalformed && parts.version <= Version::HTTP_11 {
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            return response;
        }
    };
    let response = match (parts.uri.path(), &parts.method) {
        ("/mcp", &Method::OPTIONS) if origin.is_some() => preflight(&parts.headers),
        ("/mcp", method) if front.endpoint.protocol().serves(method) => enter_known(outside, &mut parts, body).await,
        ("/mcp", _) => outside.refuse(&Failure::new(Code::MethodNotAllowed, "only POST is served here")).await,
        (
            "/.well-known/oauth-protected-resource" | "/.well-known/oauth-protected-resource/mcp",
            &Method::GET | &Method::HEAD,
        ) => reply::json(front.challenge.metadata()),
        // Not /metrics: whoever may call need not know how much others do.
        (path @ ("/health" | "/ready"), &Method::GET | &Method::HEAD) => probe::answer(path, front.readiness.as_ref()),
        _ => outside.refuse(&Failure::new(Code::NotFound, "nothing is served at this path")).await,
    };
    with_cors(response, origin)
}

/// A request to the endpoint: first who sends it. Whoever is known is told what is left to him, however it ends.
async fn enter_known(outside: Outside<'_>, parts: &mut http::request::Parts, body: Body) -> Response {
    let front = outside.front;
    let (received, started) = (front.door.clock.now(), front.door.clock.instant());
    let presented = bearer::take(&mut parts.headers);
    let peer = outside.connection.peer();
    let identified = front.door.identify_if_due(peer, &presented, |code| outside.due(code, false)).await;
    drop(presented);
    let arrival = match identified {
        Ok(arrival) => arrival,
        // The pipeline has recorded it, or it is counted.
        Err(TurnedAway { failure, caller }) => {
            let mut response = reply::refusal(&failure, Value::Null, &front.challenge);
            let quotas = match caller {
                Some(caller) => front.door.quotas(&caller, None),
                None if failure.code() == Code::RateLimited => front.door.gate.quotas_over(peer),
                None => Vec::new(),
            };
            allowance::tell(response.headers_mut(), &quotas);
            return response;
        }
    };
    let caller = Arc::clone(arrival.caller());
    let passage =
        Passage { door: Arc::clone(&front.door), caller: Arc::clone(&caller), received, started, announced: true };
    let mut tool = None;
    let answered = call(outside, parts, body, passage, arrival, &mut tool).await;
    let mut response = answered.unwrap_or_else(|refused| *refused);
    allowance::tell(response.headers_mut(), &front.door.quotas(&caller, tool.as_deref()));
    response
}

/// Then what is asked: message, protocol. Which tool is asked for is put into `tool`.
async fn call(
    outside: Outside<'_>,
    parts: &mut http::request::Parts,
    body: Body,
    mut passage: Passage,
    arrival: Arrival,
    tool: &mut Option<String>,
) -> Result<Response, Box<Response>> {
    let (front, caller) = (outside.front, Arc::clone(&passage.caller));
    let inside = Inside { outside, caller: &caller };
    let refusal = |failure: Failure| Box::new(reply::refusal(&failure, Value::Null, &front.challenge));
    if !front.door.policy.knows(caller.scopes()) {
        arrival.record().await.map_err(refusal)?.kept().await.map_err(refusal)?;
        let failure = Failure::new(Code::InsufficientScope, "the token has no scope that opens anything here");
        front.door.gate.charge(&caller);
        return Err(inside.refuse(&failure, Value::Null).await);
    }
    // Held until there is an answer: what was read of it may be with the protocol layer until then.
    let mut share = outside.connection.bodies().share(Room::from(&front.http));
    let (body, asks) = match read_message(front, parts, body, &mut share).await {
        Ok(message) => message,
        Err(refused) => {
            arrival.record().await.map_err(refusal)?.kept().await.map_err(refusal)?;
            // It has cost what a request costs; that it is refused stands already.
            front.door.gate.charge(&caller);
            let mut answer = inside.refuse(&refused.failure, refused.id).await;
            if refused.in_band {
                *answer.status_mut() = StatusCode::OK;
            }
            return Err(answer);
        }
    };
    let (calls, recorded) = match asks {
        Asks::Call(named) => {
            *tool = named;
            (true, arrival.record_with(tool.as_deref()).await.map_err(refusal)?)
        }
        Asks::Other => {
            if let Err(failure) = front.door.spend(&caller).await {
                arrival.fold();
                return Err(refusal(failure));
            }
            (false, Some(arrival.record().await.map_err(refusal)?))
        }
    };
    passage.announced = recorded.is_some();
    hygiene::strip(&mut parts.headers, front.endpoint.protocol());
    let mut request = Request::new(Full::new(body));
    *request.method_mut() = parts.method.clone();
    *request.uri_mut() = parts.uri.clone();
    *request.headers_mut() = std::mem::take(&mut parts.headers);
    request.extensions_mut().insert(passage);
    let response = front.endpoint.answer(request).await;
    drop(share);
    if let Some(recorded) = recorded
        && let Err(failure) = recorded.kept().await
    {
        return Err(inside.refuse(&failure, Value::Null).await);
    }
    let (response, refused) = inside.watch(response.map(Body::new)).await;
    if refused && calls {
        // It never became a call, which would have taken a share.
        front.door.gate.charge(&caller);
    }
    Ok(response)
}

/// The message in a POST: media types, body, content. Other methods, where they are served at all, have none.
async fn read_message(
    front: &Front,
    parts: &http::request::Parts,
    body: Body,
    share: &mut Share<'_>,
) -> Result<(Bytes, Asks), Refused> {
    if parts.method != Method::POST {
        return Ok((Bytes::new(), Asks::Other));
    }
    hygiene::check_media(&parts.headers)?;
    let limit = Duration::from_secs(front.http.body_timeout);
    let body = hygiene::read(body, front.http.max_body_bytes, limit, share).await?;
    let asks = message::check(&body, &parts.headers, front.endpoint.protocol())?;
    Ok((body, asks))
}

/// What a page of a configured origin may send: the headers of the protocol and no others. Those of a tool's parameters have
/// names of their own, so they are allowed as they are asked for.
fn preflight(asked: &HeaderMap) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("POST, OPTIONS"));
    let mut allowed =
        "Accept, Authorization, Content-Type, MCP-Protocol-Version, Mcp-Method, Mcp-Name, X-Correlation-ID".to_owned();
    let asked = asked.get(ACCESS_CONTROL_REQUEST_HEADERS).and_then(|names| names.to_str().ok()).unwrap_or_default();
    for name in asked.split(',').filter_map(|name| name.trim().parse::<HeaderName>().ok()) {
        if name.as_str().starts_with("mcp-param-") {
            allowed.push_str(", ");
            allowed.push_str(name.as_str());
        }
    }
    if let Ok(allowed) = HeaderValue::try_from(allowed) {
        headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, allowed);
    }
    response
}

/// Names the one origin that may read the answer; credentials are never allowed.
fn with_cors(mut response: Response, origin: Option<String>) -> Response {
    if let Some(origin) = origin.and_then(|origin| HeaderValue::try_from(origin).ok()) {
        response.headers_mut().insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        response.headers_mut().append(VARY, HeaderValue::from_static("Origin"));
    }
    response
}
