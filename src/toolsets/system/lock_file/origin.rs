//! Where exactly a package of a lock file comes from. A registry of that name elsewhere has another package of the same
//! name, so what is not of the ecosystem's own registry says so.

/// Where exactly a package comes from.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(in crate::toolsets::system) enum Origin {
    /// The registry of its ecosystem.
    #[default]
    Registry,
    /// Another registry, by its address.
    OtherRegistry(String),
    /// A repository of sources, by the address and the revision, as `git+https://host/path@revision`.
    Git(String),
    /// A file somewhere on the network, by its address.
    Download(String),
    /// A file or folder beside the project: no address means anything elsewhere.
    Local(String),
}

impl Origin {
    /// From an address such as `git+https://host/path?branch=main#revision`.
    pub(super) fn git(address: &str) -> Self {
        let (place, revision) = address.split_once('#').unwrap_or((address, ""));
        let place = without_password(place.split('?').next().unwrap_or_default());
        let place = if place.starts_with("git") { place } else { format!("git+{place}") };
        Self::Git(if revision.is_empty() { place } else { format!("{place}@{revision}") })
    }

    /// From where npm says that it took a package; `None` for a registry, whose addresses have `/-/` before the file, and for
    /// no address.
    pub(super) fn of_npm(resolved: &str) -> Option<Self> {
        let short = ["github:", "gitlab:", "bitbucket:"].iter().find(|short| resolved.starts_with(**short));
        match resolved {
            _ if resolved.starts_with("git+") || resolved.starts_with("git:") => Some(Self::git(resolved)),
            _ if short.is_some() => {
                let (host, rest) = resolved.split_once(':').unwrap_or_default();
                let top = if host == "bitbucket" { "org" } else { "com" };
                Some(Self::git(&format!("git+https://{host}.{top}/{rest}")))
            }
            _ if resolved.starts_with("file:") => Some(Self::Local(resolved.to_owned())),
            _ if resolved.contains("://") && !resolved.contains("/-/") => {
                Some(Self::Download(without_password(resolved)))
            }
            _ => None,
        }
    }

    /// The same in words, where it is not the ecosystem's registry.
    pub(in crate::toolsets::system) fn told(&self) -> Option<&str> {
        match self {
            Self::Registry => None,
            Self::OtherRegistry(text) | Self::Git(text) | Self::Download(text) | Self::Local(text) => Some(text),
        }
    }
}

/// An address without the password in it; who logs in without one, such as git@, stays.
pub(super) fn without_password(address: &str) -> String {
    let Some((scheme, rest)) = address.split_once("://") else { return address.to_owned() };
    let host = rest.split('/').next().unwrap_or_default();
    match host.rsplit_once('@') {
        Some((user, _)) if user.contains(':') || !matches!(user, "git") => {
            format!("{scheme}://{}", rest.get(user.len().saturating_add(1)..).unwrap_or_default())
        }
        _ => address.to_owned(),
    }
}
