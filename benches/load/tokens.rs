//! A fresh ES256 token for every call, signed before the clock runs: signing costs the client half of what checking costs
//! the server.

use std::cell::Cell;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde::Serialize;

use crate::Result;
use crate::place::{AUDIENCE, ISSUER, Place};

/// Seconds that a token lives.
pub(crate) const LIFE: u64 = 60;

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    sub: &'a str,
    aud: &'a str,
    client_id: &'a str,
    exp: u64,
    iat: u64,
    jti: String,
    scope: &'a str,
}

/// Signs tokens that no one has used.
pub(crate) struct Signer {
    key: EncodingKey,
    header: Header,
    run: u128,
    count: Cell<u64>,
}

impl Signer {
    pub(crate) fn new(place: &Place) -> Result<Self> {
        let key = EncodingKey::from_ec_pem(&std::fs::read(place.path("token-key.pem"))?)?;
        let mut header = Header::new(Algorithm::ES256);
        header.typ = Some("at+jwt".to_owned());
        Ok(Self { key, header, run: now().as_nanos(), count: Cell::new(0) })
    }

    /// A token that has never been.
    pub(crate) fn sign(&self, life: u64) -> Result<String> {
        let count = self.count.get();
        self.count.set(count + 1);
        let iat = now().as_secs();
        let claims = Claims {
            iss: ISSUER,
            sub: "alice@example.com",
            aud: AUDIENCE,
            client_id: "load",
            exp: iat + life,
            iat,
            jti: format!("{:x}-{count:x}", self.run),
            scope: "core",
        };
        Ok(jsonwebtoken::encode(&self.header, &claims, &self.key)?)
    }
}

fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// Tokens in stock.
pub(crate) struct Stock<'a> {
    signer: &'a Signer,
    signed: Vec<String>,
    next: Cell<usize>,
    again: bool,
    life: u64,
}

impl<'a> Stock<'a> {
    /// Signs so many; what is asked for beyond them is signed when it is asked for.
    pub(crate) fn of(signer: &'a Signer, count: usize) -> Result<Self> {
        let signed = (0..count).map(|_| signer.sign(LIFE)).collect::<Result<_>>()?;
        Ok(Self { signer, signed, next: Cell::new(0), again: false, life: LIFE })
    }

    /// A few that are used again and again, for a server that does not look at them.
    pub(crate) fn unread(signer: &'a Signer) -> Result<Self> {
        Ok(Self { again: true, ..Self::of(signer, 64)? })
    }

    /// All signed when they are needed, to live so many seconds.
    pub(crate) fn signed_late(signer: &'a Signer, life: u64) -> Self {
        Self { signer, signed: Vec::new(), next: Cell::new(0), again: false, life }
    }

    /// Writes the next token.
    pub(crate) fn next(&self, into: &mut Vec<u8>) -> Result<()> {
        let number = self.next.get();
        self.next.set(number + 1);
        let number = if self.again { number % self.signed.len() } else { number };
        match self.signed.get(number) {
            Some(token) => into.extend_from_slice(token.as_bytes()),
            None => into.extend_from_slice(self.signer.sign(self.life)?.as_bytes()),
        }
        Ok(())
    }
}
