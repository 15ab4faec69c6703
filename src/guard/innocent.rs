//! What has the form of a secret and is none: words that stand where a secret could, references to one, and paths.

use std::collections::HashSet;
use std::sync::LazyLock;

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use regex::{Captures, Match};

use super::redact::REDACTED;

/// Words that follow `password:` or `token:` in prose, in messages of programs, in code and in nsswitch.conf(5). No word
/// is here that somebody could take for a password.
const WORDS: &str = "\
    yes no true false null none nil undefined nan unset empty missing absent required optional include substack requisite sufficient \
    invalid unknown unexpected expired changed updated unchanged incorrect wrong accepted rejected denied failed ok on off \
    enabled disabled locked never always prompt ask a an the this that these your my our its his her their must should may \
    can cannot could will would is are was were be been has have had not for to of in into from with without and or if it \
    as at by on please enter type use using used see when where which what who how string str text bytes byte boolean bool \
    int integer number float double char varchar object any array list map option optional(string) files compat systemd sss \
    ldap nis nisplus winbind db authentication authorization password passwd passphrase secret token tokens expiry \
    expecting expected length mismatch policy manipulation error lookup does did do only both each every set get read \
    found called given refresh access bearer basic digest hidden redacted masked";

static INNOCENT: LazyLock<HashSet<&'static str>> = LazyLock::new(|| WORDS.split_whitespace().collect());

/// After these a `token:` is one of a grammar.
const PARSERS: [&str; 9] =
    ["unexpected", "unknown", "invalid", "illegal", "bad", "next", "end", "syntax", "unrecognized"];

/// An assignment whose value is no secret; the second group is the name, what follows the first is the value.
pub(super) fn assignment(text: &str, found: &Captures<'_>) -> bool {
    let (Some(whole), Some(before), Some(name)) = (found.get(0), found.get(1), found.get(2)) else { return false };
    let value = whole.as_str().get(before.len()..).unwrap_or_default();
    let quoted = value.starts_with(['"', '\'', '\\']);
    let bare = value.trim_matches(|c: char| matches!(c, '"' | '\'' | '\\' | ',' | ';' | '`'));
    // The line ends there, in text that is quoted.
    if let Some(open) = value.strip_suffix(['n', 'r']).filter(|open| open.ends_with('\\')) {
        let open = open.trim_end_matches(['\\', 'r']);
        if open.is_empty() || opens_something(text, before.end(), open) {
            return true;
        }
    }
    let nothing = quoted && bare.is_empty();
    if nothing
        || is_reference(bare)
        || is_constant(bare)
        || (!quoted && opens_something(text, before.end(), bare.trim_start_matches('+')))
    {
        return true;
    }
    // What is in quotes and what follows a bare `=` was meant as a value.
    let prose = before.as_str().ends_with([' ', '\t']) && !quoted;
    prose && (is_innocent_word(bare) || of_a_grammar(text, name)) || is_exemption(text, name)
}

/// What stands alone where a secret could and is none: a word of the list, a reference, yes and no.
pub(super) fn is_no_value(bare: &str) -> bool {
    is_innocent_word(bare) || is_reference(bare) || is_constant(bare)
}

/// A word of the list, perhaps with what ends a sentence or a type behind it.
fn is_innocent_word(bare: &str) -> bool {
    let bare = bare.trim_start_matches(['(', '[', '&']);
    let length = bare.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(bare.len());
    let (word, rest) = bare.split_at_checked(length).unwrap_or_default();
    let of_type = rest.starts_with('<') && rest.contains('>');
    let ended =
        rest.chars().all(|c| matches!(c, '.' | ',' | ';' | ':' | '!' | '?' | ')' | ']' | '}' | '"' | '\'' | '>'));
    (ended || of_type) && INNOCENT.contains(word.to_ascii_lowercase().as_str())
}

/// `true` and the like are no secrets whatever stands around them.
fn is_constant(value: &str) -> bool {
    let length = value.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(value.len());
    let (word, rest) = value.split_at_checked(length).unwrap_or_default();
    let ended = rest.is_empty() || (rest.starts_with([',', ';', ')', '}', ']']) && goes_on(rest));
    let constants = ["yes", "no", "true", "false", "null", "none", "nil", "undefined"];
    ended && constants.iter().any(|constant| word.eq_ignore_ascii_case(constant))
}

