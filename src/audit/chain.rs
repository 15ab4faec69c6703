//! The chain: every line of the journal has a number and the SHA-256 of the line before it. Both stand where they can be
//! found without reading JSON: the number first, the hash last.

use aws_lc_rs::digest::{SHA256, digest};

use crate::secret::hex;

const FIRST: &[u8] = b"{\"seq\":";
const LAST: &[u8] = b",\"prev\":\"";
const END: &[u8] = b"\"}";

/// SHA-256 (FIPS 180-4) of a line without its newline.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Hash([u8; 32]);

impl Hash {
    /// What the first record names as its predecessor.
    pub const NONE: Self = Self([0; 32]);

    /// The hash of a line.
    #[must_use]
    pub fn of(line: &[u8]) -> Self {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest(&SHA256, line).as_ref());
        Self(bytes)
    }

    /// From 64 lower-case hexadecimal digits.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        if text.len() != 64 {
            return None;
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
            let &[high, low] = pair else { return None };
            *byte = (digit(high)? << 4) | digit(low)?;
        }
        Some(Self(bytes))
    }
}

fn digit(c: u8) -> Option<u8> {
    match c {
        b'0'..=b'9' => c.checked_sub(b'0'),
        b'a'..=b'f' => c.checked_sub(b'a')?.checked_add(10),
        _ => None,
    }
}

/// Every record writes 64 of them.
fn hexadecimal(digit: u8) -> u8 {
    digit.wrapping_add(if digit < 10 { b'0' } else { b'a'.wrapping_sub(10) })
}

impl std::fmt::Display for Hash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl std::fmt::Debug for Hash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{self}")
    }
}

/// The end of a chain: the number and the hash of its last line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Head {
    /// Number of the last line; 0 before the first.
    pub seq: u64,
    /// Its hash.
    pub hash: Hash,
}

impl Head {
    /// Before the first line.
    pub const START: Self = Self { seq: 0, hash: Hash::NONE };

    /// Appends `body`, a JSON object with at least one member and without a newline, to `page` as the next line of the
    /// chain, with its newline. Returns the new head, or `None` (and leaves `page` alone) when `body` is no such object.
    #[must_use]
    pub fn append(self, body: &[u8], page: &mut Vec<u8>) -> Option<Self> {
        let members = body.strip_prefix(b"{")?.strip_suffix(b"}")?;
        if members.is_empty() || members.contains(&b'\n') {
            return None;
        }
        let seq = self.seq.checked_add(1)?;
        let begin = page.len();
        page.extend_from_slice(FIRST);
        page.extend_from_slice(seq.to_string().as_bytes());
        page.push(b',');
        page.extend_from_slice(members);
        page.extend_from_slice(LAST);
        page.extend(self.hash.0.iter().flat_map(|byte| [hexadecimal(byte >> 4), hexadecimal(byte & 0xf)]));
        page.extend_from_slice(END);
        let hash = Hash::of(page.get(begin..)?);
        page.push(b'\n');
        Some(Self { seq, hash })
    }
}

/// What a line says of its place in the chain.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Link {
    /// Its number.
    pub seq: u64,
    /// The hash of the line before it.
    pub prev: Hash,
}

impl Link {
    /// Reads the place of a line (without its newline); `None` when it has none in the form in which lines are written.
    #[must_use]
    pub fn of(line: &[u8]) -> Option<Self> {
        let rest = line.strip_prefix(FIRST)?;
        let comma = rest.iter().take(21).position(|byte| *byte == b',')?;
        let digits = rest.get(..comma)?;
        if digits.is_empty() || digits.starts_with(b"0") || !digits.iter().all(u8::is_ascii_digit) {
            return None;
        }
        let seq = std::str::from_utf8(digits).ok()?.parse().ok()?;
        let rest = rest.strip_suffix(END)?;
        let (rest, prev) = rest.split_at_checked(rest.len().checked_sub(64)?)?;
        rest.ends_with(LAST).then_some(())?;
        Some(Self { seq, prev: Hash::parse(prev)? })
    }

    /// Whether a line with this place comes right after `head`.
    #[must_use]
    pub fn follows(self, head: Head) -> bool {
        head.seq.checked_add(1) == Some(self.seq) && self.prev == head.hash
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_its_place_and_stays_json() {
        let mut page = Vec::new();
        let head = Head::START.append(br#"{"v":1,"a":"\"}"}"#, &mut page).unwrap();
        let head = head.append(br#"{"v":1}"#, &mut page).unwrap();
        let lines: Vec<&[u8]> = page.strip_suffix(b"\n").unwrap().split(|byte| *byte == b'\n').collect();
        assert_eq!(head, Head { seq: 2, hash: Hash::of(lines[1]) });
        assert_eq!(Link::of(lines[0]), Some(Link { seq: 1, prev: Hash::NONE }));
        assert!(Link::of(lines[1]).unwrap().follows(Head { seq: 1, hash: Hash::of(lines[0]) }));
        let value: serde_json::Value = serde_json::from_slice(lines[0]).unwrap();
        assert_eq!((&value["seq"], &value["a"]), (&1.into(), &"\"}".into()));
    }

    #[test]
    fn what_is_not_an_object_in_one_line_does_not_become_a_line() {
        for body in [&b""[..], b"{", b"{}", b"text", b"{\"a\":\n1}", b"[1]"] {
            let mut page = Vec::new();
            assert_eq!(Head::START.append(body, &mut page), None, "{body:?}");
            assert!(page.is_empty());
        }
    }

    #[test]
    fn a_place_in_another_spelling_is_none() {
        let zeros = "0".repeat(64);
        for line in [
            format!("{{\"seq\":01,\"v\":1,\"prev\":\"{zeros}\"}}"),
            format!("{{\"seq\":0,\"v\":1,\"prev\":\"{zeros}\"}}"),
            format!("{{\"seq\": 1,\"v\":1,\"prev\":\"{zeros}\"}}"),
            format!("{{\"seq\":1,\"v\":1,\"prev\":\"{zeros}\"}} "),
            format!("{{\"seq\":1,\"v\":1,\"prev\":\"{}\"}}", "A".repeat(64)),
            format!("{{\"seq\":99999999999999999999,\"v\":1,\"prev\":\"{zeros}\"}}"),
            format!("{{\"seq\":1,\"v\":1,\"next\":\"{zeros}\"}}"),
        ] {
            assert_eq!(Link::of(line.as_bytes()), None, "{line}");
        }
    }
}
