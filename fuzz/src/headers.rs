//! A request's target and headers: what is let through is written in one of the few ways that a strict reader allows.

use doorward::authn::Presented;
use doorward::transport::Names;
use doorward::transport::fuzzing::{bearer, media, names, strip};
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST, ORIGIN};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Request};

const HOSTS: [&str; 3] = ["door.example", "127.0.0.1:8443", "[::1]"];
const ORIGIN_SERVED: &str = "https://app.example:8443";

/// The first line is the target, each further one a header as `name: value`. Bytes that HTTP has no room for end a line's
/// chance to be a header.
pub fn run(bytes: &[u8]) -> bool {
    let Some(mut parts) = request(bytes) else { return false };
    let accepted = [named(&parts), typed(&parts.headers), proven(&mut parts.headers)];
    strip(&mut parts.headers);
    for name in parts.headers.keys() {
        let name = name.as_str();
        let kept =
            ["accept", "content-type", "content-length", "host", "mcp-protocol-version", "mcp-method", "mcp-name"];
        assert!(kept.contains(&name) || name.starts_with("mcp-param-"), "{name} goes on");
    }
    accepted == [true; 3]
}

fn request(bytes: &[u8]) -> Option<Parts> {
    let mut lines = bytes.split(|byte| *byte == b'\n');
    let target = std::str::from_utf8(lines.next()?).ok()?;
    let mut parts = Request::builder().uri(target).body(()).ok()?.into_parts().0;
    for line in lines.take(16) {
        let Some(at) = line.iter().position(|byte| *byte == b':') else { continue };
        let (name, value) = line.split_at(at);
        let value = value.strip_prefix(b":").unwrap_or_default().trim_ascii();
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value)) {
            parts.headers.append(name, value);
        }
    }
    Some(parts)
}

fn all<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Vec<&'a [u8]> {
    headers.get_all(name).iter().map(HeaderValue::as_bytes).collect()
}

/// Who is called, and from which page.
fn named(parts: &Parts) -> bool {
    let served = Names::new(&HOSTS.map(str::to_owned), &[ORIGIN_SERVED.to_owned()]);
    let Ok(origin) = names(&served, parts) else { return false };
    let hosts = all(&parts.headers, &HOST);
    assert!(hosts.len() <= 1, "two hosts");
    let target = parts.uri.authority().map(|authority| authority.as_str().as_bytes());
    let said: Vec<&[u8]> = hosts.into_iter().chain(target).collect();
    assert!(!said.is_empty(), "nobody is called");
    for host in said {
        let host = std::str::from_utf8(host).expect("a host is text");
        assert!(HOSTS.iter().any(|served| answers_to(served, host)), "{host:?} is not served");
    }
    match (origin, all(&parts.headers, &ORIGIN).as_slice()) {
        (None, []) => {}
        (Some(origin), [sent]) => {
            assert_eq!(origin.as_bytes(), *sent);
            assert!(origin.eq_ignore_ascii_case(ORIGIN_SERVED), "{origin}");
        }
        (origin, sent) => panic!("{origin:?} of {sent:?}"),
    }
    true
}

/// Whether `host` is a spelling of `served`: any case, a dot at the end, and any port where none is named.
fn answers_to(served: &str, host: &str) -> bool {
    let host = host.to_ascii_lowercase();
    let (served, port) = match served.strip_suffix(":8443") {
        Some(name) => (name, Some(8443)),
        None => (served, None),
    };
    let Some(rest) = host.strip_prefix(served) else { return false };
    let rest = rest.strip_prefix('.').unwrap_or(rest);
    match (rest.strip_prefix(':'), port) {
        (None, None) => rest.is_empty(),
        (None, Some(_)) => false,
        (Some(digits), wanted) => {
            let plain = digits.bytes().all(|byte| byte.is_ascii_digit());
            plain && digits.parse::<u16>().is_ok_and(|port| wanted.is_none_or(|wanted| wanted == port))
        }
    }
}

fn typed(headers: &HeaderMap) -> bool {
    if media(headers).is_err() {
        return false;
    }
    let types = all(headers, &CONTENT_TYPE);
    let [one] = types.as_slice() else { panic!("{} content types", types.len()) };
    let essence = one.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    assert!(essence.eq_ignore_ascii_case(b"application/json"));
    true
}

fn proven(headers: &mut HeaderMap) -> bool {
    let sent: Vec<Vec<u8>> = all(headers, &AUTHORIZATION).into_iter().map(<[u8]>::to_vec).collect();
    match (bearer(headers), sent.as_slice()) {
        (Presented::Nothing, []) => true,
        (Presented::Bearer(token), [sent]) => {
            assert_eq!([b"Bearer ", token.expose().as_bytes()].concat(), *sent);
            let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
            assert!(!token.expose().is_empty() && token.expose().bytes().all(fits));
            assert!(headers.get(AUTHORIZATION).is_none(), "the token goes on");
            true
        }
        (Presented::Malformed, [_, ..]) => {
            assert!(headers.get(AUTHORIZATION).is_none(), "it goes on");
            false
        }
        (presented, sent) => panic!("{presented:?} of {} headers", sent.len()),
    }
}
