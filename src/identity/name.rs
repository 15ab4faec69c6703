//! Distinguished names: RFC 4514 text to a structure and back, compared part by part and never as text.

use std::fmt;

/// Why a text is not a distinguished name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NameError(&'static str);

impl NameError {
    pub(super) fn not_plain() -> Self {
        Self("the value must be visible ASCII and not empty")
    }

    pub(super) fn wildcard() -> Self {
        Self("wildcards are not supported; name each subject")
    }
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for NameError {}

/// One relative distinguished name: a set of (object identifier, value), sorted, so order within it does not matter.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct RelativeName(Vec<(String, String)>);

/// A distinguished name, most specific part first as RFC 4514 writes it. Equal means: the same parts in the same order
/// with the same values byte for byte; nothing is folded, so no look-alike is taken for the original.
#[derive(Clone, Default, PartialEq, Eq, Hash, Debug)]
pub struct DistinguishedName(Vec<RelativeName>);

/// Short names of RFC 4514 section 3 and RFC 4519, with the object identifiers they stand for.
const KEYWORDS: &[(&str, &str)] = &[
    ("CN", "2.5.4.3"),
    ("SN", "2.5.4.4"),
    ("SERIALNUMBER", "2.5.4.5"),
    ("C", "2.5.4.6"),
    ("L", "2.5.4.7"),
    ("ST", "2.5.4.8"),
    ("STREET", "2.5.4.9"),
    ("O", "2.5.4.10"),
    ("OU", "2.5.4.11"),
    ("TITLE", "2.5.4.12"),
    ("GIVENNAME", "2.5.4.42"),
    ("UID", "0.9.2342.19200300.100.1.1"),
    ("DC", "0.9.2342.19200300.100.1.25"),
    ("EMAILADDRESS", "1.2.840.113549.1.9.1"),
];

/// The object identifier of `commonName`.
const COMMON_NAME: &str = "2.5.4.3";

impl RelativeName {
    /// From pairs of object identifier and value.
    #[must_use]
    pub fn new(mut pairs: Vec<(String, String)>) -> Self {
        pairs.sort();
        Self(pairs)
    }
}

impl DistinguishedName {
    /// From relative names, most specific first (the reverse of their order in the certificate).
    #[must_use]
    pub fn new(parts: Vec<RelativeName>) -> Self {
        Self(parts)
    }

    /// The values of every `CN`, most specific first.
    pub fn common_names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().flat_map(|part| &part.0).filter(|(oid, _)| oid == COMMON_NAME).map(|(_, value)| value.as_str())
    }

    /// Reads RFC 4514 text.
    ///
    /// # Errors
    /// What is wrong with the text: an unknown attribute, a bad escape, an unescaped special character, an empty part.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let mut parser = Parser { rest: text.chars().collect::<Vec<_>>().into_iter().peekable() };
        let mut parts = Vec::new();
        loop {
            let mut pairs = vec![parser.pair()?];
            while parser.eat('+') {
                pairs.push(parser.pair()?);
            }
            parts.push(RelativeName::new(pairs));
            if !parser.eat(',') {
                break;
            }
        }
        match parser.rest.next() {
            None => Ok(Self(parts)),
            Some(_) => Err(NameError("a special character must be escaped with a backslash")),
        }
    }
}

struct Parser {
    rest: std::iter::Peekable<std::vec::IntoIter<char>>,
}

impl Parser {
    fn eat(&mut self, wanted: char) -> bool {
        self.rest.next_if_eq(&wanted).is_some()
    }

    fn skip_spaces(&mut self) {
        while self.eat(' ') {}
    }

    fn pair(&mut self) -> Result<(String, String), NameError> {
        self.skip_spaces();
        let mut attribute = String::new();
        while let Some(c) = self.rest.next_if(|c| c.is_ascii_alphanumeric() || *c == '.' || *c == '-') {
            attribute.push(c);
        }
        let oid = object_identifier(&attribute)?;
        self.skip_spaces();
        if !self.eat('=') {
            return Err(NameError("an attribute must be followed by ="));
        }
        self.skip_spaces();
        Ok((oid, self.value()?))
    }

    /// RFC 4514 section 2.4: specials are escaped, a leading or trailing space too; `\xx` is one byte of UTF-8.
    fn value(&mut self) -> Result<String, NameError> {
        if self.rest.peek() == Some(&'#') {
            return Err(NameError("a value in #hexadecimal form is not supported"));
        }
        let mut bytes = Vec::new();
        let mut kept = 0;
        while let Some(c) = self.rest.next_if(|c| !matches!(c, ',' | '+' | '"' | ';' | '<' | '>')) {
            match c {
                '\0' => return Err(NameError("a value must not hold a NUL")),
                '\\' => {
                    let escaped = self.rest.next().ok_or(NameError("the text ends within an escape"))?;
                    match escaped {
                        ' ' | '"' | '#' | '+' | ',' | ';' | '<' | '=' | '>' | '\\' => push(&mut bytes, escaped),
                        high => bytes.push(self.byte(high)?),
                    }
                    kept = bytes.len();
                }
                ' ' => bytes.push(b' '),
                other => {
                    push(&mut bytes, other);
                    kept = bytes.len();
                }
            }
        }
        bytes.truncate(kept);
        if bytes.is_empty() {
            return Err(NameError("a value must not be empty"));
        }
        if bytes.contains(&0) {
            return Err(NameError("a value must not hold a NUL"));
        }
        String::from_utf8(bytes).map_err(|_| NameError("a value must be UTF-8"))
    }

