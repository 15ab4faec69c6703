//! The socket for operators: what they ask a running daemon. A unix socket with the mode 0600, and besides the kernel says who
//! connects: root and the user of the daemon are answered, nobody else. Nothing can be changed here.

use std::io;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use axum_server::Handle;
use axum_server::accept::Accept;
use futures_util::future::{Ready, ready};
use http::{Method, StatusCode};
use hyper_util::rt::TokioTimer;
use rustix::process::geteuid;
use tokio::net::UnixStream;

use super::brief::{Brief, Places};
use super::socket::{self, Made};
use super::{SocketSection, reply};
use crate::admission::Gate;
use crate::error::{Code, Failure};
use crate::secret::hex;

/// Operators that ask at the same time.
const MOST: usize = 16;
/// How long one may take, with its answer.
const TIME: Duration = Duration::from_secs(30);

/// The gate that is in force.
pub type InForce = Arc<dyn Fn() -> Arc<Gate> + Send + Sync>;

/// The running socket.
pub struct Admin {
    /// Its file; gone when dropped.
    made: Made,
    handle: Handle<SocketAddr>,
}

impl Admin {
    /// Makes the socket, which blocks for a moment.
    ///
    /// # Errors
    /// Those of [`socket::make`].
    pub fn make(path: &Path) -> Result<(UnixListener, Made), Failure> {
        socket::make(&SocketSection { path: path.to_owned(), ..SocketSection::default() })
    }

    /// Starts to answer on a socket that was made.
    ///
    /// # Errors
    /// [`Code::Io`] when the listener cannot be used.
    pub fn start((listener, made): (UnixListener, Made), gate: InForce) -> Result<Self, Failure> {
        let failed =
            |error: io::Error| Failure::new(Code::Io, "the socket for operators cannot be used").because(error);
        listener.set_nonblocking(true).map_err(failed)?;
        let handle = Handle::new();
        let ours = geteuid().as_raw();
        let server = axum_server::from_unix(listener).map_err(failed)?;
        let mut server = server
            .acceptor(OnlyOurs { uid: ours, places: Places::new(MOST, TIME) })
            .handle(handle.clone())
            .http1_only();
        server
            .http_builder()
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(Duration::from_secs(5))
            .keep_alive(false);
        let routes = Router::new().fallback(move |request: Request| {
            let gate = Arc::clone(&gate);
            async move { respond(&request, &gate()) }
        });
        tokio::spawn(server.serve(routes.into_make_service()));
        Ok(Self { made, handle })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.made.path().to_owned()
    }

    /// Stops at once and takes the file away.
    pub fn stop(self) {
        self.handle.shutdown();
    }
}

/// Where the budgets of callers whose name has `wanted` in it are to be had.
#[must_use]
pub fn budgets_at(wanted: Option<&str>) -> String {
    let wanted = wanted.map(|wanted| format!("/{}", hex(wanted.as_bytes()))).unwrap_or_default();
    format!("http://localhost/budgets{wanted}")
}

/// Closes connections of others before a byte of them is read.
#[derive(Clone)]
struct OnlyOurs {
    uid: u32,
    places: Places,
}

impl<S: Send + 'static> Accept<UnixStream, S> for OnlyOurs {
    type Stream = Brief<UnixStream>;
    type Service = S;
    type Future = Ready<io::Result<(Brief<UnixStream>, S)>>;

    fn accept(&self, stream: UnixStream, service: S) -> Self::Future {
        let peer = stream.peer_cred().map(|peer| peer.uid());
        ready(peer.and_then(|uid| match may_ask(uid, self.uid) {
            true => self.places.take(stream).map(|stream| (stream, service)),
            false => {
                tracing::warn!(uid, "another user tried to use the socket for operators");
                Err(io::Error::from(io::ErrorKind::PermissionDenied))
            }
        }))
    }
}

fn may_ask(uid: u32, ours: u32) -> bool {
    uid == 0 || uid == ours
}

fn respond(request: &Request, gate: &Gate) -> Response {
    let status = |status| {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = status;
        response
    };
    if request.method() != Method::GET {
        return status(StatusCode::METHOD_NOT_ALLOWED);
    }
    let Some(rest) = request.uri().path().strip_prefix("/budgets") else { return status(StatusCode::NOT_FOUND) };
    let wanted = match rest.strip_prefix('/').map(unhex) {
        None if rest.is_empty() => None,
        Some(Some(wanted)) => Some(wanted),
        None | Some(None) => return status(StatusCode::NOT_FOUND),
    };
    match serde_json::to_value(gate.overview(wanted.as_deref())) {
        Ok(overview) => reply::json(&overview),
        Err(_) => status(StatusCode::INTERNAL_SERVER_ERROR),
    }
}

fn unhex(text: &str) -> Option<String> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let bytes = pairs.iter().map(|[high, low]| Some(digit(*high)?.checked_mul(16)?.saturating_add(digit(*low)?)));
    let bytes: Option<Vec<u8>> = bytes.collect();
    rest.is_empty().then_some(())?;
    String::from_utf8(bytes?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_of_any_letters_goes_through_an_address() {
        for name in ["", "alice via bot", "Grüße/?%", "a\"b"] {
            let address = budgets_at(Some(name));
            let path = address.strip_prefix("http://localhost/budgets/").unwrap();
            assert_eq!(unhex(path).as_deref(), Some(name));
        }
        assert_eq!(budgets_at(None), "http://localhost/budgets");
        for bad in ["a", "zz", "ff", "é"] {
            assert_eq!(unhex(bad), None, "{bad}");
        }
    }

    #[test]
    fn root_and_the_user_of_the_daemon_may_ask_and_nobody_else() {
        assert!(may_ask(0, 1000) && may_ask(1000, 1000) && may_ask(0, 0));
        assert!(!may_ask(1001, 1000) && !may_ask(1000, 0));
    }
}
