//! Bills of materials in CycloneDX 1.6 (ECMA-424), with package addresses (purl, ECMA-427). What was left out is in the bill
//! itself: its composition says so.

use std::collections::HashSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The form of an answer.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Format {
    /// A plain list.
    #[default]
    List,
    /// A bill of materials, CycloneDX 1.6.
    Cyclonedx,
}

/// A bill of materials, as CycloneDX 1.6 writes it in JSON.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Bill {
    /// `CycloneDX`.
    bom_format: &'static str,
    /// `1.6`.
    spec_version: &'static str,
    /// The revision of this bill; always 1.
    version: u32,
    /// What the bill is of.
    metadata: Metadata,
    /// What it consists of.
    components: Vec<Component>,
    /// Whether that is all.
    compositions: Vec<Composition>,
}

/// What a bill is of.
#[derive(Serialize, JsonSchema)]
struct Metadata {
    /// The host.
    component: Component,
}

/// Whether a bill has everything.
#[derive(Serialize, JsonSchema)]
struct Composition {
    /// `complete`, or `incomplete` where something was left out.
    aggregate: &'static str,
}

/// A part.
#[derive(Serialize, JsonSchema)]
pub(super) struct Component {
    /// What it is.
    #[serde(rename = "type")]
    pub(super) kind: Kind,
    /// Names it in this bill.
    #[serde(rename = "bom-ref")]
    reference: String,
    /// Its name.
    pub(super) name: String,
    /// Its version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) version: Option<String>,
    /// Under which terms it may be used, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    licenses: Option<[LicenseChoice; 1]>,
    /// Its package address.
    #[serde(skip_serializing_if = "Option::is_none")]
    purl: Option<String>,
}

/// What a part is.
#[derive(Clone, Copy, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Kind {
    /// A package.
    Library,
    /// An image of a container.
    Container,
    /// The host's system.
    OperatingSystem,
}

/// One licence.
#[derive(Serialize, JsonSchema)]
struct LicenseChoice {
    /// The licence.
    license: License,
}

/// A licence by name.
#[derive(Serialize, JsonSchema)]
struct License {
    /// As the package writes it.
    name: String,
}

impl Component {
    /// A part with a package address.
    pub(super) fn packaged(kind: Kind, name: &str, version: Option<&str>, purl: String) -> Self {
        let (name, version) = (name.to_owned(), version.map(str::to_owned));
        Self { kind, reference: purl.clone(), name, version, licenses: None, purl: Some(purl) }
    }

    /// A part that no address names, by a word of its own in this bill.
    pub(super) fn local(kind: Kind, name: &str, version: Option<&str>, reference: String) -> Self {
        let (name, version) = (name.to_owned(), version.map(str::to_owned));
        Self { kind, reference, name, version, licenses: None, purl: None }
    }

    /// The same under these terms.
    pub(super) fn licensed(mut self, terms: Option<&str>) -> Self {
        self.licenses = terms.map(|name| [LicenseChoice { license: License { name: name.to_owned() } }]);
        self
    }
}

impl Bill {
    /// Of the host `name`; a part that is there twice counts once.
    pub(super) fn of(name: &str, version: Option<&str>, components: Vec<Component>, complete: bool) -> Self {
        let mut seen = HashSet::new();
        let components: Vec<Component> =
            components.into_iter().filter(|one| seen.insert(one.reference.clone())).collect();
        let host = Component {
            kind: Kind::OperatingSystem,
            reference: "host".to_owned(),
            name: name.to_owned(),
            version: version.map(str::to_owned),
            licenses: None,
            purl: None,
        };
        Self {
            bom_format: "CycloneDX",
            spec_version: "1.6",
            version: 1,
            metadata: Metadata { component: host },
            components,
            compositions: vec![Composition { aggregate: if complete { "complete" } else { "incomplete" } }],
        }
    }
}

/// A package address: `pkg:deb/debian/openssl@3.0.15-1?arch=amd64`. `qualifiers` are in the order of their names; empty ones
/// are left out.
pub(super) fn purl(
    kind: &str,
    namespace: &[&str],
    name: &str,
    version: Option<&str>,
    qualifiers: &[(&str, &str)],
) -> String {
    let mut text = format!("pkg:{kind}");
    for part in namespace.iter().filter(|part| !part.is_empty()).chain([&name]) {
        text.push('/');
        encode(&mut text, part);
    }
    if let Some(version) = version.filter(|version| !version.is_empty()) {
        text.push('@');
        encode(&mut text, version);
    }
    for (at, (key, value)) in qualifiers.iter().filter(|(_, value)| !value.is_empty()).enumerate() {
        text.push(if at == 0 { '?' } else { '&' });
        text.push_str(key);
        text.push('=');
        encode(&mut text, value);
    }
    text
}

/// All but letters, digits, `.`, `-`, `_`, `~` and the colon is written as `%` and two digits.
fn encode(into: &mut String, text: &str) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b".-_~:".contains(&byte) {
            into.push(char::from(byte));
        } else {
            into.push_str(&format!("%{byte:02X}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_written_as_its_standard_says() {
        let qualifiers = [("arch", "amd64"), ("distro", "debian-12"), ("empty", "")];
        assert_eq!(
            purl("deb", &["debian"], "libstdc++6", Some("1:12.2.0-14+deb12u1~x"), &qualifiers),
            "pkg:deb/debian/libstdc%2B%2B6@1:12.2.0-14%2Bdeb12u1~x?arch=amd64&distro=debian-12"
        );
        assert_eq!(purl("npm", &["@babel"], "core", Some("7.0.0"), &[]), "pkg:npm/%40babel/core@7.0.0");
        assert_eq!(purl("cargo", &[], "serde", None, &[]), "pkg:cargo/serde");
        assert_eq!(purl("pypi", &[""], "a b/ü", Some(""), &[]), "pkg:pypi/a%20b%2F%C3%BC");
    }

    #[test]
    fn a_part_that_is_there_twice_counts_once() {
        let part = || Component::packaged(Kind::Library, "a", Some("1"), purl("cargo", &[], "a", Some("1"), &[]));
        let bill = serde_json::to_value(Bill::of("Debian", Some("12"), vec![part(), part()], false)).unwrap();
        assert_eq!(bill["components"].as_array().unwrap().len(), 1);
        assert_eq!(bill["compositions"][0]["aggregate"], "incomplete");
        assert_eq!(bill["metadata"]["component"]["type"], "operating-system");
    }
}