    fn byte(&mut self, high: char) -> Result<u8, NameError> {
        let error = NameError("a backslash must be followed by a special character or two hexadecimal digits");
        let high = high.to_digit(16).ok_or_else(|| error.clone())?;
        let low = self.rest.next().and_then(|c| c.to_digit(16)).ok_or_else(|| error.clone())?;
        high.checked_mul(16)
            .and_then(|high| high.checked_add(low))
            .and_then(|byte| u8::try_from(byte).ok())
            .ok_or(error)
    }
}

fn push(bytes: &mut Vec<u8>, c: char) {
    bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
}

fn object_identifier(attribute: &str) -> Result<String, NameError> {
    if attribute.is_empty() {
        return Err(NameError("a part must begin with an attribute such as CN="));
    }
    if attribute.starts_with(|c: char| c.is_ascii_digit()) {
        let canonical = attribute.split('.').all(|arc| {
            !arc.is_empty() && arc.bytes().all(|b| b.is_ascii_digit()) && (arc == "0" || !arc.starts_with('0'))
        });
        return if canonical { Ok(attribute.to_owned()) } else { Err(NameError("not an object identifier")) };
    }
    KEYWORDS
        .iter()
        .find(|(keyword, _)| keyword.eq_ignore_ascii_case(attribute))
        .map(|(_, oid)| (*oid).to_owned())
        .ok_or(NameError("an attribute that is not known by a short name must be given as an object identifier"))
}

/// RFC 4514: the text that [`DistinguishedName::parse`] reads back to the same name.
impl fmt::Display for DistinguishedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, part) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            for (inner, (oid, value)) in part.0.iter().enumerate() {
                if inner > 0 {
                    f.write_str("+")?;
                }
                let keyword = KEYWORDS.iter().find(|(_, known)| known == oid).map_or(oid.as_str(), |(word, _)| word);
                write!(f, "{keyword}=")?;
                write_value(f, value)?;
            }
        }
        Ok(())
    }
}

fn write_value(f: &mut fmt::Formatter<'_>, value: &str) -> fmt::Result {
    use fmt::Write as _;
    let last = value.chars().count().saturating_sub(1);
    for (index, c) in value.chars().enumerate() {
        let edge_space = c == ' ' && (index == 0 || index == last);
        let leading_hash = c == '#' && index == 0;
        if edge_space || leading_hash || matches!(c, '"' | '+' | ',' | ';' | '<' | '>' | '\\') {
            write!(f, "\\{c}")?;
        } else if c.is_control() {
            for byte in c.encode_utf8(&mut [0; 4]).bytes() {
                write!(f, "\\{byte:02x}")?;
            }
        } else {
            f.write_char(c)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(text: &str) -> DistinguishedName {
        DistinguishedName::parse(text).unwrap()
    }

    #[test]
    fn spelling_does_not_matter_and_meaning_does() {
        assert_eq!(parse("cn=bot, o=Acme"), parse("CN=bot,2.5.4.10=Acme"));
        assert_eq!(parse("CN=a+OU=b"), parse("OU=b+CN=a"));
        assert_eq!(parse("CN=\\c3\\a9"), parse("CN=é"));
        assert_ne!(parse("CN=bot"), parse("CN=Bot"));
        assert_ne!(parse("CN=bot,O=Acme"), parse("O=Acme,CN=bot"));
        assert_ne!(parse("CN=a+OU=b"), parse("CN=a,OU=b"));
        assert_ne!(parse("CN=bot\\ "), parse("CN=bot "));
    }

    #[test]
    fn what_is_not_a_name_is_refused() {
        for text in ["", "bot", "CN=", "CN=a,", "CN=a\\", "CN=a\\zz", "CN=a;O=b", "XX=a", "2..5=a", "CN=\\00", "CN=#04"]
        {
            assert!(DistinguishedName::parse(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back_the_same(values in prop::collection::vec("[^\0]{1,12}", 1..4)) {
            let name = DistinguishedName::new(
                values.into_iter().map(|value| RelativeName::new(vec![(COMMON_NAME.to_owned(), value)])).collect(),
            );
            prop_assert_eq!(DistinguishedName::parse(&name.to_string()), Ok(name));
        }
    }
}
