//! The key that signs checkpoints: made at the first start, private, its public half beside it for everybody.

use std::path::Path;

use super::checkpoint::Signer;
use crate::error::Failure;
use crate::pki::store::{self, Existing};
use crate::pki::{KeyKind, SigningKey};

/// Reads the private key at `path`, or makes it (mode 0600), and sees to it that its public half is at `public`.
///
/// # Errors
/// When the key cannot be read or written, others may read it, or it is not an Ed25519 key.
pub(super) fn key(path: &Path, public: &Path) -> Result<Signer, Failure> {
    let key = match path.try_exists() {
        Ok(false) => {
            let key = SigningKey::generate(KeyKind::Ed25519)?;
            store::write_private(path, key.private_pem()?.expose().as_bytes(), Existing::Keep)?;
            key
        }
        _ => store::signing_key(path)?,
    };
    let signer = Signer::new(key)?;
    signer.publish(public)?;
    Ok(signer)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn the_key_is_made_once_and_is_private() {
        let home = tempfile::tempdir().unwrap();
        let (private, public) = (home.path().join("audit.key"), home.path().join("audit.pub"));
        key(&private, &public).unwrap();
        let first = std::fs::read(&private).unwrap();
        let published = std::fs::read(&public).unwrap();
        assert_eq!(std::fs::metadata(&private).unwrap().permissions().mode() & 0o777, 0o600);
        std::fs::remove_file(&public).unwrap();
        key(&private, &public).unwrap();
        assert_eq!((std::fs::read(&private).unwrap(), std::fs::read(&public).unwrap()), (first, published));
    }

    #[test]
    fn a_key_that_others_may_read_is_refused() {
        let home = tempfile::tempdir().unwrap();
        let (private, public) = (home.path().join("audit.key"), home.path().join("audit.pub"));
        key(&private, &public).unwrap();
        std::fs::set_permissions(&private, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(key(&private, &public).is_err());
    }
}
