//! Where tokens come from. Each request gets its own: a token is asked for right before the request is sent and is not
//! kept, unless the operator said so.

use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::oauth::ClientCredentials;
use crate::error::{Code, Failure};
use crate::exec;
use crate::secret::Secret;

/// Longest token that is sent: what a header can carry.
const TOKEN_BYTES: usize = 16 * 1024;

/// Makes one token per call.
pub type Mint = Box<dyn Fn() -> Result<Secret<String>, Failure> + Send + Sync>;

/// A source of tokens.
pub enum Tokens {
    /// None is sent: the door knows the user by the socket.
    Absent,
    /// Signed here, with a key this process holds.
    Minted(Mint),
    /// What a command prints: an absolute path and its arguments.
    Command {
        /// The command.
        argv: Vec<String>,
        /// Longest time for it.
        limit: Duration,
    },
    /// What a file holds at the time. Only its owner may read it.
    File(PathBuf),
    /// What an authorization server grants.
    Granted(Box<ClientCredentials>),
}

impl Tokens {
    /// A token for one request, if one is sent at all.
    ///
    /// # Errors
    /// When there is none to be had, or what came is no bearer token (RFC 6750 section 2.1).
    pub(super) async fn next(&self) -> Result<Option<Secret<String>>, Failure> {
        let token = match self {
            Self::Absent => return Ok(None),
            Self::Minted(mint) => mint(),
            Self::Command { argv, limit } => bearer(&exec::output_of_own(argv, *limit, TOKEN_BYTES).await?),
            Self::File(path) => {
                let path = path.clone();
                let read = tokio::task::spawn_blocking(move || read_private(&path, TOKEN_BYTES)).await;
                bearer(&read.map_err(|error| Failure::new(Code::Internal, "the token was not read").because(error))??)
            }
            Self::Granted(source) => source.next().await,
        };
        token.map(Some)
    }

    /// Hears that the door did not take a token.
    pub(super) fn refused(&self) {
        match self {
            Self::Granted(source) => source.forget(),
            Self::Absent | Self::Minted(_) | Self::Command { .. } | Self::File(_) => {}
        }
    }
}

/// Reads a file that holds a secret: a regular file that group and others may not read, at most `cap` bytes.
///
/// # Errors
/// [`Code::Io`] when it cannot be read, [`Code::Config`] when it is not such a file; the path is in the cause only.
pub fn read_private(path: &Path, cap: usize) -> Result<Secret<Vec<u8>>, Failure> {
    let refuse = |public: &'static str| Failure::new(Code::Config, public).because(path.display().to_string());
    let failed = |error: std::io::Error| {
        Failure::new(Code::Io, "a file with a secret cannot be read").because(format!("{}: {error}", path.display()))
    };
    // A pipe would block in `open`, so it is looked at first and, because names can change, again when it is open.
    if !path.metadata().map_err(failed)?.is_file() {
        return Err(refuse("a secret is read from a regular file only"));
    }
    let file = File::open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    if !metadata.is_file() {
        return Err(refuse("a secret is read from a regular file only"));
    }
    if metadata.mode() & 0o077 != 0 {
        return Err(refuse("group or others may use a file with a secret: chmod 600"));
    }
    // Room for all of it from the start: a buffer that grows leaves copies behind that nobody zeroes.
    let room = cap.saturating_add(1);
    let mut bytes = Vec::with_capacity(room);
    let taken = file.take(u64::try_from(room).unwrap_or(u64::MAX)).read_to_end(&mut bytes);
    let bytes = Secret::new(bytes);
    if taken.map_err(failed)? > cap {
        return Err(refuse("a file with a secret is too long"));
    }
    Ok(bytes)
}

/// A bearer token (RFC 6750 section 2.1) with nothing but blanks around it.
pub(super) fn bearer(bytes: &Secret<Vec<u8>>) -> Result<Secret<String>, Failure> {
    let token = bytes.expose().trim_ascii();
    let body = token.iter().rposition(|byte| *byte != b'=');
    let mut plain = token.iter().take(body.map_or(0, |last| last.saturating_add(1)));
    let fits = plain.all(|byte| byte.is_ascii_alphanumeric() || b"-._~+/".contains(byte));
    match std::str::from_utf8(token) {
        Ok(text) if body.is_some() && fits => Ok(Secret::from(text)),
        _ => Err(Failure::new(Code::TokenMissing, "the token source gave no bearer token")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    fn file(text: &[u8], mode: u32) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        std::fs::set_permissions(file.path(), std::fs::Permissions::from_mode(mode)).unwrap();
        file
    }

    #[tokio::test]
    async fn a_file_is_read_again_for_each_token() {
        let file = file(b"first\n", 0o600);
        let tokens = Tokens::File(file.path().to_owned());
        assert_eq!(tokens.next().await.unwrap().unwrap().expose(), "first");
        std::fs::write(file.path(), " second== \n").unwrap();
        assert_eq!(tokens.next().await.unwrap().unwrap().expose(), "second==");
    }

    #[tokio::test]
    async fn what_is_no_token_is_not_sent() {
        for text in [&b""[..], b"\n", b"a b", b"a\nb", b"==", b"a=b", b"caf\xc3\xa9", b"\xff", b"a\"b"] {
            let file = file(text, 0o600);
            let failure = Tokens::File(file.path().to_owned()).next().await.unwrap_err();
            assert_eq!(failure.code(), Code::TokenMissing, "{text:?}");
        }
    }

    #[test]
    fn a_secret_that_others_may_read_is_refused() {
        for mode in [0o640, 0o604, 0o660, 0o610] {
            let failure = read_private(file(b"x", mode).path(), 10).unwrap_err();
            assert!(failure.public().contains("chmod 600"), "{mode:o}");
            assert_eq!(failure.code(), Code::Config, "{mode:o}");
        }
        assert_eq!(read_private(file(b"x", 0o400).path(), 10).unwrap().expose(), b"x");
    }

    #[test]
    fn only_a_regular_file_of_a_sane_length_is_read() {
        assert!(read_private(Path::new("/dev/null"), 10).unwrap_err().public().contains("regular"));
        assert!(read_private(Path::new("/"), 10).unwrap_err().public().contains("regular"));
        assert!(read_private(file(b"12345", 0o600).path(), 4).unwrap_err().public().contains("too long"));
        assert_eq!(read_private(file(b"1234", 0o600).path(), 4).unwrap().expose(), b"1234");
        let missing = read_private(Path::new("/nowhere/at/all"), 4).unwrap_err();
        assert!(!missing.public().contains("nowhere") && missing.cause().unwrap().contains("nowhere"));
    }
}
