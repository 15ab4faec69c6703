//! Texts that name hosts: URLs, web origins, values of `Host`.

use http::Uri;
use http::uri::Authority;

/// An absolute https URL without user and fragment.
pub(super) fn https_url(text: &str) -> Result<(), &'static str> {
    let plain = text.bytes().all(|byte| byte.is_ascii_graphic());
    let uri = text.parse::<Uri>().ok().filter(|_| plain).ok_or("is not a URL")?;
    if uri.scheme_str() != Some("https") {
        return Err("must begin with https://");
    }
    if text.contains('#') {
        return Err("must not have a fragment (#…)");
    }
    host(uri.authority()).ok_or("must name a host, and no user")
}

/// A web origin (RFC 6454 section 6.2): scheme, host and port, nothing else.
pub(super) fn origin(text: &str) -> Result<(), &'static str> {
    if text == "*" {
        return Err("every origin is no origin; name each");
    }
    if text == "null" {
        return Err("`null` is what sandboxed pages and local files send; it names nobody");
    }
    let (scheme, rest) = text.split_once("://").ok_or("must be scheme://host[:port]")?;
    let is_scheme = scheme.starts_with(|first: char| first.is_ascii_lowercase())
        && scheme.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'+' | b'-' | b'.'));
    if !is_scheme {
        return Err("must be scheme://host[:port], in lower case");
    }
    if rest.contains(['/', '?', '#']) {
        return Err("must end after host and port; an origin has no path");
    }
    if rest.contains('*') {
        return Err("wildcards are not supported; name each origin");
    }
    host(rest.parse().ok().as_ref()).ok_or("must be scheme://host[:port]")
}

/// What may stand in `Host` (RFC 9110 section 7.2): a name or address, with a port or without.
pub(super) fn host_header(text: &str) -> Result<(), &'static str> {
    if text.contains("://") || text.contains('/') {
        return Err("must be a host name, without scheme or path");
    }
    if text.contains('*') {
        return Err("wildcards are not supported; name each host");
    }
    host(text.parse().ok().as_ref()).ok_or("must be a host name, with a port or without")
}

fn host(authority: Option<&Authority>) -> Option<()> {
    let authority = authority?;
    let name = authority.host();
    let bracketed = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let fits = match bracketed {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_')),
    };
    let user = authority.as_str().contains('@');
    let port = authority.as_str().strip_prefix(name)?;
    let port_fits = port.is_empty() || port.strip_prefix(':').is_some_and(|port| port.parse::<u16>().is_ok());
    (fits && port_fits && !user && !name.is_empty()).then_some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_https_and_whole() {
        for good in ["https://auth.example.com", "https://a:8443/x?y=z", "https://[::1]:8443/mcp"] {
            assert_eq!(https_url(good), Ok(()), "{good}");
        }
        for bad in
            ["http://a", "a.example", "https://", "https://u@a", "https://a/#x", "https://a b", "/x", "", "https://a:x"]
        {
            assert!(https_url(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_origin_is_scheme_host_and_port() {
        for good in ["https://app.example.com", "http://localhost:6274", "http://[::1]:80"] {
            assert_eq!(origin(good), Ok(()), "{good}");
        }
        for bad in [
            "*",
            "null",
            "https://a/",
            "https://*.a",
            "a",
            "HTTPS://a",
            "https://u@a",
            "https://",
            "https://a:b",
            "://a",
        ] {
            assert!(origin(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_host_is_a_name_with_a_port_or_without() {
        for good in ["localhost", "a.example:8443", "127.0.0.1", "[::1]:8443", "[::1]"] {
            assert_eq!(host_header(good), Ok(()), "{good}");
        }
        for bad in ["", "https://a", "a/b", "*.a", "a:", "a:99999", "a b", "u@a", "[x]", "é"] {
            assert!(host_header(bad).is_err(), "{bad}");
        }
    }
}
