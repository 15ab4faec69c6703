//! Whether an authority has signed a revocation list, asked with the very algorithms that a handshake uses.

use rustls::crypto::aws_lc_rs::default_provider;

use super::inspect;
use super::name::element;

/// Whether the key of the certificate `authority` verifies the signature of `list`, both in DER (RFC 5280 section 5.1.1).
pub(super) fn signed_by(list: &[u8], authority: &[u8]) -> bool {
    verify(list, authority).unwrap_or(false)
}

fn verify(list: &[u8], authority: &[u8]) -> Result<bool, &'static str> {
    let (_, list, _) = element(list)?;
    let (signed, after) = whole(list)?;
    let (_, algorithm, after) = element(after)?;
    let signature = bits(after)?;
    let parsed = inspect::parse(authority)?;
    let (_, info, _) = element(parsed.public_key().raw)?;
    let (_, kind, after) = element(info)?;
    let key = bits(after)?;
    let algorithms = default_provider().signature_verification_algorithms;
    let mut fitting = algorithms
        .all
        .iter()
        .filter(|known| known.signature_alg_id().as_ref() == algorithm && known.public_key_alg_id().as_ref() == kind);
    Ok(fitting.any(|known| known.verify_signature(key, signed, signature).is_ok()))
}

/// The first element with its header, and what follows it.
fn whole(der: &[u8]) -> Result<(&[u8], &[u8]), &'static str> {
    let (_, _, rest) = element(der)?;
    der.split_at_checked(der.len().saturating_sub(rest.len())).ok_or("cut short")
}

/// The content of a bit string of whole bytes.
fn bits(der: &[u8]) -> Result<&[u8], &'static str> {
    let (_, content, _) = element(der)?;
    content.strip_prefix(&[0]).ok_or("not a string of whole bytes")
}
