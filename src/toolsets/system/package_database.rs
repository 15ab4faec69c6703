//! What the package managers write down: dpkg's stanzas, apk's letters, and the rows that rpm is asked for. What is no
//! package is passed over; no text breaks it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Who installed a package.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Manager {
    /// Debian and its kin.
    Dpkg,
    /// Red Hat, SUSE and their kin.
    Rpm,
    /// Alpine.
    Apk,
}

impl Manager {
    /// As it is written in answers.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Dpkg => "dpkg",
            Self::Rpm => "rpm",
            Self::Apk => "apk",
        }
    }
}

/// A package as its manager knows it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Package {
    pub(super) manager: Manager,
    pub(super) name: String,
    /// As the manager compares it: with the epoch, and the release.
    pub(super) version: String,
    pub(super) architecture: Option<String>,
    /// What it was built from.
    pub(super) source: Option<String>,
    pub(super) license: Option<String>,
    /// Bytes on disk, as its maker estimates.
    pub(super) size_bytes: Option<u64>,
    /// `installed`, or what else dpkg says.
    pub(super) state: String,
}

/// The rows that [`rpm`] understands, for `rpm -qa --queryformat`. Of the license nothing else can follow, for it may hold
/// anything.
pub(super) const RPM_ROW: &str =
    "%{NAME}\\t%{EPOCH}\\t%{VERSION}\\t%{RELEASE}\\t%{ARCH}\\t%{SIZE}\\t%{SOURCERPM}\\t%{LICENSE}\\n";

/// The stanzas of `/var/lib/dpkg/status`.
pub(super) fn dpkg(text: &str) -> Vec<Package> {
    stanzas(text).filter_map(|stanza| dpkg_package(&stanza)).collect()
}

fn dpkg_package(stanza: &[(&str, &str)]) -> Option<Package> {
    let field = |name: &str| stanza.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
    let name = field("Package")?;
    // Distroless images have no status in their stanzas: what is there is installed.
    let status = field("Status").unwrap_or_else(|| "install ok installed".to_owned());
    let source = field("Source").map(|source| source.split(' ').next().unwrap_or_default().to_owned());
    Some(Package {
        manager: Manager::Dpkg,
        source: Some(source.unwrap_or_else(|| name.clone())),
        name,
        version: field("Version").unwrap_or_default(),
        architecture: field("Architecture"),
        license: None,
        size_bytes: field("Installed-Size").and_then(|kib| kib.parse::<u64>().ok()).map(|kib| kib.saturating_mul(1024)),
        state: status.split_whitespace().nth(2).unwrap_or("unknown").to_owned(),
    })
}

/// The fields of each stanza, lines that continue a field left out.
fn stanzas(text: &str) -> impl Iterator<Item = Vec<(&str, &str)>> {
    let mut lines = text.lines();
    std::iter::from_fn(move || {
        let mut fields = Vec::new();
        for line in lines.by_ref() {
            if line.trim().is_empty() {
                if !fields.is_empty() {
                    break;
                }
            } else if !line.starts_with([' ', '\t'])
                && let Some((key, value)) = line.split_once(':')
                && fields.len() < FIELDS
            {
                fields.push((key, value.trim()));
            }
        }
        (!fields.is_empty()).then_some(fields)
    })
}

/// More fields than any stanza has.
const FIELDS: usize = 128;

/// The entries of `/lib/apk/db/installed`: a letter, a colon, a value.
pub(super) fn apk(text: &str) -> Vec<Package> {
    stanzas(text)
        .filter_map(|stanza| {
            let field =
                |letter: &str| stanza.iter().find(|(key, _)| *key == letter).map(|(_, value)| (*value).to_owned());
            Some(Package {
                manager: Manager::Apk,
                name: field("P")?,
                version: field("V").unwrap_or_default(),
                architecture: field("A"),
                source: field("o"),
                license: field("L"),
                size_bytes: field("I").and_then(|bytes| bytes.parse().ok()),
                state: "installed".to_owned(),
            })
        })
        .collect()
}

