//! What admission costs: by the number of rules on one thread, and on several threads at once. `cargo bench --bench budgets`

use std::error::Error;
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::Criterion;
use doorward::admission::{Accounts, Admission, Aim, BudgetsSection, Dimension, Gate, RateRule, ResourcesSection};
use doorward::authn::{Authenticator, Caller, Local, Presented};
use doorward::call::{Impact, ToolSpec};
use doorward::clock::{Clock, Timestamp};
use doorward::cluster::{Cluster, Memory};
use doorward::error::Failure;
use doorward::identity::{PeerIdentity, Scope};
use futures_util::FutureExt as _;
use serde_json::json;

fn main() -> Result<(), Box<dyn Error>> {
    let mut criterion = Criterion::default().configure_from_args();
    rules(&mut criterion)?;
    threads(&mut criterion)?;
    criterion.final_summary();
    Ok(())
}

const KINDS: [&[Dimension]; 15] = [
    &[Dimension::Caller],
    &[Dimension::User],
    &[Dimension::Certificate],
    &[Dimension::Tool],
    &[Dimension::Toolset],
    &[Dimension::Scope],
    &[],
    &[Dimension::Caller, Dimension::Tool],
    &[Dimension::User, Dimension::Tool],
    &[Dimension::Certificate, Dimension::Tool],
    &[Dimension::User, Dimension::Certificate],
    &[Dimension::User, Dimension::Scope],
    &[Dimension::Caller, Dimension::Scope],
    &[Dimension::Certificate, Dimension::Scope],
    &[Dimension::Caller, Dimension::Toolset],
];

fn gate(kinds: &[&[Dimension]]) -> Result<Arc<Gate>, serde_json::Error> {
    let rule = |(number, per): (usize, &&[Dimension])| {
        serde_json::from_value::<RateRule>(json!({
            "name": format!("rule-{number}"),
            "per": per,
            "requests_per_minute": u32::MAX,
            "requests_per_hour": u32::MAX,
            "burst": u32::MAX,
        }))
    };
    let rates = kinds.iter().enumerate().map(rule).collect::<Result<_, _>>()?;
    let budgets = BudgetsSection { rates, ..BudgetsSection::default() };
    let resources = ResourcesSection { max_concurrent_queries: 100_000, ..ResourcesSection::default() };
    let accounts = Accounts::new(Arc::new(Cluster::Memory(Memory::new(0))), Clock::system());
    Ok(Arc::new(Gate::over(&resources, &budgets, Arc::new(accounts))))
}

fn caller(uid: u32) -> Result<Arc<Caller>, Box<dyn Error>> {
    let scheme = Local::new(Scope::parse("core").into_iter().collect());
    let authenticator = Authenticator::new(vec![Box::new(scheme)]);
    let peer = Arc::new(PeerIdentity::Stdio { uid });
    let caller = authenticator.authenticate(&peer, &Presented::Nothing, Timestamp::from_seconds(0)).now_or_never();
    Ok(Arc::new(caller.ok_or("it waits")??))
}

fn admit(gate: &Gate, caller: &Caller, spec: &ToolSpec) -> Option<Result<Admission, Failure>> {
    gate.admit(caller, Some(Aim { spec, scope: Some("core") })).now_or_never()
}

fn spec() -> ToolSpec {
    ToolSpec::query::<(), ()>("get_uptime", "", "", Impact::Low)
}

fn rules(criterion: &mut Criterion) -> Result<(), Box<dyn Error>> {
    let (caller, spec) = (caller(1)?, spec());
    let mut group = criterion.benchmark_group("admission");
    for count in [0, 1, 2, 4, 8, 15] {
        let gate = gate(KINDS.get(..count).unwrap_or_default())?;
        if !matches!(admit(&gate, &caller, &spec), Some(Ok(_))) {
            return Err("it is refused".into());
        }
        group.bench_function(format!("{count} rules"), |bencher| {
            bencher.iter(|| black_box(admit(&gate, &caller, &spec)).is_some());
        });
    }
    group.finish();
    Ok(())
}

/// Nanoseconds a call, over all threads: with as many processors it is to become less as threads are added.
fn threads(criterion: &mut Criterion) -> Result<(), Box<dyn Error>> {
    let spec = spec();
    let mut group = criterion.benchmark_group("threads");
    let own: &[&[Dimension]] = &[&[Dimension::Caller], &[Dimension::User], &[Dimension::Certificate]];
    let shared: &[&[Dimension]] = &[&[Dimension::Caller], &[Dimension::Tool], &[]];
    for (name, kinds) in [("buckets of their own", own), ("buckets shared", shared)] {
        for count in [1_u32, 2, 4] {
            let gate = gate(kinds)?;
            let callers = (0..count).map(|uid| caller(uid.saturating_mul(7919))).collect::<Result<Vec<_>, _>>()?;
            group.bench_function(format!("{count} threads, {name}"), |bencher| {
                bencher.iter_custom(|times| spread(&gate, &callers, &spec, times));
            });
        }
    }
    group.finish();
    Ok(())
}

fn spread(gate: &Arc<Gate>, callers: &[Arc<Caller>], spec: &ToolSpec, times: u64) -> Duration {
    let each = times.checked_div(u64::try_from(callers.len()).unwrap_or(1)).unwrap_or(times).max(1);
    #[expect(clippy::disallowed_methods, reason = "a measurement reads the clock")]
    let start = Instant::now();
    std::thread::scope(|scope| {
        for caller in callers {
            scope.spawn(move || (0..each).filter(|_| black_box(admit(gate, caller, spec)).is_some()).count());
        }
    });
    start.elapsed()
}
