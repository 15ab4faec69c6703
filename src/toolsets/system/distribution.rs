//! Which distribution a host runs: its os-release(5).

use super::Host;

/// What the host calls itself.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub(super) struct Distribution {
    /// In lower case, such as debian; `linux` where it is not said.
    pub(super) id: String,
    /// Such as 12; absent in rolling ones.
    pub(super) version: Option<String>,
    /// For people.
    pub(super) name: String,
}

impl Distribution {
    /// As the host tells, or some Linux.
    pub(super) fn of(host: &Host) -> Self {
        let text = host.find("etc/os-release").or_else(|| host.find("usr/lib/os-release")).unwrap_or_default();
        let field = |name: &str| {
            let value = text.lines().filter_map(|line| line.trim().split_once('=')).find(|(key, _)| *key == name)?.1;
            let value = value.trim_matches(['"', '\'']);
            (!value.is_empty()).then(|| value.to_owned())
        };
        let id = field("ID").map_or_else(|| "linux".to_owned(), |id| id.to_lowercase());
        let name = field("NAME").unwrap_or_else(|| id.clone());
        Self { id, version: field("VERSION_ID"), name }
    }

    /// As package addresses name it: debian-12.
    pub(super) fn tag(&self) -> String {
        self.version.as_ref().map_or_else(|| self.id.clone(), |version| format!("{}-{version}", self.id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_names_itself_with_and_without_quotes_or_not_at_all() {
        let of = |text: &str| {
            let folder = tempfile::tempdir().unwrap();
            std::fs::create_dir(folder.path().join("etc")).unwrap();
            std::fs::write(folder.path().join("etc/os-release"), text).unwrap();
            Distribution::of(&Host::folder(folder.path()))
        };
        let debian = of(
            "PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nNAME=\"Debian GNU/Linux\"\nVERSION_ID=\"12\"\nID=debian\n",
        );
        assert_eq!((&*debian.tag(), &*debian.name), ("debian-12", "Debian GNU/Linux"));
        assert_eq!(of("ID='Arch'\n").tag(), "arch");
        assert_eq!(of("nonsense\u{0}=\n").tag(), "linux");
    }
}
