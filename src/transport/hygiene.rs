//! The HTTP request itself: names, origins, headers and body are what they must be, or the request ends here.

use std::time::Duration;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http::header::{
    ACCEPT, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HOST, ORIGIN, TRANSFER_ENCODING, USER_AGENT,
};
use http::request::Parts;
use http::{HeaderMap, HeaderName};
use http_body::Body as _;
use http_body_util::BodyExt as _;

use super::bodies::Share;
use crate::error::{Code, Failure};
use crate::mcp::Protocol;

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

/// More headers than any client of this protocol sends.
pub(super) const MOST_HEADERS: usize = 64;

/// Characters of a refused name that a record repeats; no host has a longer one (RFC 1035 section 2.3.4).
const LONGEST_NAME: usize = 255;

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
        let served = authority(name).is_some_and(|name| {
            self.hosts.iter().any(|host| host.host == name.host && (host.port.is_none() || host.port == name.port))
        });
        // What was asked for is for the operator, who may have forgotten a name; the caller knows it.
        let sent = || name.chars().take(LONGEST_NAME).collect::<String>().escape_debug().to_string();
        if served { Ok(()) } else { Err(refused().because(sent())) }
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

/// How the body is framed must be beyond doubt, or something on the way may see its end elsewhere (RFC 9112 section 6.1): no
/// coding but `chunked`, said once, and no length beside it.
///
/// The HTTP library drops a length beside a coding before anybody sees it, and closes the connection after its answer; what
/// stands here is for the day that it does not.
///
/// # Errors
/// [`Code::HeaderMalformed`].
pub(super) fn check_framing(headers: &HeaderMap) -> Result<(), Failure> {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    let plain = match (codings.next(), codings.next()) {
        (None, _) => true,
        (Some(only), None) => only.as_bytes().eq_ignore_ascii_case(b"chunked") && !headers.contains_key(CONTENT_LENGTH),
        (Some(_), Some(_)) => false,
    };
    let unclear =
        || Failure::new(Code::HeaderMalformed, "Transfer-Encoding may only be: chunked, once, without a length");
    if plain { Ok(()) } else { Err(unclear()) }
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

/// The target and the headers are few and short, counted as in RFC 9113 section 10.5.1 without its surcharge.
pub(super) fn check_size(parts: &Parts, most: usize) -> Result<(), Failure> {
    let target = parts.uri.path_and_query().map_or(0, |target| target.as_str().len());
    let bytes = parts
        .headers
        .iter()
        .map(|(name, value)| name.as_str().len().saturating_add(value.len()))
        .fold(target, usize::saturating_add);
    if bytes > most || parts.headers.len() > MOST_HEADERS {
        let text = format!("the headers are over {most} bytes or there are more than {MOST_HEADERS}");
        return Err(Failure::new(Code::HeaderTooLarge, text));
    }
    Ok(())
}

/// `Accept` must name both forms of answer and `Content-Type` must be JSON, in UTF-8 and not coded: whoever looks at the
/// body on its way must see the same text as we do.
pub(super) fn check_media(headers: &HeaderMap) -> Result<(), Failure> {
    let media = |header: &str| header.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let content = single(headers, &CONTENT_TYPE)?.unwrap_or_default();
    if media(content) != "application/json" || !content.split(';').skip(1).all(leaves_utf8) {
        return Err(Failure::new(Code::ContentType, "Content-Type must be application/json, in UTF-8"));
    }
    if headers.contains_key(CONTENT_ENCODING) {
        return Err(Failure::new(Code::ContentType, "the body must not be coded (Content-Encoding)"));
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

/// Whether a parameter of a media type lets the text be UTF-8, the only one that JSON has (RFC 8259 section 8.1).
fn leaves_utf8(parameter: &str) -> bool {
    match parameter.split_once('=') {
        Some((name, value)) if name.trim().eq_ignore_ascii_case("charset") => {
            value.trim().trim_matches('"').eq_ignore_ascii_case("utf-8")
        }
        _ => true,
    }
}

/// Drops every header that the protocol does not need and states the two media types in the words it expects.
pub(super) fn strip(headers: &mut HeaderMap, protocol: Protocol) {
    let kept =
        |name: &str| KEPT.contains(&name) || name.starts_with("mcp-param-") || protocol.headers().contains(&name);
    let foreign: Vec<HeaderName> = headers.keys().filter(|name| !kept(name.as_str())).cloned().collect();
    for name in foreign {
        headers.remove(name);
    }
    headers.insert(ACCEPT, http::HeaderValue::from_static("application/json, text/event-stream"));
    headers.insert(CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
    headers.remove(USER_AGENT);
}

/// Reads the body, up to `most` bytes and for at most `limit`, each byte counted in `share`. One that is announced as too
/// large is not read at all.
pub(super) async fn read(body: Body, most: usize, limit: Duration, share: &mut Share<'_>) -> Result<Bytes, Failure> {
    let too_large = || Failure::new(Code::BodyTooLarge, format!("the body is over {most} bytes"));
    if usize::try_from(body.size_hint().lower()).map_or(true, |announced| announced > most) {
        return Err(too_large());
    }
    let arriving = async {
        let (mut body, mut first, mut whole) = (body, Bytes::new(), BytesMut::new());
        while let Some(frame) = body.frame().await {
            let broken = |error| Failure::new(Code::InvalidRequest, "the body did not arrive whole").because(error);
            let Ok(piece) = frame.map_err(broken)?.into_data() else { continue };
            if first.len().saturating_add(whole.len()).saturating_add(piece.len()) > most {
                return Err(too_large());
            }
            share.take(piece.len())?;
            // Most bodies come in one piece, which need not be copied. Of several each would keep the buffer it came in.
            if whole.is_empty() && first.is_empty() {
                first = piece;
            } else {
                whole.extend_from_slice(&std::mem::take(&mut first));
                whole.extend_from_slice(&piece);
            }
        }
        Ok(if whole.is_empty() { first } else { whole.freeze() })
    };
    let late = |_| Failure::new(Code::BodyTimeout, "the body did not arrive in time");
    tokio::time::timeout(limit, arriving).await.map_err(late)?
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
        let refused = names.check(&parts("/mcp", &[("host", "other.example:1")])).unwrap_err();
        assert_eq!(refused.cause().as_deref(), Some("other.example:1"));
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
    fn a_body_is_framed_in_one_way() {
        let judge = |headers: &[(&str, &str)]| check_framing(&parts("/", headers).headers).map_err(|f| f.code());
        for good in [&[][..], &[("content-length", "5")], &[("transfer-encoding", "Chunked")]] {
            assert_eq!(judge(good), Ok(()), "{good:?}");
        }
        for bad in [
            &[("transfer-encoding", "gzip, chunked")][..],
            &[("transfer-encoding", "chunked, chunked")],
            &[("transfer-encoding", "chunked"), ("transfer-encoding", "chunked")],
            &[("transfer-encoding", "chunked"), ("content-length", "5")],
            &[("content-length", "5"), ("transfer-encoding", "chunked")],
            &[("transfer-encoding", "identity")],
            &[("transfer-encoding", "")],
        ] {
            assert_eq!(judge(bad), Err(Code::HeaderMalformed), "{bad:?}");
        }
    }

    #[test]
    fn a_body_is_plain_json_in_utf8() {
        let judge = |more: &[(&str, &str)]| {
            let accept = [("accept", "application/json, text/event-stream")];
            let headers = parts("/", &[&accept, more].concat()).headers;
            check_media(&headers).map_err(|failure| failure.code())
        };
        for good in ["application/json", "Application/JSON; charset=utf-8", "application/json;CHARSET=\"UTF-8\";x=y"] {
            assert_eq!(judge(&[("content-type", good)]), Ok(()), "{good}");
        }
        for bad in ["", "application/json; charset=utf-16", "application/json;charset=\"utf-7\"", "text/json"] {
            assert_eq!(judge(&[("content-type", bad)]), Err(Code::ContentType), "{bad}");
        }
        assert_eq!(judge(&[]), Err(Code::ContentType));
        let coded = [("content-type", "application/json"), ("content-encoding", "gzip")];
        assert_eq!(judge(&coded), Err(Code::ContentType));
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
        strip(&mut headers, Protocol::Stateless);
        let mut left: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["accept", "content-type", "mcp-name", "mcp-param-host"]);
    }
}
