//! What the stations of a call cost, without any input or output. `cargo bench`

use std::error::Error;
use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use criterion::Criterion;
use doorward::admission::{Gate, RateLimitSection, ResourcesSection};
use doorward::audit::{AuditSection, Basis, Durability, Journal, Receipt, Sink, Trail};
use doorward::authn::{
    AuthSection, Authenticator, Caller, Jwt, JwtAlgorithm, JwtSection, KeySet, KeySource, Local, Presented, ReplayMode,
    Scheme,
};
use doorward::call::{Arguments, Call, CallId, Impact, Output, Progress, Resource, ToolSpec};
use doorward::clock::{Clock, Timestamp};
use doorward::cluster::{Cluster, Memory, Sighting};
use doorward::error::Failure;
use doorward::guard::{Caps, Guard, LimitsSection, RedactionSection, Redactor};
use doorward::identity::{
    Allowlist, Certificate, DistinguishedName, PeerIdentity, Scope, Spelling, SubjectPattern, Thumbprint, check_strict,
};
use doorward::pipeline::{Door, Recording};
use doorward::policy::{Permit, Policy, ScopeMap, SensitiveList};
use doorward::tools::{Catalog, Tool};
use doorward::toolsets::system::{self, Host};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rcgen::{KeyPair, RsaKeySize};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Map;
use tempfile::TempDir;

const NOW: i64 = 1_800_000_000;

fn main() -> Result<(), Box<dyn Error>> {
    let mut criterion = Criterion::default().configure_from_args();
    tokens(&mut criterion)?;
    replay(&mut criterion);
    allowlist(&mut criterion)?;
    json(&mut criterion);
    calls(&mut criterion)?;
    criterion.final_summary();
    Ok(())
}

/// From a token to a caller, all but the replay check.
fn tokens(criterion: &mut Criterion) -> Result<(), Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let peer = peer()?;
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
    Sighting { token, sender: [1; 32], ends, until: ends }
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
        spelling: Spelling::default(),
    })
}

fn peer() -> Result<Arc<PeerIdentity>, Box<dyn Error>> {
    let address = IpAddr::V4(Ipv4Addr::LOCALHOST);
    Ok(Arc::new(PeerIdentity::Certificate { address, certificate: Arc::new(certificate()?), holder: "bot".into() }))
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

/// The whole path of a call, from a channel and a token to an answer, with the audit records made and handed over to
/// memory. Not in it: TLS, HTTP, the protocol library, the disk, and for a known token the signature.
fn calls(criterion: &mut Criterion) -> Result<(), Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    let pair = KeyPair::generate_for(&rcgen::PKCS_ED25519)?;
    let token = token(JwtAlgorithm::EdDSA, &EncodingKey::from_ed_der(&pair.serialize_der()))?;
    let bearer = Presented::Bearer(token.as_str().into());
    let jwt = |mode| -> Result<Box<dyn Scheme>, Box<dyn Error>> {
        let keys = KeySource::Static(Arc::new(KeySet::from_pem(pair.public_key_pem().as_bytes())?));
        Ok(Box::new(Jwt::new(&section(mode), keys, Arc::new(Cluster::Memory(Memory::new(1000))))?))
    };
    let local = || -> Box<dyn Scheme> { Box::new(Local::new(Scope::parse("core").into_iter().collect())) };
    let (remote, here) = (peer()?, Arc::new(PeerIdentity::Stdio { uid: 1000 }));
    let nothing = &Presented::Nothing;
    // What waiting for the record costs is the difference to the same caller with the records kept in memory.
    let home = tempfile::tempdir_in(concat!(env!("CARGO_MANIFEST_DIR"), "/target"))?;
    let cases = [
        ("local caller, no audit", door(local(), None)?, &here, nothing),
        ("local caller", door(local(), gone())?, &here, nothing),
        ("local caller, journal", door(local(), journal(&home, Durability::Buffered)?)?, &here, nothing),
        ("local caller, journal with fsync", door(local(), journal(&home, Durability::Fsync)?)?, &here, nothing),
        ("token known", door(jwt(ReplayMode::SenderBound)?, gone())?, &remote, &bearer),
        ("token new, EdDSA", door(jwt(ReplayMode::Off)?, gone())?, &remote, &bearer),
    ];
    let mut group = criterion.benchmark_group("path");
    for (name, door, peer, presented) in cases {
        for tool in ["answers", "get_uptime"] {
            runtime.block_on(through(&door, peer, presented, tool))?;
            group.bench_function(format!("{tool}: {name}"), |bencher| {
                bencher.iter(|| runtime.block_on(through(&door, peer, presented, tool)).is_ok());
            });
        }
        let caller = runtime.block_on(door.identify(peer, presented))?;
        group.bench_function(format!("identify alone: {name}"), |bencher| {
            bencher.iter(|| runtime.block_on(door.identify(peer, presented)).is_ok());
        });
        group.bench_function(format!("pass alone: {name}"), |bencher| {
            bencher.iter(|| runtime.block_on(pass(&door, Arc::clone(&caller), "answers")).is_ok());
        });
    }
    group.finish();
    Ok(())
}

