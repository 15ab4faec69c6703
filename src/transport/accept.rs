//! From a TCP connection to a [`Connection`]: a slot, a handshake, a certificate. What fails here is audited and closed.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use axum::Extension;
use axum::middleware::AddExtension;
use axum_server::accept::Accept;
use futures_util::future::BoxFuture;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tower::Layer as _;

use super::activity::Limits;
use super::bodies::Bodies;
use super::connection::Connection;
use super::https::Front;
use super::slots::{Slot, Slots};
use super::strangers::{Reason, Stranger, Strangers};
use super::stream::Stream;
use super::tls;
use crate::audit::Client;
use crate::error::{Code, Failure};
use crate::identity::Network;
use crate::pki;
use crate::telemetry::{HandshakeRefused, Refused};

/// Twice the window that the HTTP library opens for a connection.
const AHEAD: usize = 2 * 1024 * 1024;

/// Accepts connections for whatever configuration is in force when they come.
#[derive(Clone)]
pub(super) struct Acceptor {
    front: Arc<ArcSwap<Front>>,
    slots: Slots,
    bodies: Bodies,
    strangers: Strangers,
}

impl Acceptor {
    pub(super) fn new(front: Arc<ArcSwap<Front>>, strangers: Strangers) -> Self {
        Self { front, slots: Slots::default(), bodies: Bodies::default(), strangers }
    }
}

impl<S: Send + 'static> Accept<TcpStream, S> for Acceptor {
    type Stream = Stream<TlsStream<TcpStream>>;
    type Service = AddExtension<S, Arc<Connection>>;
    type Future = BoxFuture<'static, io::Result<(Self::Stream, Self::Service)>>;

    fn accept(&self, tcp: TcpStream, service: S) -> Self::Future {
        let (front, slots, strangers) = (self.front.load_full(), self.slots.clone(), self.strangers.clone());
        let bodies = self.bodies.clone();
        Box::pin(async move {
            let address = tcp.peer_addr()?.ip().to_canonical();
            match shake_hands(&front, &slots, &bodies, &strangers, tcp, address).await {
                Ok(stream) => {
                    let connection = Extension(Arc::clone(stream.connection()));
                    Ok((stream, connection.layer(service)))
                }
                Err(failure) => {
                    if !matches!(failure.code(), Code::TooManyConnections | Code::TooManyHandshakes) {
                        front.door.gate.stumbled(Network::of(address));
                    }
                    let cause = failure.cause().unwrap_or_default();
                    let refusal = Reason { code: failure.code(), known: false };
                    let (stranger, client) = (Stranger::at(address), || Client::at(Network::of(address).address()));
                    if strangers.due(stranger, refusal, client, front.door.clock.instant()) {
                        HandshakeRefused { address, code: failure.code(), cause: &cause }.emit();
                        front.door.turn_away(Client::at(address), &failure).await;
                    } else {
                        Refused { code: failure.code() }.emit();
                    }
                    Err(io::Error::other(failure))
                }
            }
        })
    }
}

async fn shake_hands(
    front: &Front,
    slots: &Slots,
    bodies: &Bodies,
    strangers: &Strangers,
    tcp: TcpStream,
    address: IpAddr,
) -> Result<Stream<TlsStream<TcpStream>>, Failure> {
    let http = &front.http;
    let slot = slots.take(address, http.max_connections, http.max_connections_per_address)?;
    front.door.gate.greet(Network::of(address))?;
    let failed = |cause: io::Error| Failure::new(Code::HandshakeFailed, "the TLS handshake failed").because(cause);
    tcp.set_nodelay(true).map_err(failed)?;
    let tls = front.tls.as_ref().ok_or_else(|| Failure::new(Code::Internal, "this listener has no certificate"))?;
    let shaking = TlsAcceptor::from(Arc::clone(&tls.config)).accept(tcp);
    let stream = match tokio::time::timeout(front.handshake_timeout, shaking).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return Err(reason(error)),
        Err(_) => return Err(Failure::new(Code::HandshakeFailed, "the TLS handshake took too long")),
    };
    let chain: Vec<_> =
        stream.get_ref().1.peer_certificates().into_iter().flatten().map(|c| c.clone().into_owned()).collect();
    let leaf =
        chain.first().ok_or_else(|| Failure::new(Code::CertificateMissing, "a client certificate is required"))?;
    let certificate = pki::certificate(leaf)?;
    let max_age = Duration::from_secs(http.max_connection_age);
    let (clock, holder) = (front.door.clock.clone(), tls.holder(&certificate));
    let connection = Arc::new(Connection::new(address, chain, (certificate, holder), max_age, bodies, clock));
    connection.verified(tls);
    Ok(watched(front, stream, connection, slot, strangers))
}

/// The stream of a connection that was accepted, within its limits.
pub(super) fn watched<T>(
    front: &Front,
    stream: T,
    connection: Arc<Connection>,
    slot: Slot,
    strangers: &Strangers,
) -> Stream<T> {
    let http = &front.http;
    let (header, idle) = (Duration::from_secs(http.header_timeout), Duration::from_secs(http.idle_timeout));
    let last_call = front.door.query_timeout.saturating_add(idle);
    // What a client may send ahead: HTTP/2's window for bodies, and headers.
    let ahead = http.max_header_bytes.saturating_mul(4).saturating_add(AHEAD);
    // A body may come in pieces as small as what a read is taken to cost.
    let body = http.max_body_bytes.saturating_mul(2);
    let [idle_bytes, body_bytes] = [ahead, body].map(|bytes| u64::try_from(bytes).unwrap_or(u64::MAX));
    let max_age = Duration::from_secs(http.max_connection_age);
    let limits = Limits { first: header, header, idle, max_age, last_call, idle_bytes, body_bytes };
    let (door, peer, strangers) = (Arc::clone(&front.door), Arc::clone(connection.peer()), strangers.clone());
    let report = Box::new(move |failure: Failure| {
        let refusal = Reason { code: failure.code(), known: false };
        if strangers.due_from(&peer, refusal, door.clock.instant()) {
            tokio::spawn(async move { door.turn_away(Client::from(&*peer), &failure).await });
        } else {
            Refused { code: failure.code() }.emit();
        }
    });
    Stream::new(stream, connection, limits, slot, report)
}

fn reason(error: io::Error) -> Failure {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(tls) => tls::refusal(tls),
        None => Failure::new(Code::HandshakeFailed, "the TLS handshake failed").because(error),
    }
}
