//! What `scripts/flood` measures against the built program: a million subjects, and a caller at fifty times its rate. The
//! suite leaves them out, because they take minutes and want the machine for themselves.

use std::fs;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use doorward::authn::mint::{Mint, Minter};
use doorward::clock::Clock;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::world::premises::{AUDIENCE, ISSUER, Premises};
use crate::world::program::{Running, doorward};
use crate::world::wire;

const FLOODED: &str = "resources:
  max_concurrent_queries: 16
  rate_limit: {requests_per_minute: 600, requests_per_hour: 10000, burst: 20}
budgets:
  max_keys: 20000
";
const FLEET: &str = "  rates:\n    - {name: fleet, per: [certificate], requests_per_minute: 6000, requests_per_hour: 200000, burst: 500}\n";

struct Place {
    premises: Premises,
    running: Running,
    port: u16,
    minter: Minter,
}

impl Place {
    fn new(more: &str) -> Self {
        doorward::transport::tls::install_provider();
        let premises = Premises::new();
        premises.doorward("pki issue client --dir ca --cn second --out second");
        premises.configure(&format!("{more}operator: {{socket: {}}}\n", premises.name("admin.sock")));
        let path = premises.path("doorward.yaml");
        let text = fs::read_to_string(&path).unwrap().replace("[CN=demo-agent]", "[CN=demo-agent, CN=second]");
        fs::write(path, text).unwrap();
        let (running, port) = premises.serve();
        let minter = Minter::from_file(&premises.path("token-key.pem"), None).unwrap();
        Self { premises, running, port, minter }
    }

    fn token(&self, subject: &str) -> String {
        let mint = Mint { scopes: vec!["core".to_owned()], ..Mint::new(ISSUER, AUDIENCE, subject) };
        self.minter.mint(&mint, Clock::system().now()).unwrap().expose().clone()
    }

    async fn connect(&self, certificate: &str) -> TlsStream<TcpStream> {
        let stream = wire::connect(self.premises.root(), self.port, Some(certificate)).await.unwrap();
        // Otherwise the client's own waiting for acknowledgements is measured.
        stream.get_ref().0.set_nodelay(true).unwrap();
        stream
    }

    async fn ask(&self, stream: &mut TlsStream<TcpStream>, subject: &str) -> u16 {
        let request = wire::post(self.port, &self.token(subject), &wire::call("get_uptime", json!({})));
        let answer = wire::exchange(stream, &request).await.unwrap();
        // Several at once may be let in to the door for one share; who then gets none is told so as a tool error.
        if answer.body.contains("\"isError\":true") { 429 } else { answer.status }
    }

    fn memory(&self, which: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.running.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(which)).unwrap();
        line.trim_start_matches(':').trim().trim_end_matches(" kB").trim().parse().unwrap()
    }

    fn overview(&self) -> Value {
        let socket = self.premises.name("admin.sock");
        let line = ["budget", "show", "nobody in particular", "--json", "--socket", &socket];
        serde_json::from_str(&doorward(self.premises.root(), &line).well()).unwrap()
    }
}

/// A row of the table that `scripts/flood` prints: what was done, what passed, the quiet caller beside it, memory, and more.
fn row(cells: [String; 5]) {
    eprintln!("\n| {} |", cells.join(" | "));
}

fn p99(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() * 99 / 100]
}

/// Calls at an even pace until told to end; how long each took.
async fn pace(
    place: &Place,
    certificate: &str,
    subject: &str,
    every: Duration,
    until: &AtomicBool,
) -> (Vec<Duration>, u64) {
    let (mut stream, mut times, mut refused) = (place.connect(certificate).await, Vec::new(), 0);
    let mut ticks = tokio::time::interval(every);
    while !until.load(Ordering::Relaxed) {
        ticks.tick().await;
        let start = Instant::now();
        refused += u64::from(place.ask(&mut stream, subject).await != 200);
        times.push(start.elapsed());
    }
    (times, refused)
}

