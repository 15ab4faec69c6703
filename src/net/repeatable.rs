//! Requests that do no harm when they come twice. A kept connection may be ended by the other side at the very moment at
//! which it is used again; such a request is sent once more, over a new connection and with a body of its own, if nothing
//! was heard of an answer.

use std::cell::Cell;
use std::error::Error;
use std::io::{self, ErrorKind};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use tower::{Layer, Service};

use super::{Options, Outbound, Reply, answered, builder, built, send, tls, within};
use crate::error::Failure;

tokio::task_local! {
    /// Whether a new connection was begun for the request that this task sends.
    static BEGUN: Cell<bool>;
}

/// What the system says of a connection that the other side ended.
const ENDED: [ErrorKind; 4] =
    [ErrorKind::UnexpectedEof, ErrorKind::ConnectionReset, ErrorKind::ConnectionAborted, ErrorKind::BrokenPipe];

/// A client for one remote party that repeats what is lost with a connection that was kept.
#[derive(Clone, Debug)]
pub struct Repeatable {
    kept: Outbound,
    /// Keeps no connection, so that none of its requests meets an old one.
    fresh: Outbound,
}

impl Repeatable {
    /// As [`Outbound::new`].
    ///
    /// # Errors
    /// [`crate::error::Code::Config`] when a certificate or key cannot be used, or there is no authority to trust.
    pub fn new(options: &Options) -> Result<Self, Failure> {
        let tls = tls(options)?;
        let kept = builder(tls.clone(), options.connect_timeout).https_only(true).connector_layer(Noticing);
        let fresh = builder(tls, options.connect_timeout).https_only(true).pool_max_idle_per_host(0);
        Ok(Self { kept: built(kept)?, fresh: built(fresh)? })
    }

    /// As [`Outbound::get`], once.
    ///
    /// # Errors
    /// [`crate::error::Code::Upstream`].
    pub async fn get(&self, url: &str, limit: Duration, cap: usize) -> Result<Vec<u8>, Failure> {
        self.kept.get(url, limit, cap).await
    }

    /// As [`Outbound::post`], with a body that `body` makes, and makes anew for a second try. `limit` is for both.
    ///
    /// # Errors
    /// [`crate::error::Code::Upstream`], and those of `body`.
    pub async fn post(
        &self,
        url: &str,
        headers: HeaderMap,
        body: &(dyn Fn() -> Result<Bytes, Failure> + Sync),
        limit: Duration,
    ) -> Result<Reply, Failure> {
        let request = |outbound: &Outbound, headers: HeaderMap| {
            body().map(|body| outbound.client.post(url).headers(headers).body(body))
        };
        let tries = async {
            let first = request(&self.kept, headers.clone())?;
            let noticed = async { (first.send().await, BEGUN.with(Cell::get)) };
            match BEGUN.scope(Cell::new(false), noticed).await {
                (Err(error), false) if is_ended(&error) => send(request(&self.fresh, headers)?).await,
                (first, _) => answered(first),
            }
        };
        within(limit, tries).await
    }
}

/// Whether the connection ended before there was an answer. What is not HTTP, or an alert of TLS, is one; part of a status
/// line is not, for the library does not tell it from nothing.
fn is_ended(error: &reqwest::Error) -> bool {
    let ends = |error: &(dyn Error + 'static)| {
        let http = error.downcast_ref::<hyper::Error>();
        http.is_some_and(|error| error.is_incomplete_message() || error.is_canceled() || error.is_closed())
            || error.downcast_ref::<io::Error>().is_some_and(|error| ENDED.contains(&error.kind()))
    };
    let mut causes = std::iter::successors(error.source(), |&error| error.source());
    !error.is_timeout() && !error.is_connect() && causes.any(ends)
}

/// Sets [`BEGUN`] when the client begins a connection, which it does within the task that needs one.
#[derive(Clone)]
struct Noticing;

impl<S> Layer<S> for Noticing {
    type Service = Noticed<S>;

