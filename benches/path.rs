//! What the stations of a call cost, without any input or output. `cargo bench`

use std::error::Error;
use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use criterion::Criterion;
use doorward::authn::{AuthSection, Jwt, JwtAlgorithm, JwtSection, KeySet, KeySource, ReplayMode};
use doorward::clock::Timestamp;
use doorward::cluster::{Cluster, Memory, Sighting};
use doorward::identity::{
    Allowlist, Certificate, DistinguishedName, PeerIdentity, SubjectPattern, Thumbprint, check_strict,
};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rcgen::{KeyPair, RsaKeySize};

const NOW: i64 = 1_800_000_000;

fn main() -> Result<(), Box<dyn Error>> {
    let mut criterion = Criterion::default().configure_from_args();
    tokens(&mut criterion)?;
    replay(&mut criterion);
    allowlist(&mut criterion)?;
    json(&mut criterion);
    criterion.final_summary();
    Ok(())
}

/// From a token to a caller, all but the replay check.
fn tokens(criterion: &mut Criterion) -> Result<(), Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let peer = Arc::new(PeerIdentity::Certificate {
        address: IpAddr::V4(Ipv4Addr::LOCALHOST),
        certificate: Arc::new(certificate()?),
    });
    let ec = |pair: &KeyPair| Ok(EncodingKey::from_ec_der(&pair.serialize_der()));
    let ed = |pair: &KeyPair| Ok(EncodingKey::from_ed_der(&pair.serialize_der()));
    let rsa = |pair: &KeyPair| EncodingKey::from_rsa_pem(pair.serialize_pem().as_bytes());
    let rsa_pair = || KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, RsaKeySize::_2048);
    type Signer = fn(&KeyPair) -> jsonwebtoken::errors::Result<EncodingKey>;
    let kinds: [(JwtAlgorithm, KeyPair, Signer); 5] = [
        (JwtAlgorithm::EdDSA, KeyPair::generate_for(&rcgen::PKCS_ED25519)?, ed),
        (JwtAlgorithm::ES256, KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?, ec),
        (JwtAlgorithm::ES384, KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384)?, ec),
        (JwtAlgorithm::PS256, rsa_pair()?, rsa),
        (JwtAlgorithm::RS256, rsa_pair()?, rsa),
    ];
    let mut group = criterion.benchmark_group("token");
    for (algorithm, pair, signer) in kinds {
        let key = signer(&pair)?;
        let token = token(algorithm, &key)?;
        for (name, mode) in [("verify", ReplayMode::Off), ("verify again", ReplayMode::SenderBound)] {
            let keys = KeySource::Static(Arc::new(KeySet::from_pem(pair.public_key_pem().as_bytes())?));
            let jwt = Jwt::new(&section(mode), keys, Arc::new(Cluster::Memory(Memory::new(1000))))?;
            let now = Timestamp::from_seconds(NOW);
            runtime.block_on(jwt.verify(&peer, &token, now))?;
            group.bench_function(format!("{name} {}", algorithm.name()), |bencher| {
                bencher.iter(|| runtime.block_on(jwt.verify(&peer, black_box(&token), now)).is_ok());
            });
        }
    }
    group.finish();
    Ok(())
}

fn section(replay: ReplayMode) -> AuthSection {
    let jwt = JwtSection {
        issuer: Some("https://issuer.example".to_owned()),
        audience: Some("https://door.example/mcp".to_owned()),
        require_jti: false,
        replay,
        ..JwtSection::default()
    };
    AuthSection { jwt, ..AuthSection::default() }
}

fn token(algorithm: JwtAlgorithm, key: &EncodingKey) -> Result<String, Box<dyn Error>> {
    let mut header = Header::new(algorithm.name().parse::<Algorithm>()?);
    header.kid = Some("2027-01-a".to_owned());
    header.typ = Some("at+jwt".to_owned());
    let claims = serde_json::json!({
        "iss": "https://issuer.example", "aud": ["https://door.example/mcp"], "sub": "alice@example.com",
        "act": {"sub": "coding-bot"}, "jti": "0190c6e0-6a5b-7c3e-9d42-b1f7a2c84e11", "scope": "core logs processes",
        "iat": NOW, "nbf": NOW, "exp": NOW.saturating_add(120),
    });
    Ok(jsonwebtoken::encode(&header, &claims, key)?)
}