async fn subjects(name: &str, more: &str, count: u64) {
    let place = Place::new(more);
    let before = place.memory("VmRSS");
    let (next, over, passed) = (AtomicU64::new(0), AtomicBool::new(false), AtomicU64::new(0));
    let start = Instant::now();
    let flood = async {
        let attackers = (0..8).map(|_| async {
            let mut stream = place.connect("client").await;
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= count {
                    break;
                }
                let status = place.ask(&mut stream, &format!("somebody-{number}")).await;
                assert!(status == 200 || status == 429, "{status}");
                passed.fetch_add(u64::from(status == 200), Ordering::Relaxed);
            }
        });
        futures_util::future::join_all(attackers).await;
        over.store(true, Ordering::Relaxed);
    };
    let (_, (times, refused)) = tokio::join!(flood, pace(&place, "second", "alice", Duration::from_millis(200), &over));
    let seen = place.overview();
    let audit: Vec<u64> = fs::read_dir(place.premises.root())
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.file_name().to_string_lossy().starts_with("audit."))
        .map(|entry| entry.metadata().unwrap().len())
        .collect();
    row([
        format!("{count} subjects over one certificate, {name}, in {:.0?}", start.elapsed()),
        passed.load(Ordering::Relaxed).to_string(),
        format!("{} calls, {refused} refused, p99 {:.1?}", times.len(), p99(times)),
        format!("{} → {} MiB", before / 1024, place.memory("VmHWM") / 1024),
        format!(
            "{} buckets, {} callers, of {}; audit log {} KiB",
            seen["buckets"],
            seen["known_callers"],
            seen["max_keys"],
            audit.iter().sum::<u64>() / 1024
        ),
    ]);
    assert_eq!(refused, 0, "the quiet caller is unharmed");
    assert!(place.memory("VmHWM") < 256 * 1024, "the memory is bounded");
    assert!(seen["buckets"].as_u64() <= Some(20_000) && seen["known_callers"].as_u64() <= Some(20_000), "{seen}");
}

fn wanted(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes; scripts/flood runs it"]
async fn a_million_subjects_over_one_certificate() {
    subjects("with a rule per certificate", &format!("{FLOODED}{FLEET}"), wanted("FLOOD_SUBJECTS", 1_000_000)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes; scripts/flood runs it"]
async fn many_subjects_and_no_rule_for_their_certificate() {
    subjects("with rules per caller alone", FLOODED, wanted("FLOOD_CALLERS", 100_000)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "wants the machine for itself; scripts/flood runs it"]
async fn a_caller_at_fifty_times_its_rate() {
    let place =
        Place::new("resources:\n  rate_limit: {requests_per_minute: 1200, requests_per_hour: 100000, burst: 20}\n");
    let seconds = wanted("FLOOD_SECONDS", 20);
    // Ten a second is half of what it may; the other comes with a thousand a second, fifty times of what it may.
    let quiet = Duration::from_millis(100);
    let mut ratios = Vec::new();
    for _ in 0..5 {
        let mut rounds = Vec::new();
        for noisy in [false, true] {
            let over = AtomicBool::new(false);
            let noise = async {
                if noisy {
                    pace(&place, "client", "mallory", Duration::from_millis(1), &over).await;
                }
            };
            let end = async {
                tokio::time::sleep(Duration::from_secs(seconds)).await;
                over.store(true, Ordering::Relaxed);
            };
            let (_, (), (times, refused)) = tokio::join!(noise, end, pace(&place, "second", "alice", quiet, &over));
            assert_eq!(refused, 0, "the quiet caller is unharmed");
            rounds.push((times.len(), p99(times)));
        }
        let ratio = rounds[1].1.as_secs_f64() / rounds[0].1.as_secs_f64();
        row([
            format!("a caller at fifty times its rate for {seconds} s"),
            "what its rate allows".to_owned(),
            format!(
                "p99 {:.2?} ({} calls), alone {:.2?} ({} calls): {ratio:.2}",
                rounds[1].1, rounds[1].0, rounds[0].1, rounds[0].0
            ),
            format!("{} MiB at most", place.memory("VmHWM") / 1024),
            String::new(),
        ]);
        ratios.push(ratio);
    }
    ratios.sort_by(f64::total_cmp);
    row(["the same, the median".to_owned(), String::new(), format!("{:.2}", ratios[2]), String::new(), String::new()]);
}