/// Rows of [`RPM_ROW`]. Keys that signed packages are in rpm's database too, and are none.
pub(super) fn rpm(text: &str) -> Vec<Package> {
    text.lines().filter_map(rpm_package).filter(|package| package.name != "gpg-pubkey").collect()
}

fn rpm_package(line: &str) -> Option<Package> {
    let mut fields = line.splitn(8, '\t').map(|field| Some(field).filter(|field| !matches!(*field, "" | "(none)")));
    let mut next = || fields.next().flatten();
    let (name, epoch, version, release) = (next()?, next(), next()?, next()?);
    let (architecture, size, source, license) = (next(), next(), next(), next());
    let epoch = epoch.map(|epoch| format!("{epoch}:")).unwrap_or_default();
    // bash-5.2.15-3.fc38.src.rpm: the version has no dash, and neither has the release.
    let source = source.and_then(|file| file.rsplit_once('-')?.0.rsplit_once('-')).map(|(name, _)| name.to_owned());
    Some(Package {
        manager: Manager::Rpm,
        name: name.to_owned(),
        version: format!("{epoch}{version}-{release}"),
        architecture: architecture.map(str::to_owned),
        source,
        license: license.map(str::to_owned),
        size_bytes: size.and_then(|bytes| bytes.parse().ok()),
        state: "installed".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_stanza_of_dpkg_has_a_source_of_its_own_or_its_name() {
        let text = "Package: libssl3\nStatus: install ok installed\nInstalled-Size: 6014\nArchitecture: amd64\nSource: openssl (3.0.15-1)\n\
                    Version: 3.0.15-1~deb12u1\nDescription: Secure Sockets Layer\n Version: 9\n .\n more: text\n\n\nPackage: old\n\
                    Status: deinstall ok config-files\nVersion: 1\n\nStatus: install ok installed\n\nPackage: last";
        let packages = dpkg(text);
        assert_eq!(packages.iter().map(|one| &*one.name).collect::<Vec<_>>(), ["libssl3", "old", "last"]);
        assert_eq!((packages[0].source.as_deref(), packages[0].size_bytes), (Some("openssl"), Some(6014 * 1024)));
        assert_eq!((&*packages[0].version, &*packages[1].state), ("3.0.15-1~deb12u1", "config-files"));
        assert_eq!((packages[1].source.as_deref(), &*packages[2].state), (Some("old"), "installed"));
    }

    #[test]
    fn an_entry_of_apk_is_letters() {
        let text = "C:Q1abc=\nP:musl\nV:1.2.4-r2\nA:aarch64\nI:652000\nL:MIT\no:musl\nF:lib\nR:ld-musl-aarch64.so.1\n\nP:zlib\n";
        let packages = apk(text);
        assert_eq!((packages.len(), packages[0].license.as_deref()), (2, Some("MIT")));
        assert_eq!((packages[0].size_bytes, &*packages[1].version), (Some(652_000), ""));
    }

    #[test]
    fn a_row_of_rpm_has_an_epoch_or_none() {
        let text = "dbus\t1\t1.14.10\t1.fc38\tx86_64\t0\tdbus-1.14.10-1.fc38.src.rpm\t(GPL-2.0-or-later OR AFL-2.1)\n\
                    glibc-common\t(none)\t2.37\t5.fc38\tx86_64\t1043500\tglibc-2.37-5.fc38.src.rpm\tLGPL\tand more\n\
                    gpg-pubkey\t(none)\teb10b464\t6202d9c6\t(none)\t0\t(none)\tpubkey\nbroken\n";
        let packages = rpm(text);
        assert_eq!(packages.len(), 2);
        assert_eq!((&*packages[0].version, packages[0].source.as_deref()), ("1:1.14.10-1.fc38", Some("dbus")));
        assert_eq!((&*packages[1].version, packages[1].license.as_deref()), ("2.37-5.fc38", Some("LGPL\tand more")));
    }

    proptest! {
        #[test]
        fn no_text_is_a_panic(text in "\\PC*|((Package|P|Version|Status): ?[a-z -]{0,9}\n|\n){0,12}|([a-z-]{0,4}\t){0,9}") {
            let _ = (dpkg(&text), apk(&text), rpm(&text));
        }
    }
}
