//! A client's word about itself, signed (RFC 7523 section 3): for one server, for a minute, never the same twice.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;

use crate::authn::mint::Minter;
use crate::clock::Timestamp;
use crate::error::Failure;
use crate::secret::{Secret, random};

/// From `iat` to `exp`, in seconds.
const LIFE: i64 = 60;

/// An assertion of `client` for `audience`. There is no `nbf`: it would only make a clock that is a little fast matter.
pub(super) fn signed(minter: &Minter, client: &str, audience: &str, now: Timestamp) -> Result<Secret<String>, Failure> {
    let header = json!({ "alg": minter.algorithm().name(), "typ": "JWT", "kid": minter.kid() });
    let issued = now.seconds();
    let claims = json!({
        "iss": client,
        "sub": client,
        "aud": audience,
        "jti": URL_SAFE_NO_PAD.encode(random::<16>()?),
        "iat": issued,
        "exp": issued.saturating_add(LIFE),
    });
    minter.sign(&header, &claims)
}