/// Whether behind a value nothing comes but signs, or the next name: `none,port=22`, `null},{"user":`.
fn goes_on(rest: &str) -> bool {
    let signs = |c: char| {
        matches!(c, ',' | ';' | ':' | ')' | '(' | '}' | '{' | ']' | '[' | '"' | '\'' | '\\' | '?' | '.' | '>' | '&')
    };
    let rest = rest.trim_start_matches(signs);
    let length = rest.find(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '_' | '-' | '.')).unwrap_or(rest.len());
    let (_, after) = rest.split_at_checked(length).unwrap_or_default();
    rest.is_empty() || (length > 0 && after.trim_start_matches(['"', '\'', '\\']).starts_with(['=', ':']))
}

/// A bracket that opens a list, a block or a description such as `<your password>`, or the beginning of a YAML block.
fn opens_something(text: &str, at: usize, bare: &str) -> bool {
    let described = || {
        let rest = text.get(at..).and_then(|rest| rest.strip_prefix('<')).unwrap_or_default();
        let (inner, after) = rest.split_once('>').unwrap_or_default();
        let whole = after.is_empty() || after.starts_with(|c: char| c.is_whitespace() || "\"',;:.)]}&<\\".contains(c));
        whole
            && !inner.is_empty()
            && inner.len() < 40
            && inner.chars().all(|c| c.is_ascii_alphabetic() || " _-".contains(c))
    };
    matches!(bare, "{" | "[" | "(" | "|" | ">" | "|-" | ">-" | "{}" | "[]" | "{{") || described()
}

/// `NOPASSWD:` of sudoers(5).
fn is_exemption(text: &str, name: Match<'_>) -> bool {
    text.get(..name.start()).is_some_and(|before| before.ends_with("NO")) && name.as_str() == "PASSWD"
}

/// `${NAME}`, `$(command)`, `{{ name }}`, `<name>`, `%s`, `****`: where a secret would stand. A default within is none.
fn is_reference(value: &str) -> bool {
    let name =
        |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-' | b' '));
    let within = |open: &str, close: &str| value.strip_prefix(open).and_then(|rest| rest.strip_suffix(close));
    let marks = |text: &str| !text.is_empty() && text.chars().all(|c| matches!(c, '*' | 'x' | 'X' | '.' | '•'));
    let described = |inner: &str| inner.bytes().all(|byte| byte.is_ascii_alphabetic() || b"_- ".contains(&byte));
    [("${", "}"), ("{{", "}}"), ("${{", "}}"), ("%(", ")s")]
        .iter()
        .any(|(open, close)| within(open, close).is_some_and(|inner| !inner.is_empty() && name(inner)))
        || within("<", ">").is_some_and(|inner| !inner.is_empty() && described(inner))
        || value == "%s"
        || value
            .strip_suffix("()")
            .is_some_and(|call| !call.is_empty() && call.bytes().all(|b| b.is_ascii_alphabetic() || b"_.".contains(&b)))
        || ["ConvertTo-SecureString", "Read-Host"].iter().any(|cmdlet| value.eq_ignore_ascii_case(cmdlet))
        || ["os.environ", "os.getenv", "process.env", "System.getenv", "ENV[", "getenv("]
            .iter()
            .any(|call| value.strip_prefix(call).is_some_and(is_lookup))
        || value.strip_prefix('$').is_some_and(is_variable)
        || (value.len() >= 3 && marks(value))
}

/// What stands behind `process.env`: a name in whatever brackets, and no value for when it is missing.
fn is_lookup(rest: &str) -> bool {
    rest.chars().all(|c| c.is_ascii_alphanumeric() || "_.[]()'\"!;\\".contains(c))
}

/// A name of the shell's: in capital letters, with digits only in a name of parts; or the number of an argument.
fn is_variable(name: &str) -> bool {
    let digits = name.bytes().any(|byte| byte.is_ascii_digit());
    let letters = name.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_');
    let number = name.len() <= 2 && name.bytes().all(|byte| byte.is_ascii_digit());
    !name.is_empty() && letters && (!digits || number || name.contains('_'))
}

/// An assignment to `pass`, `pwd` or `pw` that has another meaning: a count, a folder, a filter, the result of a test.
pub(super) fn short_name(text: &str, found: &Captures<'_>) -> bool {
    let (Some(whole), Some(before), Some(name)) = (found.get(0), found.get(1), found.get(2)) else { return false };
    let value = whole.as_str().get(before.len()..).unwrap_or_default();
    let bare = value.trim_matches(|c: char| matches!(c, '"' | '\'' | '\\' | ',' | ';' | '`' | ')' | '}' | ']' | '&'));
    let letters = name.as_str().to_ascii_lowercase();
    let folder = if letters.ends_with("pwd") {
        is_directory(bare)
    } else {
        !letters.starts_with('_') && bare.strip_prefix('/').is_some_and(|rest| rest.contains('/'))
    };
    // What went out already stays as it is, with what is joined to it.
    let gone = value
        .strip_prefix(REDACTED)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with([',', ';', '&', '"', '\'', '}']));
    gone || bare.is_empty()
        || folder
        || is_count(bare)
        || is_filter(text, name)
        || is_result(text, before, name)
        || assignment(text, found)
}