    fn layer(&self, connector: S) -> Noticed<S> {
        Noticed(connector)
    }
}

#[derive(Clone)]
struct Noticed<S>(S);

impl<R, S: Service<R>> Service<R> for Noticed<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, target: R) -> S::Future {
        // Outside of such a task nobody wants to know.
        let _ = BEGUN.try_with(|begun| begun.set(true));
        self.0.call(target)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;
    use crate::error::Code;
    use crate::net::tests::World;

    /// For what is answered at once, however busy the machine is.
    const LONG: Duration = Duration::from_secs(30);
    const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
    const EMPTY: &str = "HTTP/1.1 204 No Content\r\n\r\n";
    const BEGUN: &str = "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nb";

    /// What two posts come to, one after the other, at a server that does with each connection what `connections` say; and
    /// the bodies that came to it, by connection.
    async fn two(connections: &[&[&'static str]], limit: Duration) -> ([Result<String, Code>; 2], Vec<Vec<String>>) {
        let world = World::new();
        let (url, bodies) = world.play(connections.iter().map(|answers| answers.to_vec()).collect()).await;
        let client = Repeatable::new(&world.options(false)).unwrap();
        let count = AtomicU32::new(0);
        let body = || Ok(Bytes::from(format!("body {}", count.fetch_add(1, Ordering::Relaxed))));
        let post = async |limit| {
            let whole = client.post(&url, HeaderMap::new(), &body, limit).await?.collect(9).await?;
            // The connection is put back by a task of its own, which has all that it needs.
            for _ in 0..100 {
                tokio::task::yield_now().await;
            }
            Ok(String::from_utf8(whole).unwrap())
        };
        let code = |failure: Failure| failure.code();
        let results = [post(LONG).await.map_err(code), post(limit).await.map_err(code)];
        let bodies = bodies.lock().unwrap().clone();
        (results, bodies)
    }

    fn bodies(numbers: &[&[u32]]) -> Vec<Vec<String>> {
        let named = |numbers: &&[u32]| numbers.iter().map(|number| format!("body {number}")).collect();
        numbers.iter().map(named).collect()
    }

    #[tokio::test]
    async fn a_kept_connection_that_ends_without_a_word_costs_one_more_try_with_a_body_of_its_own() {
        for end in ["", "cut"] {
            for first in [OK, EMPTY] {
                let ([one, two], came) = two(&[&[first, end], &[OK]], LONG).await;
                assert!(one.is_ok());
                assert_eq!((two.as_deref(), came), (Ok("ok"), bodies(&[&[0, 1], &[2]])), "{end}");
            }
        }
    }

    #[tokio::test]
    async fn there_is_no_third_try() {
        let (results, came) = two(&[&[OK, ""], &[""], &[OK]], LONG).await;
        assert_eq!((results[1].clone(), came), (Err(Code::Upstream), bodies(&[&[0, 1], &[2]])));
    }

    #[tokio::test]
    async fn a_new_connection_that_ends_without_a_word_has_had_its_try() {
        for end in ["", "cut"] {
            let (results, came) = two(&[&[end], &[OK]], LONG).await;
            assert_eq!((results, came), ([Err(Code::Upstream), Ok("ok".to_owned())], bodies(&[&[0], &[1]])), "{end}");
        }
    }

    #[tokio::test]
    async fn an_answer_that_began_and_broke_off_is_not_asked_for_again() {
        for answer in [BEGUN, "no HTTP\r\n\r\n"] {
            let (results, came) = two(&[&[OK, answer], &[OK]], LONG).await;
            assert_eq!((results[1].clone(), came), (Err(Code::Upstream), bodies(&[&[0, 1]])), "{answer}");
        }
    }

    #[tokio::test]
    async fn silence_is_not_an_end() {
        let (results, came) = two(&[&[OK, "silence"], &[OK]], Duration::from_millis(300)).await;
        assert_eq!((results[1].clone(), came), (Err(Code::Upstream), bodies(&[&[0, 1]])));
    }
}
