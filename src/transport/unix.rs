//! A unix socket: the same requests, hygiene and limits as over HTTPS. Who calls is proven by the kernel (`SO_PEERCRED`), as of
//! the moment of connecting; nobody else can read along, so there is no TLS.

use std::io;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use axum::Extension;
use axum::middleware::AddExtension;
use axum_server::Handle;
use axum_server::accept::Accept;
use futures_util::future::{Ready, ready};
use tokio::net::UnixStream;
use tower::Layer as _;
use tower::make::Shared;

use super::accept::watched;
use super::bodies::Bodies;
use super::connection::Connection;
use super::https::{self, Front, Requests, Server};
use super::slots::{Place, Slots};
use super::strangers::{Reason, Strangers};
use super::stream::Stream;
use crate::audit::Client;
use crate::error::{Code, Failure};
use crate::identity::PeerIdentity;
use crate::telemetry::Refused;

impl Server<SocketAddr> {
    /// Starts to serve on `listener` under whatever `front` holds at the time.
    ///
    /// # Errors
    /// [`Code::Io`] when the listener cannot be used.
    pub fn start_local(listener: UnixListener, front: Arc<ArcSwap<Front>>) -> Result<Self, Failure> {
        let failed = |error: io::Error| Failure::new(Code::Io, "the socket cannot be used").because(error);
        let address = listener.local_addr().map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        let http = front.load().http.clone();
        let (handle, strangers) = (Handle::new(), Strangers::default());
        let acceptor = Acceptor {
            front: Arc::clone(&front),
            slots: Slots::default(),
            bodies: Bodies::default(),
            strangers: strangers.clone(),
        };
        let mut server = axum_server::from_unix(listener).map_err(failed)?.acceptor(acceptor).handle(handle.clone());
        https::limit(server.http_builder(), &http);
        let requests = Requests { front: Arc::clone(&front), strangers: strangers.clone() };
        let task = tokio::spawn(server.serve(Shared::new(requests)));
        Ok(Self { address, front, strangers, handle, task })
    }
}

/// Accepts connections for whatever configuration is in force when they come.
#[derive(Clone)]
struct Acceptor {
    front: Arc<ArcSwap<Front>>,
    slots: Slots,
    bodies: Bodies,
    strangers: Strangers,
}

impl<S: Send + 'static> Accept<UnixStream, S> for Acceptor {
    type Stream = Stream<UnixStream>;
    type Service = AddExtension<S, Arc<Connection>>;
    type Future = Ready<io::Result<(Self::Stream, Self::Service)>>;

    fn accept(&self, stream: UnixStream, service: S) -> Self::Future {
        ready(self.greet(stream).map(|stream| {
            let connection = Extension(Arc::clone(stream.connection()));
            (stream, connection.layer(service))
        }))
    }
}

impl Acceptor {
    fn greet(&self, stream: UnixStream) -> io::Result<Stream<UnixStream>> {
        let front = self.front.load_full();
        let peer = stream.peer_cred()?;
        let (uid, gid, pid) = (peer.uid(), peer.gid(), peer.pid());
        let http = &front.http;
        let slot = self.slots.take(Place::User(uid), http.max_connections, http.max_connections_per_address);
        let slot = slot.map_err(|failure| self.turn_away(&front, PeerIdentity::Unix { uid, gid, pid }, failure))?;
        let max_age = Duration::from_secs(http.max_connection_age);
        let connection = Connection::local((uid, gid, pid), max_age, &self.bodies, front.door.clock.clone());
        Ok(watched(&front, stream, Arc::new(connection), slot, &self.strangers))
    }

    fn turn_away(&self, front: &Front, peer: PeerIdentity, failure: Failure) -> io::Error {
        let code = failure.code();
        if self.strangers.due_from(&peer, Reason { code, known: false }, front.door.clock.instant()) {
            let (door, failure) = (Arc::clone(&front.door), Failure::new(code, "too many connections"));
            tokio::spawn(async move { door.turn_away(Client::from(&peer), &failure).await });
        } else {
            Refused { code }.emit();
        }
        io::Error::other(failure)
    }
}
