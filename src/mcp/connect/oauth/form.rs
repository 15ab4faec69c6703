//! The request for a token (RFC 6749 section 4.4.2) as a form.

use bytes::Bytes;

use super::discovery::Endpoint;
use super::{Client, Proof, assertion};
use crate::clock::Timestamp;
use crate::error::Failure;

/// RFC 7523 section 2.2.
const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// What `client` sends to `endpoint` at the time `now`. `client_id` is there whatever the proof is: RFC 8705 section 2
/// wants it, RFC 7521 section 4.2 allows it.
pub(super) fn encoded(client: &Client, endpoint: &Endpoint, now: Timestamp) -> Result<Bytes, Failure> {
    let mut form = Form(String::new());
    form.put("grant_type", "client_credentials");
    form.put("client_id", &client.id);
    if !client.scopes.is_empty() {
        form.put("scope", &client.scopes.join(" "));
    }
    if let Some(resource) = &client.resource {
        form.put("resource", resource);
    }
    if let Proof::Key(minter) = &client.proof {
        let assertion = assertion::signed(minter, &client.id, &endpoint.audience, now)?;
        form.put("client_assertion_type", ASSERTION_TYPE);
        form.put("client_assertion", assertion.expose());
    }
    Ok(Bytes::from(form.0))
}

/// `application/x-www-form-urlencoded`.
struct Form(String);

impl Form {
    fn put(&mut self, name: &str, value: &str) {
        if !self.0.is_empty() {
            self.0.push('&');
        }
        self.escape(name);
        self.0.push('=');
        self.escape(value);
    }

    fn escape(&mut self, text: &str) {
        use std::fmt::Write as _;
        for byte in text.bytes() {
            match byte {
                b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' => self.0.push(char::from(byte)),
                b' ' => self.0.push('+'),
                other => {
                    let _ = write!(self.0, "%{other:02X}");
                }
            }
        }
    }
}

#[cfg(test)]
pub(super) fn read(form: &[u8]) -> std::collections::BTreeMap<String, String> {
    let plain = |text: &str| {
        let mut bytes = Vec::new();
        let mut rest = text.bytes();
        while let Some(byte) = rest.next() {
            bytes.push(match byte {
                b'+' => b' ',
                b'%' => {
                    let digits = [rest.next().unwrap(), rest.next().unwrap()];
                    u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap()
                }
                other => other,
            });
        }
        String::from_utf8(bytes).unwrap()
    };
    let pairs = std::str::from_utf8(form).unwrap().split('&').map(|pair| pair.split_once('=').unwrap());
    pairs.map(|(name, value)| (plain(name), plain(value))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_put_into_a_form_comes_out_again_and_nothing_else(value in ".*", other in ".*") {
            let mut form = Form(String::new());
            form.put("a", &value);
            form.put("b", &other);
            prop_assert!(form.0.bytes().all(|byte| byte.is_ascii_graphic()));
            let expected = [("a".to_owned(), value), ("b".to_owned(), other)].into();
            prop_assert_eq!(read(form.0.as_bytes()), expected);
        }
    }
}
