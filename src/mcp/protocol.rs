//! Which HTTP requests reach the protocol layer: single messages, each complete in itself.

use http::Method;

/// What is kept between two requests: nothing. Whoever has a caller's session id would have the caller's session.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Protocol {
    /// Both eras without sessions: a POST with one request or notification.
    Stateless,
    /// 2025-11-25 with sessions, for the fixtures of the conformance suite; in no build that is published.
    #[cfg(feature = "conformance")]
    Sessions,
}

impl Protocol {
    /// Whether this HTTP method is served. All but POST have no message.
    #[must_use]
    pub fn serves(self, method: &Method) -> bool {
        match self {
            Self::Stateless => method == Method::POST,
            #[cfg(feature = "conformance")]
            Self::Sessions => [Method::POST, Method::GET, Method::DELETE].contains(method),
        }
    }

    /// Whether the protocol layer is asked for whatever it knows, and not only for what the door offers.
    #[must_use]
    pub fn serves_every_method(self) -> bool {
        match self {
            Self::Stateless => false,
            #[cfg(feature = "conformance")]
            Self::Sessions => true,
        }
    }

    /// Headers that go on besides those of a message.
    #[must_use]
    pub fn headers(self) -> &'static [&'static str] {
        match self {
            Self::Stateless => &[],
            #[cfg(feature = "conformance")]
            Self::Sessions => &["mcp-session-id", "last-event-id"],
        }
    }

    /// Whether the body is an answer to a request of the server's; only in a session can there be one.
    #[must_use]
    pub fn is_answer(self, body: &[u8]) -> bool {
        match self {
            Self::Stateless => {
                let _ = body;
                false
            }
            #[cfg(feature = "conformance")]
            Self::Sessions => super::fixtures::is_answer(body),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_sessions_nothing_but_a_message_is_served_and_nothing_is_passed_on_that_names_one() {
        let served = [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::HEAD];
        assert_eq!(
            served.iter().filter(|method| Protocol::Stateless.serves(method)).collect::<Vec<_>>(),
            [Method::POST]
        );
        assert!(Protocol::Stateless.headers().is_empty());
        assert!(!Protocol::Stateless.is_answer(br#"{"jsonrpc":"2.0","id":1,"result":{}}"#));
    }
}
