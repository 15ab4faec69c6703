//! The HTTP request itself: names, origins, headers and body are what they must be, or the request ends here.

use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, HOST, ORIGIN, USER_AGENT};
use http::request::Parts;
use http::{HeaderMap, HeaderName};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};

use crate::error::{Code, Failure};

/// Headers of the protocol that go on; every other one stays outside, above all those that claim an identity.
const KEPT: [&str; 8] = [
    "accept",
    "content-type",
    "content-length",
    "host",
    "mcp-protocol-version",
    "mcp-method",
    "mcp-name",
    "user-agent",
];

/// Which names and origins are served.
#[derive(Clone, Default, Debug)]
pub struct Names {
    hosts: Vec<Authority>,
    origins: Vec<String>,
}

/// A host name or address in lower case, with the port if one is given.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Authority {
    host: String,
    port: Option<u16>,
}

impl Names {
    /// `hosts` as in `Host`, a missing port standing for any; `origins` as in `Origin`, exactly.
    #[must_use]
    pub fn new(hosts: &[String], origins: &[String]) -> Self {
        Self {
            hosts: hosts.iter().filter_map(|host| authority(host)).collect(),
            origins: origins.iter().map(|origin| origin.to_ascii_lowercase()).collect(),
        }
    }

    /// Checks `Host` and, whatever that says, `Origin`. The answer is the origin that may read the response.
    ///
    /// # Errors
    /// [`Code::HostNotAllowed`], [`Code::OriginNotAllowed`] or [`Code::HeaderMalformed`].
    pub(super) fn check(&self, parts: &Parts) -> Result<Option<String>, Failure> {
        self.check_host(parts)?;
        self.check_origin(&parts.headers)
    }

    fn check_host(&self, parts: &Parts) -> Result<(), Failure> {
        let refused = || Failure::new(Code::HostNotAllowed, "this server does not answer under that name");
        let header = single(&parts.headers, &HOST)?;
        let target = parts.uri.authority().map(http::uri::Authority::as_str);
        let name = match (target, header) {
            (Some(target), Some(header)) if !target.eq_ignore_ascii_case(header) => {
                return Err(Failure::new(Code::HeaderMalformed, "Host and the request's target differ"));
            }
            (Some(name), _) | (None, Some(name)) => name,
            (None, None) => return Err(refused()),
        };
        let name = authority(name).ok_or_else(refused)?;
        let served =
            self.hosts.iter().any(|host| host.host == name.host && (host.port.is_none() || host.port == name.port));
        if served { Ok(()) } else { Err(refused()) }
    }

    fn check_origin(&self, headers: &HeaderMap) -> Result<Option<String>, Failure> {
        match single(headers, &ORIGIN)? {
            None => Ok(None),
            Some(origin) if self.origins.contains(&origin.to_ascii_lowercase()) => Ok(Some(origin.to_owned())),
            Some(_) => Err(Failure::new(Code::OriginNotAllowed, "this server may not be called from that origin")),
        }
    }
}

/// `host`, `host:port`, `[v6]` or `[v6]:port`, without userinfo. A name may end with the dot of the root, and what stands
/// behind a colon is a port or the whole is refused.
fn authority(text: &str) -> Option<Authority> {
    let parsed: http::uri::Authority = text.parse().ok()?;
    let port = match text.strip_prefix(parsed.host())? {
        "" => None,
        rest => Some(rest.strip_prefix(':').filter(|digits| digits.bytes().all(|b| b.is_ascii_digit()))?.parse().ok()?),
    };
    let host = parsed.host();
    let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    (!host.is_empty()).then_some(Authority { host, port })
}

/// The value of a header that may stand once.
pub(super) fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, Failure> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => value
            .to_str()
            .map(Some)
            .map_err(|_| Failure::new(Code::HeaderMalformed, format!("the header {name} is not plain text"))),
        (Some(_), Some(_)) => Err(Failure::new(Code::HeaderMalformed, format!("the header {name} stands twice"))),
    }
}

