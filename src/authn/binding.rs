//! A token bound to a certificate is good over that certificate's connections only (RFC 8705 section 3).

use serde_json::Value;

use crate::error::{Code, Failure};
use crate::identity::{PeerIdentity, Thumbprint};

/// What `cnf` asks for (RFC 7800 section 3.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Binding {
    /// There is no `cnf`.
    None,
    /// The certificate of this thumbprint: `x5t#S256`.
    Certificate(Thumbprint),
    /// Something that cannot be proven here, such as `jkt`, or a thumbprint that is none.
    Other,
}

impl Binding {
    /// Reads the value of `cnf`. Members beside `x5t#S256` are not understood and mean nothing (RFC 7800 section 3.1).
    ///
    /// # Errors
    /// [`Code::TokenClaim`] when it is not an object or the thumbprint is not text.
    pub(super) fn read(cnf: Option<&Value>) -> Result<Self, Failure> {
        let Some(cnf) = cnf else { return Ok(Self::None) };
        let Value::Object(cnf) = cnf else {
            return Err(Failure::new(Code::TokenClaim, "the claim cnf is not an object"));
        };
        match cnf.get("x5t#S256") {
            None => Ok(Self::Other),
            Some(Value::String(text)) => Ok(Thumbprint::from_base64url(text).map_or(Self::Other, Self::Certificate)),
            Some(_) => Err(Failure::new(Code::TokenClaim, "the member x5t#S256 of cnf is not a text")),
        }
    }

    /// Whether `peer` is the one that the token is bound to.
    ///
    /// # Errors
    /// [`Code::TokenBinding`]; [`Code::TokenUnbound`] when a binding is `required` and there is none.
    pub(super) fn check(&self, peer: &PeerIdentity, required: bool) -> Result<(), Failure> {
        match self {
            Self::None if required => {
                Err(Failure::new(Code::TokenUnbound, "the token must be bound to the client certificate"))
            }
            Self::None => Ok(()),
            Self::Certificate(wanted) if peer.thumbprint() == Some(*wanted) => Ok(()),
            Self::Certificate(_) => {
                Err(Failure::new(Code::TokenBinding, "the token is bound to another client certificate"))
            }
            Self::Other => {
                Err(Failure::new(Code::TokenBinding, "the token is bound in a way that cannot be proven here"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_confirmation_is_honoured_or_refused_but_never_passed_over() {
        let print = Thumbprint::of(b"certificate");
        let bound = json!({"x5t#S256": print.base64url()});
        assert_eq!(Binding::read(None).unwrap(), Binding::None);
        assert_eq!(Binding::read(Some(&bound)).unwrap(), Binding::Certificate(print));
        let padded = json!({"x5t#S256": format!("{}=", print.base64url())});
        for cnf in [json!({}), json!({"jkt": "x"}), json!({"x5t": print.base64url()}), json!({"x5t#S256": ""}), padded]
        {
            assert_eq!(Binding::read(Some(&cnf)).unwrap(), Binding::Other, "{cnf}");
        }
        for cnf in [json!(null), json!("x"), json!([]), json!({"x5t#S256": 1})] {
            assert_eq!(Binding::read(Some(&cnf)).unwrap_err().code(), Code::TokenClaim, "{cnf}");
        }
    }

    #[test]
    fn a_peer_without_a_certificate_is_never_the_bound_one() {
        let peer = PeerIdentity::Stdio { uid: 0 };
        let judge = |binding: Binding, required| binding.check(&peer, required).map_err(|failure| failure.code());
        assert_eq!(judge(Binding::Certificate(Thumbprint::of(b"x")), false), Err(Code::TokenBinding));
        assert_eq!(judge(Binding::Other, false), Err(Code::TokenBinding));
        assert_eq!(judge(Binding::None, true), Err(Code::TokenUnbound));
        assert_eq!(judge(Binding::None, false), Ok(()));
    }
}
