//! All that a configuration is read from: itself and the files that it names. It is read on a thread that may wait, so that
//! a slow disk delays a reload and nothing else.

use std::path::PathBuf;
use std::sync::Arc;

use super::{Source, tools};
use crate::authn::KeySet;
use crate::clock::Timestamp;
use crate::config::{self, Loaded, Refused};
use crate::error::{Code, Failure};
use crate::pki::store;
use crate::transport::TransportKind;
use crate::transport::tls::Material;

/// Bytes that the certificate authorities of an issuer may have.
const AUTHORITIES_BYTES: usize = 1024 * 1024;

/// A checked configuration with what its files say.
pub(super) struct Files {
    pub(super) loaded: Loaded,
    /// With https.
    pub(super) tls: Option<Arc<Material>>,
    /// `auth.jwt.public_key`
    pub(super) public_key: Option<Arc<KeySet>>,
    /// `auth.jwt.jwks_ca`
    pub(super) jwks_ca: Option<Vec<u8>>,
}

/// A configuration that cannot be used, and the files that may be what is wrong with it.
pub(super) struct Unfit {
    pub(super) failure: Failure,
    pub(super) files: Vec<PathBuf>,
}

impl Source {
    /// Loads and checks, as things are at the time `now`. Blocks.
    ///
    /// # Errors
    /// [`Code::Config`] with every finding in the cause.
    pub fn load(&self, now: Timestamp) -> Result<Loaded, Failure> {
        self.look(now).map_err(Failure::from)
    }

    fn look(&self, now: Timestamp) -> Result<Loaded, Refused> {
        let names = tools();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        match &self.path {
            Some(path) => config::load(path, &self.environment, &names, now),
            None => config::defaults(&self.environment, &names, now),
        }
    }
}

/// The configuration alone, checked.
pub(super) async fn load(source: &Arc<Source>, now: Timestamp) -> Result<Loaded, Unfit> {
    let source = Arc::clone(source);
    let looked = tokio::task::spawn_blocking(move || source.look(now)).await;
    match looked {
        Ok(Ok(loaded)) => Ok(loaded),
        Ok(Err(refused)) => {
            let files = refused.files().to_vec();
            Err(Unfit { failure: refused.into(), files })
        }
        Err(error) => Err(Unfit { failure: unfinished(error), files: Vec::new() }),
    }
}

impl Files {
    /// Reads what `loaded` names; `generation` is the number of this load.
    ///
    /// # Errors
    /// What is wrong with the first file that is.
    pub(super) async fn read(loaded: Loaded, generation: u64, now: Timestamp) -> Result<Self, Failure> {
        tokio::task::spawn_blocking(move || Self::read_now(loaded, generation, now)).await.map_err(unfinished)?
    }

    fn read_now(loaded: Loaded, generation: u64, now: Timestamp) -> Result<Self, Failure> {
        let (config, jwt) = (&loaded.config, &loaded.config.auth.jwt);
        if config.transport != TransportKind::Https {
            return Ok(Self { loaded, tls: None, public_key: None, jwks_ca: None });
        }
        let tls = Some(Arc::new(Material::load(&config.tls, generation, now)?));
        let public_key = jwt.public_key.as_deref().map(KeySet::from_file).transpose()?.map(Arc::new);
        let jwks_ca = jwt.jwks_ca.as_deref().map(|path| store::read(path, AUTHORITIES_BYTES)).transpose()?;
        Ok(Self { tls, public_key, jwks_ca: jwks_ca.map(|bytes| bytes.to_vec()), loaded })
    }
}

fn unfinished(error: tokio::task::JoinError) -> Failure {
    Failure::new(Code::Internal, "the configuration could not be read to its end").because(error)
}