/// A register with a hundred thousand live tokens in it.
fn replay(criterion: &mut Criterion) {
    let cluster = Cluster::Memory(Memory::new(4_000_000));
    let mut count = 0_u64;
    let mut first = |milliseconds: i64| {
        count = count.wrapping_add(1);
        let now = Timestamp::from_millis(NOW.saturating_mul(1000).saturating_add(milliseconds));
        cluster.first_use(&sighting(count, now), now)
    };
    for _ in 0..100_000 {
        first(0);
    }
    let mut milliseconds = 0_i64;
    criterion.bench_function("replay first use", |bencher| {
        bencher.iter(|| {
            milliseconds = milliseconds.saturating_add(1);
            first(milliseconds)
        });
    });
    let now = Timestamp::from_seconds(NOW);
    let known = sighting(1, now);
    let cluster = Cluster::Memory(Memory::new(1000));
    cluster.first_use(&known, now);
    criterion.bench_function("replay refused", |bencher| bencher.iter(|| cluster.first_use(black_box(&known), now)));
}

/// The number spread over 32 bytes as a hash would.
fn sighting(number: u64, now: Timestamp) -> Sighting {
    let mut token = [0; 32];
    let mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes();
    token.iter_mut().zip(mixed.iter().cycle()).for_each(|(to, from)| *to = *from);
    let ends = now.plus(Duration::from_secs(150));
    Sighting { token, sender: [1; 32], ends, until: now.plus(Duration::from_secs(600)) }
}

/// The entry that fits is the last of a thousand.
fn allowlist(criterion: &mut Criterion) -> Result<(), Box<dyn Error>> {
    let certificate = certificate()?;
    let entry = |number: u32| match number % 4 {
        0 => format!("CN=bot-{number}"),
        1 => format!("CN=bot-{number},OU=agents,O=Example"),
        2 => format!("DNS:bot-{number}.example"),
        _ => format!("URI:spiffe://example/bot-{number}"),
    };
    let entries = (0..999).map(entry).chain(["URI:spiffe://example/bot".to_owned()]);
    let entries = entries.map(|entry| SubjectPattern::parse(&entry)).collect::<Result<Vec<_>, _>>()?;
    let list = Allowlist::new(entries);
    criterion.bench_function("allowlist of 1000", |bencher| bencher.iter(|| list.admits(black_box(&certificate))));
    Ok(())
}

fn certificate() -> Result<Certificate, Box<dyn Error>> {
    Ok(Certificate {
        subject: DistinguishedName::parse("CN=bot,OU=agents,O=Example")?,
        issuer: DistinguishedName::parse("CN=CA,O=Example")?,
        serial: "01".to_owned(),
        dns_names: vec!["bot.example".to_owned()],
        uris: vec!["spiffe://example/bot".to_owned()],
        emails: vec![],
        not_before: Timestamp::from_seconds(0),
        not_after: Timestamp::from_seconds(NOW.saturating_mul(2)),
        thumbprint: Thumbprint::of(b"certificate"),
    })
}

/// A request of the 2026-07-28 form.
fn json(criterion: &mut Criterion) {
    let body = serde_json::json!({
        "jsonrpc": "2.0", "id": 17, "method": "tools/call",
        "params": {
            "name": "get_processes",
            "arguments": {"sort": "cpu", "limit": 20, "filter": {"user": "www-data", "states": ["running", "sleeping"]}},
            "_meta": {
                "io.modelcontextprotocol/protocolVersion": "2026-07-28",
                "io.modelcontextprotocol/clientInfo": {"name": "example-client", "version": "1.4.2"},
                "io.modelcontextprotocol/clientCapabilities": {},
            },
        },
    })
    .to_string();
    criterion.bench_function(&format!("strict check of {} bytes", body.len()), |bencher| {
        bencher.iter(|| check_strict(black_box(body.as_bytes()), 64));
    });
}
