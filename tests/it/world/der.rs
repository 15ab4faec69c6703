//! Just enough DER to build what no certificate library agrees to.

pub const COMMON_NAME: &[u8] = &[0x55, 4, 3];
pub const ORGANIZATION: &[u8] = &[0x55, 4, 10];
pub const UNIT: &[u8] = &[0x55, 4, 11];
/// `name` of X.520, which is not `commonName`.
pub const NAME: &[u8] = &[0x55, 4, 41];
pub const UTF8: u8 = 12;
pub const PRINTABLE: u8 = 19;
pub const TELETEX: u8 = 20;
pub const BMP: u8 = 30;

pub const DNS: u8 = 0x82;
pub const EMAIL: u8 = 0x81;
pub const URI: u8 = 0x86;

/// An attribute: object identifier, string type, value.
pub type Attribute<'a> = (&'a [u8], u8, &'a [u8]);

pub fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len();
    let bytes: Vec<u8> = length.to_be_bytes().into_iter().skip_while(|byte| *byte == 0).collect();
    let mut der = vec![tag];
    match u8::try_from(length) {
        Ok(short) if short < 0x80 => der.push(short),
        _ => {
            der.push(0x80 | u8::try_from(bytes.len()).unwrap());
            der.extend(bytes);
        }
    }
    der.extend_from_slice(content);
    der
}

/// The content of the one element that `der` is.
pub fn content(der: &[u8]) -> &[u8] {
    let header = if der[1] < 0x80 { 2 } else { 2 + usize::from(der[1] & 0x7f) };
    &der[header..]
}

/// The elements in `content`, each with its header.
pub fn elements(mut content: &[u8]) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    while !content.is_empty() {
        let (header, length) = if content[1] < 0x80 {
            (2, usize::from(content[1]))
        } else {
            let count = usize::from(content[1] & 0x7f);
            (2 + count, content[2..2 + count].iter().fold(0, |sum, byte| sum * 256 + usize::from(*byte)))
        };
        let (first, rest) = content.split_at(header + length);
        found.push(first.to_vec());
        content = rest;
    }
    found
}

/// A distinguished name from sets of attributes, least specific first as in a certificate.
pub fn name(parts: &[&[Attribute<'_>]]) -> Vec<u8> {
    let set = |attributes: &&[Attribute<'_>]| {
        let mut pairs: Vec<_> = attributes
            .iter()
            .map(|(oid, tag, value)| element(0x30, &[element(6, oid), element(*tag, value)].concat()))
            .collect();
        // The order that DER wants of a set.
        pairs.sort();
        element(0x31, &pairs.concat())
    };
    element(0x30, &parts.iter().map(set).collect::<Vec<_>>().concat())
}

/// The value of a subject alternative name extension.
pub fn alternative_names(names: &[(u8, &[u8])]) -> Vec<u8> {
    element(0x30, &names.iter().map(|(tag, value)| element(*tag, value)).collect::<Vec<_>>().concat())
}