async fn through(
    door: &Door,
    peer: &Arc<PeerIdentity>,
    presented: &Presented,
    tool: &'static str,
) -> Result<usize, Failure> {
    let caller = door.identify(peer, presented).await?;
    pass(door, caller, tool).await
}

async fn pass(door: &Door, caller: Arc<Caller>, tool: &'static str) -> Result<usize, Failure> {
    let mut arguments = Map::new();
    if tool == "answers" {
        arguments.insert("limit".to_owned(), 20.into());
        arguments.insert("name".to_owned(), "www-data".into());
    }
    let call = Call {
        id: CallId::new()?,
        caller,
        tool: tool.to_owned(),
        arguments,
        received: door.clock.now(),
        started: door.clock.instant(),
        announced: true,
    };
    door.pass(call, &Progress::unheard()).await.map(|released| released.into_parts().1.len())
}

fn gone() -> Option<Arc<dyn Sink>> {
    Some(Arc::new(Gone))
}

fn journal(home: &TempDir, durability: Durability) -> Result<Option<Arc<dyn Sink>>, Failure> {
    let path = home.path().join(format!("{durability:?}.jsonl"));
    let journal = Journal::open(&AuditSection { path, durability, ..AuditSection::default() }, Clock::system())?;
    Ok(Some(journal))
}

fn door(scheme: Box<dyn Scheme>, sink: Option<Arc<dyn Sink>>) -> Result<Door, Failure> {
    let limits = LimitsSection::default();
    let host = Host::folder(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/host/debian-vm"));
    let mut tools = system::tools(host, &limits, &ResourcesSection::default(), &system::Threads::default());
    tools.push(Box::new(Answers(ToolSpec::query::<Asked, Answered>("answers", "Answers", "Answers.", Impact::Low))));
    let names = tools.iter().map(|tool| tool.spec().name.to_string()).collect();
    let clock = Clock::manual(Timestamp::from_seconds(NOW));
    let plenty = RateLimitSection { requests_per_minute: u32::MAX, requests_per_hour: u32::MAX, burst: u32::MAX };
    Ok(Door {
        authenticator: Authenticator::new(vec![scheme]),
        gate: Arc::new(Gate::new(&ResourcesSection { rate_limit: Some(plenty), ..ResourcesSection::default() })),
        catalog: Catalog::new(tools)?,
        policy: Policy::new(ScopeMap::new(&[("core".to_owned(), names)].into()), SensitiveList::default(), Vec::new()),
        guard: Guard::new(Redactor::new(&RedactionSection::default())?, Caps::new(&limits)),
        trail: Trail::new(sink, clock.clone()),
        recording: Recording {
            basis: Basis { config: "c".into(), policy: "p".into() },
            params: true,
            output_size: true,
            client_ip: true,
            redactions: true,
        },
        query_timeout: Duration::from_secs(5),
        clock,
    })
}

/// Takes every line and keeps none.
struct Gone;

#[async_trait]
impl Sink for Gone {
    async fn post(&self, line: Vec<u8>, _: bool) -> Result<Receipt, Failure> {
        self.leave(line);
        Ok(Receipt::kept_already())
    }
    fn leave(&self, line: Vec<u8>) {
        black_box(line);
    }
    fn healthy(&self) -> bool {
        true
    }
    fn reopen(&self) {}
    async fn flush(&self) {}

    async fn close(&self) {}
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Asked {
    limit: u32,
    name: String,
}

/// Of the size of a usual answer.
#[derive(Serialize, JsonSchema)]
struct Answered {
    name: String,
    uptime_seconds: f64,
    load: [f64; 3],
    processes: u32,
}

/// A tool that knows the answer.
struct Answers(ToolSpec);

#[async_trait]
impl Tool for Answers {
    fn spec(&self) -> &ToolSpec {
        &self.0
    }
    fn resource(&self, _: &Arguments) -> Result<Resource, Failure> {
        Ok(Resource::this_host())
    }
    async fn run(&self, permit: &Permit, _: &Progress) -> Result<Output, Failure> {
        let asked: Asked = permit.arguments().to()?;
        let Asked { limit: processes, name } = asked;
        Output::structured(&Answered { name, uptime_seconds: 360_045.21, load: [0.31, 0.42, 0.37], processes })
    }
}