/// A number of at most three digits, perhaps with a fraction and a unit.
fn is_count(value: &str) -> bool {
    let digits = value.bytes().take_while(u8::is_ascii_digit).count();
    let rest = value.get(digits..).unwrap_or_default();
    let unit = rest.trim_start_matches(|c: char| c == '.' || c == '/' || c.is_ascii_digit());
    (1..=3).contains(&digits)
        && rest.len() <= 6
        && unit.len() <= 3
        && unit.chars().all(|c| c.is_ascii_alphabetic() || c == '%')
        && (unit.is_empty() || unit == "%" || unit == "s" || unit == "ms" || unit.to_ascii_lowercase().ends_with("hz"))
}

/// `low-pass:`, `first_pass:`, `proxy_pass:`.
fn is_filter(text: &str, name: Match<'_>) -> bool {
    let before = text.get(..name.start()).unwrap_or_default();
    let before = if name.as_str().starts_with('_') { Some(before) } else { before.strip_suffix('-') };
    let word =
        before.map_or("", |before| before.rsplit(|c: char| !c.is_ascii_alphanumeric()).next().unwrap_or_default());
    [
        "low", "high", "band", "all", "by", "first", "second", "next", "last", "multi", "single", "proxy", "fastcgi",
        "uwsgi", "grpc",
    ]
    .iter()
    .any(|filter| word.eq_ignore_ascii_case(filter))
}

/// `PASS: name of a test`, unless a user is named before.
fn is_result(text: &str, before: Match<'_>, name: Match<'_>) -> bool {
    let near = text.as_bytes().get(name.start().saturating_sub(64)..name.start()).unwrap_or_default();
    name.as_str() == "PASS"
        && before.as_str().starts_with("PASS: ")
        && !near.windows(4).any(|four| four.eq_ignore_ascii_case(b"user"))
}

/// What is in quotes and is no secret; it is the second group.
pub(super) fn quoted(_: &str, found: &Captures<'_>) -> bool {
    let value = found.get(2).map_or("", |value| value.as_str());
    let bare = value.trim_matches(|c: char| matches!(c, '"' | '\'' | '\\' | ' '));
    bare.is_empty() || matches!(bare, "?" | REDACTED) || is_reference(bare) || is_innocent_word(bare)
}

/// A word behind `authorization:` that says whether there is any, or a scheme without its secret.
pub(super) fn scheme(_: &str, found: &Captures<'_>) -> bool {
    let value = found.get(0).zip(found.get(1)).and_then(|(whole, before)| whole.as_str().get(before.len()..));
    value.is_some_and(|value| is_innocent_word(value) && value.len() > 2)
}

/// What stands behind the word of a directive and is none of its values: a sign, a flag, a word of a sentence.
pub(super) fn directive(text: &str, found: &Captures<'_>) -> bool {
    let value = found.get(2).map_or("", |value| value.as_str());
    value.starts_with(['=', ':', '-']) || quoted(text, found)
}

/// A word of small letters alone, where a sentence could stand.
pub(super) fn word(text: &str, found: &Captures<'_>) -> bool {
    let value = found.get(2).map_or("", |value| value.as_str());
    value.trim_end_matches(['.', ',', ';', ':']).bytes().all(|byte| byte.is_ascii_lowercase()) || quoted(text, found)
}

/// A path or a flag, where a secret could stand.
pub(super) fn path(text: &str, found: &Captures<'_>) -> bool {
    let value = found.get(2).map_or("", |value| value.as_str());
    value.starts_with(['/', '.', '~', '-']) || quoted(text, found)
}

/// A value in the second column of a table that is a word or a version.
pub(super) fn column(_: &str, found: &Captures<'_>) -> bool {
    let value = found.get(2).map_or("", |value| value.as_str());
    let (digit, letter) =
        (value.bytes().any(|byte| byte.is_ascii_digit()), value.bytes().any(|byte| byte.is_ascii_alphabetic()));
    let version = value.starts_with(|c: char| c.is_ascii_digit()) && value.contains(['.', ':', '~', '+', '-']);
    value.len() < 8 || !digit || !letter || version || value.starts_with('/')
}

