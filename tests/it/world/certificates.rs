//! The certificates of a world. `good` and `second` are on the allowlist; every other name says what is wrong with it.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use doorward::clock::{Clock, Timestamp};
use doorward::pki::store::{self, Existing};
use doorward::pki::{AlternativeName, Authority, Profile, Request};
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, ExtendedKeyUsagePurpose as Usage, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SigningKey as _,
};
use time::OffsetDateTime;

use super::der::{
    self, Attribute, BMP, COMMON_NAME, DNS, EMAIL, NAME, ORGANIZATION, PRINTABLE, TELETEX, UNIT, URI, UTF8,
};

const DAY: Duration = Duration::from_secs(86_400);
const ACME: &[Attribute<'static>] = &[(ORGANIZATION, UTF8, b"Acme")];
const BOT: &[Attribute<'static>] = &[(COMMON_NAME, UTF8, b"bot")];
const EVE: &[Attribute<'static>] = &[(COMMON_NAME, UTF8, b"eve")];

/// Those that most tests need, by the product's own authority. `list_life` is how long the revocation list is good, from
/// an hour ago.
pub fn make(root: &Path, list_life: Option<Duration>) {
    let now = Clock::system();
    let at = |offset: i64| Clock::manual(Timestamp::from_seconds(now.now().seconds() + offset));
    let profile = || Profile { common_name: "Test CA".to_owned(), lifetime: DAY * 365 };
    let authority = Authority::create(&root.join("ca"), &profile(), &at(-86_400 * 20)).unwrap();
    let rogue = Authority::create(&root.join("rogue"), &profile(), &now).unwrap();
    let client = |name: &str| Request::client(name, DAY);
    let uri = |text: &str| AlternativeName::Uri(text.to_owned());
    let dns = |text: &str| AlternativeName::Dns(text.to_owned());
    let issue = |name: &str, request: Request, clock: &Clock| {
        authority.issue(&request, clock).unwrap().write(&root.join(name), Existing::Keep).unwrap();
    };
    issue("server", Request::server(&["localhost", "127.0.0.1"], DAY), &now);
    issue("good", client("bot").organization("Acme"), &now);
    issue("second", client("second").name(uri("spiffe://acme/second")), &now);
    issue("unlisted", client("eve"), &now);
    issue("case", client("BOT").organization("Acme"), &now);
    issue("prefix", client("bot2").organization("Acme"), &now);
    issue("bare", client("bot"), &now);
    issue("cn_in_san", client("eve").name(dns("bot")).name(uri("spiffe://acme/bot")), &now);
    issue("homograph", client("b\u{43e}t").organization("Acme"), &now);
    issue("comma", client("bot,O=Acme"), &now);
    issue("expired", client("bot").organization("Acme"), &at(-86_400 * 10));
    issue("not_yet", client("bot").organization("Acme"), &at(86_400));
    issue("revoked", client("bot").organization("Acme"), &now);
    issue("server_as_client", Request::server(&["bot"], DAY), &now);
    rogue
        .issue(&client("bot").organization("Acme"), &now)
        .unwrap()
        .write(&root.join("rogue_bot"), Existing::Keep)
        .unwrap();
    assert!(authority.revoke_file(&root.join("revoked.crt"), &now).unwrap());
    match list_life {
        None => authority.crl(DAY, &now).unwrap(),
        Some(life) => authority.crl(life, &at(-3600)).unwrap(),
    };
}

/// Makes certificates that the product's own authority would not, with that authority's key.
struct Forge<'a> {
    root: &'a Path,
    issuer: Issuer<'static, KeyPair>,
}

impl<'a> Forge<'a> {
    /// With the certificate and key `name` of `root`.
    fn with(root: &'a Path, name: &str) -> Self {
        let chain = store::certificates(&root.join(format!("{name}.crt"))).unwrap();
        let key = KeyPair::from_pem(&fs::read_to_string(root.join(format!("{name}.key"))).unwrap()).unwrap();
        Self { root, issuer: Issuer::from_ca_cert_der(&chain[0], key).unwrap() }
    }

    /// A client certificate for this subject, with whatever `change` does to it.
    fn issue(&self, name: &str, subject: &[&[Attribute<'_>]], change: impl FnOnce(&mut CertificateParams)) {
        let mut params = CertificateParams::default();
        params.not_before = OffsetDateTime::now_utc() - time::Duration::HOUR;
        params.not_after = OffsetDateTime::now_utc() + time::Duration::DAY;
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![Usage::ClientAuth];
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let made = params.signed_by(&key, &self.issuer).unwrap();
        let signed = self.resigned(made.der(), &der::name(subject));
        write(self.root, name, &[&signed], &key);
    }

    /// The same certificate for another subject.
    fn resigned(&self, certificate: &[u8], subject: &[u8]) -> Vec<u8> {
        const SUBJECT: usize = 5;
        let mut parts = der::elements(der::content(certificate));
        let mut fields = der::elements(der::content(&parts[0]));
        fields[SUBJECT] = subject.to_vec();
        parts[0] = der::element(0x30, &fields.concat());
        let signature = self.issuer.key().sign(&parts[0]).unwrap();
        parts[2] = der::element(3, &[&[0], &*signature].concat());
        der::element(0x30, &parts.concat())
    }
}

fn write(root: &Path, name: &str, chain: &[&[u8]], key: &KeyPair) {
    let section = |der: &&[u8]| {
        let text = STANDARD.encode(der);
        let lines: Vec<_> = text.as_bytes().chunks(64).map(|line| str::from_utf8(line).unwrap()).collect();
        format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"))
    };
    fs::write(root.join(format!("{name}.crt")), chain.iter().map(section).collect::<String>()).unwrap();
    let key = key.serialize_pem();
    store::write_private(&root.join(format!("{name}.key")), key.as_bytes(), Existing::Keep).unwrap();
}

/// Those for the table of refusals: names that look like a listed one, and uses that are not a client's.
pub fn make_look_alikes(root: &Path) {
    let forge = Forge::with(root, "ca/ca");
    let same = |_: &mut CertificateParams| {};
    let common = |value: &'static str| [(COMMON_NAME, UTF8, value.as_bytes())];
    forge.issue("swapped", &[BOT, ACME], same);
    forge.issue("multi_valued", &[&[BOT[0], ACME[0]]], same);
    forge.issue("two_names", &[ACME, BOT, EVE], same);
    forge.issue("two_names_reversed", &[ACME, EVE, BOT], same);
    forge.issue("two_names_in_one", &[ACME, &[BOT[0], EVE[0]]], same);
    forge.issue("name_repeated", &[ACME, BOT, BOT], same);
    forge.issue("unit_added", &[ACME, &[(UNIT, UTF8, b"Agents")], BOT], same);
    forge.issue("unit_below", &[ACME, BOT, &[(UNIT, UTF8, b"Agents")]], same);
    forge.issue("other_attribute", &[ACME, &[(NAME, UTF8, b"bot")]], same);
    forge.issue("nameless", &[], same);
    for (name, value) in [
        ("nul_inside", "bot\0.evil.example"),
        ("nul_after", "bot\0"),
        ("space_after", "bot "),
        ("space_before", " bot"),
        ("zero_width", "bo\u{200b}t"),
        ("right_to_left", "\u{202e}tob"),
        ("fullwidth", "\u{ff42}\u{ff4f}\u{ff54}"),
        ("combining", "bot\u{301}"),
        ("wildcard_name", "*"),
        ("escaped", "\\62ot"),
        ("line_break", "bot\n"),
    ] {
        forge.issue(name, &[ACME, &common(value)], same);
    }
    forge.issue("teletex_beyond_ascii", &[ACME, &[(COMMON_NAME, TELETEX, b"b\xf6t")]], same);
    forge.issue("not_utf8", &[ACME, &[(COMMON_NAME, UTF8, b"bot\xff")]], same);
    forge.issue("number_as_name", &[ACME, &[(COMMON_NAME, 2, b"\x01")]], same);
    forge.issue(
        "other_string_types",
        &[&[(ORGANIZATION, PRINTABLE, b"Acme")], &[(COMMON_NAME, BMP, b"\0b\0o\0t")]],
        same,
    );
    make_alternative_names(&forge);
    make_uses(&forge);
}

fn make_alternative_names(forge: &Forge<'_>) {
    let with = |name: &str, names: &[(u8, &[u8])]| {
        let value = der::alternative_names(names);
        let extension = CustomExtension::from_oid_content(&[2, 5, 29, 17], value);
        forge.issue(name, &[EVE], |params| params.custom_extensions.push(extension));
    };
    with("san_listed", &[(DNS, b"one.agents.example")]);
    with("san_wildcard", &[(DNS, b"*.agents.example")]);
    with("san_below", &[(DNS, b"a.one.agents.example")]);
    with("san_above", &[(DNS, b"agents.example")]);
    with("san_dot", &[(DNS, b"one.agents.example.")]);
    with("san_nul", &[(DNS, b"one.agents.example\0.evil.example")]);
    with("san_as_uri", &[(URI, b"one.agents.example")]);
    with("san_as_email", &[(EMAIL, b"one.agents.example")]);
    with("spiffe_case", &[(URI, b"SPIFFE://acme/second")]);
    with("spiffe_below", &[(URI, b"spiffe://acme/second/x")]);
    with("spiffe_encoded", &[(URI, b"spiffe://acme/%73econd")]);
    with("spiffe_dots", &[(URI, b"spiffe://acme/x/../second")]);
    with("spiffe_twice", &[(URI, b"spiffe://acme/eve"), (URI, b"spiffe://acme/second")]);
    with("spiffe_as_dns", &[(DNS, b"spiffe://acme/second")]);
    with("email_case", &[(EMAIL, b"Bot@acme.example")]);
    with("email_beyond_ascii", &[(EMAIL, b"bot@acme.ex\xe4mple")]);
}

fn make_uses(forge: &Forge<'_>) {
    let named = [ACME, BOT];
    forge.issue("use_any", &named, |params| params.extended_key_usages = vec![Usage::Any]);
    forge.issue("use_code", &named, |params| params.extended_key_usages = vec![Usage::CodeSigning]);
    forge.issue("use_unsaid", &named, |params| params.extended_key_usages = vec![]);
    forge.issue("authority", &named, |params| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained));
    forge.issue("critical", &named, |params| {
        let mut extension = CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 99_999, 1], vec![5, 0]);
        extension.set_criticality(true);
        params.custom_extensions.push(extension);
    });
    // Signed by a client: the chain ends at the authority all the same.
    for (issuer, name) in [("good", "below_a_client"), ("authority", "below_an_authority")] {
        let below = Forge::with(forge.root, issuer);
        below.issue(name, &named, |_| ());
        let path = forge.root.join(format!("{name}.crt"));
        let chain = fs::read_to_string(&path).unwrap();
        fs::write(path, chain + &fs::read_to_string(forge.root.join(format!("{issuer}.crt"))).unwrap()).unwrap();
    }
    let mut params = CertificateParams::default();
    params.extended_key_usages = vec![Usage::ClientAuth];
    let key = KeyPair::generate().unwrap();
    let made = params.self_signed(&key).unwrap();
    write(forge.root, "self_signed", &[made.der()], &key);
}

/// Certificates with cryptography of the past, which only the `openssl` program still makes: `weak_key` (RSA, 1024 bits)
/// and `weak_hash` (signed with SHA-1). `false` where there is no such program.
pub fn make_weak(root: &Path) -> bool {
    let openssl = |arguments: &str| {
        let mut command = Command::new("openssl");
        command.current_dir(root).args(arguments.split(' ')).stdin(Stdio::null());
        command.output().is_ok_and(|output| output.status.success())
    };
    fs::write(root.join("weak.ext"), "extendedKeyUsage=clientAuth\nkeyUsage=digitalSignature\n").unwrap();
    let signed = "x509 -req -CA ca/ca.crt -CAkey ca/ca.key -days 1 -extfile weak.ext -set_serial";
    openssl("req -new -newkey rsa:1024 -nodes -subj /O=Acme/CN=bot -keyout weak_key.key -out weak_key.csr")
        && openssl(&format!("{signed} 4711 -sha256 -in weak_key.csr -out weak_key.crt"))
        && openssl(
            "req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /O=Acme/CN=bot -keyout weak_hash.key -out weak_hash.csr",
        )
        && openssl(&format!("{signed} 4712 -sha1 -in weak_hash.csr -out weak_hash.crt"))
}
