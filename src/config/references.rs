//! What a value may say instead of itself: `${VARIABLE}` in any text, and `${VARIABLE}` or `file:PATH` as the whole of a
//! secret. A secret that stands in the file itself is refused, and never repeated.

use std::io::{ErrorKind, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::environment::Environment;
use super::place::KeyPath;
use crate::pki::file;
use crate::secret::Secret;

/// The keys whose values are secrets.
pub(super) const SECRETS: &[&str] = &["auth.jwt.secret"];

/// The keys within which `${…}` has a meaning of its own: regular expressions and their replacements.
pub(super) const VERBATIM: &[&str] = &["redaction.patterns"];

/// Bytes a secret's file may have.
const FILE_BYTES: u64 = 65_536;

/// Whether the value at `path` is a secret.
pub(super) fn is_secret(path: &KeyPath) -> bool {
    SECRETS.iter().any(|key| KeyPath::from(*key) == *path)
}

/// Whether the value at `path` is taken as it is written.
pub(super) fn is_verbatim(path: &KeyPath) -> bool {
    VERBATIM.iter().any(|key| path.is_within(&KeyPath::from(*key)))
}

/// Puts the values of variables in place of `${NAME}`; `$${` stands for `${` itself.
///
/// # Errors
/// The names of the variables that are not set.
pub(super) fn substitute(text: &str, environment: &Environment) -> Result<String, Vec<String>> {
    let (mut out, mut rest, mut unset) = (String::with_capacity(text.len()), text, Vec::new());
    while let Some((before, after)) = rest.split_once("${") {
        if let Some(before) = before.strip_suffix('$') {
            out.push_str(before);
            out.push_str("${");
            rest = after;
            continue;
        }
        out.push_str(before);
        match after.split_once('}').filter(|(name, _)| is_name(name)) {
            Some((name, tail)) => {
                match environment.get(name) {
                    Some(value) => out.push_str(value),
                    None => unset.push(name.to_owned()),
                }
                rest = tail;
            }
            None => {
                out.push_str("${");
                rest = after;
            }
        }
    }
    out.push_str(rest);
    if unset.is_empty() { Ok(out) } else { Err(unset) }
}

/// Where a secret is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Reference {
    Variable(String),
    File(PathBuf),
}

impl Reference {
    /// Reads `${NAME}` or `file:PATH`; `None` for anything else, which is then the secret itself.
    pub(super) fn parse(text: &str) -> Option<Self> {
        if let Some(path) = text.strip_prefix("file:") {
            return (!path.is_empty()).then(|| Self::File(PathBuf::from(path)));
        }
        let name = text.strip_prefix("${")?.strip_suffix('}')?;
        is_name(name).then(|| Self::Variable(name.to_owned()))
    }

    /// Fetches the secret. One line end at the end of a file is not part of it.
    ///
    /// # Errors
    /// Why it cannot be had.
    pub(super) fn resolve(&self, environment: &Environment) -> Result<Secret<String>, String> {
        match self {
            Self::Variable(name) => environment
                .get(name)
                .map(|value| Secret::new(value.to_owned()))
                .ok_or_else(|| format!("the environment variable {name} is not set")),
            Self::File(path) => read(path),
        }
    }
}

fn read(path: &Path) -> Result<Secret<String>, String> {
    let wrong = |error: std::io::Error| format!("{}: {}", path.display(), explain(&error));
    let file = file::open(path).map_err(wrong)?;
    let metadata = file.metadata().map_err(wrong)?;
    if metadata.mode() & 0o077 != 0 {
        return Err(exposed(path, metadata.mode()));
    }
    let mut text = String::new();
    file.take(FILE_BYTES.saturating_add(1)).read_to_string(&mut text).map_err(wrong)?;
    if u64::try_from(text.len()).unwrap_or(u64::MAX) > FILE_BYTES {
        return Err(format!("{} is larger than {FILE_BYTES} bytes", path.display()));
    }
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    Ok(Secret::new(text))
}

/// What is wrong with a file of a secret that others may open.
pub(super) fn exposed(path: &Path, mode: u32) -> String {
    format!("{} can be read by its group or by others (mode {:04o})", path.display(), mode & 0o7777)
}

/// An error of the file system in a few words.
pub(super) fn explain(error: &std::io::Error) -> String {
    let known = [
        (ErrorKind::NotFound, "there is no such file"),
        (ErrorKind::PermissionDenied, "permission denied"),
        (ErrorKind::InvalidInput, "it is not a regular file"),
        (ErrorKind::InvalidData, "it is not UTF-8 text"),
    ];
    let words = known.into_iter().find(|(kind, _)| *kind == error.kind()).map(|(_, words)| words.to_owned());
    words.unwrap_or_else(|| error.to_string())
}

fn is_name(text: &str) -> bool {
    let mut bytes = text.bytes();
    bytes.next().is_some_and(|first| first.is_ascii_alphabetic() || first == b'_')
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment() -> Environment {
        [("HOST", "auth.example.com"), ("EMPTY", "")].into_iter().map(|(n, v)| (n.to_owned(), v.to_owned())).collect()
    }

    #[test]
    fn variables_are_replaced_and_what_is_not_one_stays() {
        let text = |text| substitute(text, &environment());
        assert_eq!(text("https://${HOST}/${EMPTY}x").as_deref(), Ok("https://auth.example.com/x"));
        assert_eq!(text("$${HOST} $HOST ${1} ${ ${open").as_deref(), Ok("${HOST} $HOST ${1} ${ ${open"));
        assert_eq!(text("${A}${HOST}${B_2}"), Err(vec!["A".to_owned(), "B_2".to_owned()]));
    }

    #[test]
    fn only_a_whole_reference_is_one() {
        assert_eq!(Reference::parse("${KEY}"), Some(Reference::Variable("KEY".to_owned())));
        assert_eq!(Reference::parse("file:/run/key"), Some(Reference::File(PathBuf::from("/run/key"))));
        for literal in ["x${KEY}", "${KEY}x", "${A}${B}", "${}", "${1A}", "file:", "hunter2", ""] {
            assert_eq!(Reference::parse(literal), None, "{literal}");
        }
    }

    #[test]
    fn a_secret_file_loses_one_line_end_and_must_be_private() {
        use std::os::unix::fs::PermissionsExt as _;
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key");
        std::fs::write(&path, "line\n\r\n").unwrap();
        let set = |mode| std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        let read = || Reference::File(path.clone()).resolve(&environment());
        set(0o600);
        assert_eq!(read().unwrap().expose(), "line\n");
        set(0o640);
        assert!(read().unwrap_err().contains("mode 0640"));
    }
}