/// `27017:27017` after `-p` of a program that runs others.
pub(super) fn port(_: &str, found: &Captures<'_>) -> bool {
    let value = found.get(0).zip(found.get(1)).and_then(|(whole, before)| whole.as_str().get(before.len()..));
    value.is_some_and(|value| {
        value.contains(':')
            && value
                .trim_end_matches("/tcp")
                .trim_end_matches("/udp")
                .bytes()
                .all(|b| b.is_ascii_digit() || matches!(b, b':' | b'.' | b'-'))
    })
}

/// A file that a flag for a key is given: `--private-key /etc/ssl/private/app.pem`.
pub(super) fn names_file(flag: &str, value: &str) -> bool {
    let of_key =
        flag.len().checked_sub(3).and_then(|at| flag.get(at..)).is_some_and(|end| end.eq_ignore_ascii_case("key"));
    let ends = [".pem", ".key", ".json", ".asc", ".der"].iter().any(|end| value.ends_with(end));
    // A key of 32 bytes in base64 may begin with a stroke.
    let encoded = value.len() == 44 && value.ends_with('=');
    of_key && !encoded && (value.starts_with(['/', '~', '.', '@']) || ends)
}

/// Whether the word before says that the token is one of a grammar.
fn of_a_grammar(text: &str, name: Match<'_>) -> bool {
    let before = text.get(..name.start()).unwrap_or_default();
    let word = before.rsplit(|c: char| !c.is_alphanumeric()).find(|word| !word.is_empty()).unwrap_or_default();
    name.as_str().eq_ignore_ascii_case("token") && PARSERS.iter().any(|parser| word.eq_ignore_ascii_case(parser))
}

/// Whether no JSON Web Key is told of.
pub(super) fn not_key(text: &str, _: &Captures<'_>) -> bool {
    !text.contains("kty")
}

/// A path after `PWD=`.
pub(super) fn directory(_: &str, found: &Captures<'_>) -> bool {
    let value = found.get(2).map_or("", |value| value.as_str());
    is_directory(value)
}

/// A path, or something that stands for one.
fn is_directory(value: &str) -> bool {
    let drive = value.as_bytes().get(1) == Some(&b':')
        && value.as_bytes().get(2).is_some_and(|byte| matches!(byte, b'\\' | b'/'));
    value.starts_with(['/', '~', '$']) || drive || is_reference(value)
}

/// A flag that asks for something else than the secret itself.
pub(super) fn flag(_: &str, found: &Captures<'_>) -> bool {
    let name = found.get(2).map_or("", |flag| flag.as_str()).trim_start_matches('-').to_ascii_lowercase();
    let value = found.get(0).zip(found.get(1)).and_then(|(whole, before)| whole.as_str().get(before.len()..));
    ["no", "ask", "prompt", "without", "with", "require", "force", "reset"]
        .iter()
        .any(|word| name.strip_prefix(word).is_some_and(|rest| rest.starts_with(['-', '_'])))
        || value.is_some_and(|value| is_reference(value) || names_file(&name, value))
}

/// A word after `bearer` that is a word: without a digit or of a few letters.
pub(super) fn bearer(_: &str, found: &Captures<'_>) -> bool {
    let word = found.get(2).map_or("", |token| token.as_str());
    let digit = word.bytes().any(|byte| byte.is_ascii_digit());
    let (lower, upper) =
        (word.bytes().any(|b| b.is_ascii_lowercase()), word.bytes().skip(1).any(|b| b.is_ascii_uppercase()));
    let mixed = lower && upper && word.len() >= 12;
    !(digit || mixed) && word.len() < 20
}

/// Whether the text is not base64 of `user:password`.
pub(super) fn not_basic(_: &str, found: &Captures<'_>) -> bool {
    !is_basic(found.get(2).map_or("", |text| text.as_str()))
}

/// Whether `text` is base64 of printable text with a colon in it.
pub(super) fn is_basic(text: &str) -> bool {
    let engine = GeneralPurpose::new(
        &STANDARD,
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
    );
    let standard = text.replace('-', "+").replace('_', "/");
    let decoded = engine.decode(standard).unwrap_or_default();
    let printable = std::str::from_utf8(&decoded).is_ok_and(|text| !text.chars().any(char::is_control));
    printable && decoded.contains(&b':')
}