/// `Accept` must name both forms of answer and `Content-Type` must be JSON.
pub(super) fn check_media(headers: &HeaderMap) -> Result<(), Failure> {
    let media = |header: &str| header.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let content = single(headers, &CONTENT_TYPE)?.map(media);
    if content.as_deref() != Some("application/json") {
        return Err(Failure::new(Code::ContentType, "Content-Type must be application/json"));
    }
    let mut accepted: Vec<String> = Vec::new();
    for value in headers.get_all(ACCEPT) {
        let text =
            value.to_str().map_err(|_| Failure::new(Code::HeaderMalformed, "the header accept is not plain text"))?;
        accepted.extend(text.split(',').map(media));
    }
    let takes = |wanted: &str, family: &str| accepted.iter().any(|m| m == wanted || m == family || m == "*/*");
    if takes("application/json", "application/*") && takes("text/event-stream", "text/*") {
        return Ok(());
    }
    Err(Failure::new(Code::NotAcceptable, "Accept must name application/json and text/event-stream"))
}

/// Drops every header that the protocol does not need and states the two media types in the words it expects.
pub(super) fn strip(headers: &mut HeaderMap) {
    let foreign: Vec<HeaderName> = headers
        .keys()
        .filter(|name| !KEPT.contains(&name.as_str()) && !name.as_str().starts_with("mcp-param-"))
        .cloned()
        .collect();
    for name in foreign {
        headers.remove(name);
    }
    headers.insert(ACCEPT, http::HeaderValue::from_static("application/json, text/event-stream"));
    headers.insert(CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
    headers.remove(USER_AGENT);
}

/// Reads the body, up to `most` bytes and for at most `limit`.
pub(super) async fn read(body: Body, most: usize, limit: Duration) -> Result<Bytes, Failure> {
    match tokio::time::timeout(limit, Limited::new(body, most).collect()).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            Err(Failure::new(Code::BodyTooLarge, format!("the body is over {most} bytes")))
        }
        Ok(Err(error)) => Err(Failure::new(Code::InvalidRequest, "the body did not arrive whole").because(error)),
        Err(_) => Err(Failure::new(Code::BodyTimeout, "the body did not arrive in time")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;

    fn parts(uri: &str, headers: &[(&str, &str)]) -> Parts {
        let mut request = Request::builder().uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    fn code(names: &Names, uri: &str, headers: &[(&str, &str)]) -> Option<Code> {
        names.check(&parts(uri, headers)).err().map(|failure| failure.code())
    }

    #[test]
    fn host_and_origin_are_checked_apart() {
        let names = Names::new(
            &["door.example".to_owned(), "127.0.0.1:8443".to_owned(), "[::1]".to_owned()],
            &["https://app.example".to_owned()],
        );
        for host in ["door.example", "DOOR.example:8443", "door.example.", "127.0.0.1:8443", "[::1]:1"] {
            assert_eq!(code(&names, "/mcp", &[("host", host)]), None, "{host}");
        }
        for host in
            ["", "evil.example", "door.example.evil", "127.0.0.1", "127.0.0.1:1", "a@door.example", "door.example:"]
                .into_iter()
                .chain(["door.example:99999", "door.example:+80", "door.example..", "[::1]:", "[::1]a"])
        {
            assert_eq!(code(&names, "/mcp", &[("host", host)]), Some(Code::HostNotAllowed), "{host}");
        }
        assert_eq!(code(&names, "/mcp", &[]), Some(Code::HostNotAllowed));
        let twice = [("host", "door.example"), ("host", "door.example")];
        assert_eq!(code(&names, "/mcp", &twice), Some(Code::HeaderMalformed));
        assert_eq!(code(&names, "https://door.example/mcp", &[("host", "evil.example")]), Some(Code::HeaderMalformed));
        assert_eq!(code(&names, "https://door.example/mcp", &[]), None);
        for origin in ["null", "https://app.example.evil", "http://app.example", "https://app.example:444", ""] {
            let headers = [("host", "door.example"), ("origin", origin)];
            assert_eq!(code(&names, "/mcp", &headers), Some(Code::OriginNotAllowed), "{origin}");
        }
        assert_eq!(code(&names, "/mcp", &[("host", "door.example"), ("origin", "https://app.example")]), None);
    }

    #[test]
    fn identity_from_outside_is_stripped() {
        let mut headers = parts(
            "/",
            &[
                ("x-forwarded-for", "1"),
                ("teleport-jwt-assertion", "x"),
                ("cookie", "a"),
                ("x-upstream-authorization", "b"),
                ("mcp-session-id", "s"),
                ("mcp-name", "n"),
                ("mcp-param-host", "h"),
                ("x-client-cert", "c"),
            ],
        )
        .headers;
        strip(&mut headers);
        let mut left: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["accept", "content-type", "mcp-name", "mcp-param-host"]);
    }
}
