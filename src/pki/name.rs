//! Distinguished names from DER: every byte is accounted for, every value is text, or the name is refused.

use x509_parser::asn1_rs::{Class, FromDer as _, Header, Oid, Tag};

use crate::identity::{DistinguishedName, RelativeName};

/// Reads a `Name` (RFC 5280 section 4.1.2.4) that fills `der` exactly. The X.509 parser would leave out the parts that it
/// does not understand; a name with a part missing is another name.
pub(super) fn distinguished_name(der: &[u8]) -> Result<DistinguishedName, &'static str> {
    let mut parts = Vec::new();
    let mut rest = only(der, Tag::Sequence)?;
    while !rest.is_empty() {
        let (set, after) = next(rest, Tag::Set)?;
        parts.push(relative_name(set)?);
        rest = after;
    }
    parts.reverse();
    Ok(DistinguishedName::new(parts))
}

fn relative_name(mut rest: &[u8]) -> Result<RelativeName, &'static str> {
    let mut pairs = Vec::new();
    while !rest.is_empty() {
        let (pair, after) = next(rest, Tag::Sequence)?;
        let (value, oid) = Oid::from_der(pair).map_err(|_| "a name has a part without an attribute type")?;
        let arcs = oid.iter().ok_or("an attribute type is too large")?;
        let oid = arcs.map(|arc| arc.to_string()).collect::<Vec<_>>().join(".");
        pairs.push((oid, text(value)?));
        rest = after;
    }
    if pairs.is_empty() { Err("a name has an empty part") } else { Ok(RelativeName::new(pairs)) }
}

/// The value of an attribute. T.61 beyond ASCII is read in several ways in practice, so it is refused.
fn text(value: &[u8]) -> Result<String, &'static str> {
    let (header, content, rest) = element(value)?;
    if header.class() != Class::Universal || header.is_constructed() || !rest.is_empty() {
        return Err("a name has a value that is not a plain text");
    }
    let text = match header.tag() {
        Tag::Utf8String => std::str::from_utf8(content).ok().map(str::to_owned),
        Tag::PrintableString | Tag::Ia5String | Tag::TeletexString => ascii(content),
        Tag::BmpString => utf16(content),
        _ => None,
    };
    match text {
        Some(text) if !text.contains('\0') => Ok(text),
        Some(_) => Err("a name has a NUL character in it"),
        None => Err("a name has a value that is not text"),
    }
}

fn ascii(content: &[u8]) -> Option<String> {
    content.is_ascii().then(|| String::from_utf8_lossy(content).into_owned())
}

fn utf16(content: &[u8]) -> Option<String> {
    let (pairs, odd) = content.as_chunks::<2>();
    let units = pairs.iter().map(|pair| u16::from_be_bytes(*pair));
    odd.is_empty().then(|| char::decode_utf16(units).collect::<Result<String, _>>().ok()).flatten()
}

/// The content of the one element of this tag that `der` is.
fn only(der: &[u8], tag: Tag) -> Result<&[u8], &'static str> {
    match next(der, tag)? {
        (content, []) => Ok(content),
        _ => Err("there is something after a name"),
    }
}

/// The content of the constructed element that `der` begins with, and what follows it.
fn next(der: &[u8], tag: Tag) -> Result<(&[u8], &[u8]), &'static str> {
    let (header, content, rest) = element(der)?;
    let fits = header.class() == Class::Universal && header.is_constructed() && header.tag() == tag;
    if fits { Ok((content, rest)) } else { Err("a name is not built as X.501 says") }
}

pub(super) fn element(der: &[u8]) -> Result<(Header<'_>, &[u8], &[u8]), &'static str> {
    let broken = "a name is not DER";
    let (after, header) = Header::from_der(der).map_err(|_| broken)?;
    let length = header.length().definite().map_err(|_| broken)?;
    let (content, rest) = after.split_at_checked(length).ok_or("a name is cut short")?;
    Ok((header, content, rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn wrap(tag: u8, content: &[u8]) -> Vec<u8> {
        let mut der = vec![tag, u8::try_from(content.len()).unwrap()];
        der.extend_from_slice(content);
        der
    }

    /// One `CN` with a value of this tag.
    fn part(tag: u8, value: &[u8]) -> Vec<u8> {
        let pair = [wrap(6, &[0x55, 4, 3]), wrap(tag, value)].concat();
        wrap(0x31, &wrap(0x30, &pair))
    }

    fn read(parts: &[Vec<u8>]) -> Result<String, &'static str> {
        distinguished_name(&wrap(0x30, &parts.concat())).map(|name| name.to_string())
    }

    #[test]
    fn the_last_part_comes_first() {
        assert_eq!(read(&[part(12, b"root"), part(19, b"leaf")]).unwrap(), "CN=leaf,CN=root");
        assert_eq!(read(&[]).unwrap(), "");
    }

    #[test]
    fn text_is_decoded_by_its_own_kind() {
        assert_eq!(read(&[part(12, "é".as_bytes())]).unwrap(), "CN=é");
        assert_eq!(read(&[part(30, &[0, 0xe9])]).unwrap(), "CN=é");
        assert_eq!(read(&[part(22, b"a@b")]).unwrap(), "CN=a@b");
        assert_eq!(read(&[part(20, b"old")]).unwrap(), "CN=old");
    }

    #[test]
    fn what_cannot_be_read_exactly_is_refused() {
        let cases = [
            part(12, b"bot\0eve"),
            part(12, &[0xff]),
            part(19, &[0xe9]),
            part(20, &[0xe9]),
            part(22, &[0xe9]),
            part(30, &[0, 0xe9, 0]),
            part(30, &[0xd8, 0]),
            part(30, &[0, 0]),
            part(28, b"\0\0\0a"),
            part(4, b"octets"),
            part(0x2c, b"constructed"),
            wrap(0x31, b""),
            wrap(0x30, b""),
        ];
        for case in cases {
            assert!(read(std::slice::from_ref(&case)).is_err(), "{case:02x?}");
        }
    }

    #[test]
    fn a_part_that_is_not_understood_hides_nothing() {
        let garbage = wrap(0x31, &wrap(0x30, &wrap(5, b"")));
        assert!(read(&[part(12, b"bot"), garbage, part(12, b"eve")]).is_err());
        let set = [wrap(0x30, &[wrap(6, &[0x55, 4, 3]), wrap(12, b"bot")].concat()), vec![0xde, 0xad]].concat();
        assert!(read(&[wrap(0x31, &set)]).is_err());
        let pair = [wrap(6, &[0x55, 4, 3]), wrap(12, b"bot"), wrap(12, b"eve")].concat();
        assert!(read(&[wrap(0x31, &wrap(0x30, &pair))]).is_err());
        assert!(distinguished_name(&[wrap(0x30, &part(12, b"bot")), vec![0]].concat()).is_err());
    }

    proptest! {
        #[test]
        fn no_bytes_bring_it_down(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = distinguished_name(&bytes);
            let _ = distinguished_name(&wrap(0x30, &wrap(0x31, &bytes)));
        }
    }
}
