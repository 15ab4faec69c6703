//! A token bound to a certificate is good over that certificate's connections only (RFC 8705 section 3); a token can also
//! be asked to belong to whom the certificate names.

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

/// Whether the certificate of `peer` is `subject`'s own: its only common name is `subject`, byte for byte. This is for
/// certificates that name the user there and something else, such as an application, in the rest.
///
/// # Errors
/// [`Code::TokenBinding`].
pub(super) fn check_holder(peer: &PeerIdentity, subject: &str) -> Result<(), Failure> {
    let refused = || Failure::new(Code::TokenBinding, "the token's subject is not whom the client certificate names");
    let PeerIdentity::Certificate { certificate, .. } = peer else {
        return Err(refused().because("there is no client certificate"));
    };
    let mut names = certificate.subject.common_names();
    match (names.next(), names.next()) {
        (Some(name), None) if name == subject => Ok(()),
        _ => Err(refused().because(format!("the certificate's subject is {}", certificate.subject))),
    }
}

#[cfg(test)]
mod tests {
    use super::super::forge;
    use super::*;
    use crate::identity::DistinguishedName;
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

    #[test]
    fn a_certificate_is_its_subjects_own_when_that_is_its_only_common_name() {
        let judge = |subject: &str| {
            let peer = forge::peer_named(DistinguishedName::parse(subject).unwrap());
            check_holder(&peer, "alice").map_err(|failure| failure.code())
        };
        for subject in ["CN=alice", "CN=alice,O=Acme", "OU=x,CN=alice", "CN=alice+UID=7"] {
            assert_eq!(judge(subject), Ok(()), "{subject}");
        }
        for subject in ["CN=bob", "CN=Alice", "CN=alice\\ ", "CN=alic", "CN=alice2", "O=alice", "UID=alice"] {
            assert_eq!(judge(subject), Err(Code::TokenBinding), "{subject}");
        }
        for subject in ["CN=alice,CN=bob", "CN=bob,CN=alice", "CN=alice,CN=alice", "CN=alice+CN=bob"] {
            assert_eq!(judge(subject), Err(Code::TokenBinding), "{subject}");
        }
        assert!(check_holder(&PeerIdentity::Stdio { uid: 0 }, "alice").is_err());
    }
}
