#![expect(clippy::arithmetic_side_effects, reason = "sums of a few small numbers")]

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;
use crate::call::Resource;
use crate::clock::Timestamp;
use crate::identity::{Actor, PeerIdentity, Principal, Scopes};

pub(super) fn caller(subject: &str, agent: Option<&str>) -> Arc<Caller> {
    caller_at(subject, agent, 1000)
}

fn caller_at(subject: &str, agent: Option<&str>, uid: u32) -> Arc<Caller> {
    let actor = agent.map(|agent| Actor { subject: agent.to_owned(), prior: None });
    let principal = Principal { subject: subject.to_owned(), actor };
    Arc::new(Caller::for_test(principal, Scopes::default(), Arc::new(PeerIdentity::Stdio { uid })))
}

pub(super) fn clock() -> Clock {
    Clock::manual(Timestamp::from_seconds(0))
}

fn accounts(clock: &Clock) -> Arc<Accounts> {
    Arc::new(Accounts::new(Arc::new(Cluster::Memory(Memory::new(0))), clock.clone()))
}

pub(super) fn gate(resources: &ResourcesSection, budgets: &BudgetsSection, clock: &Clock) -> Gate {
    Gate::over(resources, budgets, accounts(clock))
}

fn limited(requests_per_minute: u32, requests_per_hour: u32, burst: u32) -> ResourcesSection {
    let rate_limit = Some(RateLimitSection { requests_per_minute, requests_per_hour, burst });
    ResourcesSection { max_concurrent_queries: 100, rate_limit, ..ResourcesSection::default() }
}

fn at_once() -> BudgetsSection {
    BudgetsSection { places: PlacesSection { queue: 0, ..PlacesSection::default() }, ..BudgetsSection::default() }
}

fn query(name: &'static str) -> ToolSpec {
    ToolSpec::query::<(), ()>(name, "", "", Impact::Low)
}

/// A rule from the words of the configuration.
pub(super) fn rule(text: &str) -> RateRule {
    serde_json::from_value(serde_json::from_str(text).unwrap()).unwrap()
}

static RUNTIME: std::sync::LazyLock<tokio::runtime::Runtime> =
    std::sync::LazyLock::new(|| tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap());

/// Admits without waiting: there is a place or there is none.
pub(super) fn admit(gate: &Gate, caller: &Caller, aim: Option<Aim<'_>>) -> Result<Admission, Failure> {
    let mut admitting = Box::pin(gate.admit(caller, aim));
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    let _within = RUNTIME.enter();
    match admitting.as_mut().poll(&mut context) {
        std::task::Poll::Ready(result) => result,
        std::task::Poll::Pending => Err(Failure::new(Code::Internal, "it waits")),
    }
}

fn passed(gate: &Gate, caller: &Caller, aim: Option<Aim<'_>>, calls: usize) -> usize {
    (0..calls).filter(|_| admit(gate, caller, aim).is_ok()).count()
}

#[test]
fn a_place_is_given_back_when_it_is_dropped() {
    let resources = ResourcesSection { max_concurrent_queries: 2, ..ResourcesSection::default() };
    let (gate, alice) = (gate(&resources, &at_once(), &clock()), caller("alice", None));
    let first = admit(&gate, &alice, None).unwrap();
    let _second = admit(&gate, &alice, None).unwrap();
    assert_eq!(admit(&gate, &alice, None).unwrap_err().code(), Code::TooManyCalls);
    drop(first);
    assert!(admit(&gate, &alice, None).is_ok());
}

#[test]
fn a_rate_belongs_to_user_agent_and_channel_together() {
    let gate = gate(&limited(1, 10, 1), &at_once(), &clock());
    let others = [caller("alice", Some("bot")), caller("bob", Some("bot")), caller_at("alice", None, 7)];
    for who in [caller("alice", None)].into_iter().chain(others) {
        assert!(gate.foresee(&who).is_ok());
        assert!(admit(&gate, &who, None).is_ok());
        for refused in [admit(&gate, &who, None).unwrap_err(), gate.foresee(&who).unwrap_err()] {
            assert_eq!((refused.code(), refused.wait()), (Code::RateLimited, Some(Duration::from_secs(60))));
        }
    }
}

#[test]
fn the_hour_holds_where_the_minute_would_let_pass() {
    let clock = clock();
    let (gate, alice) = (gate(&limited(60, 20, 10), &at_once(), &clock), caller("alice", None));
    let mut all = 0;
    for _ in 0..10 {
        all += passed(&gate, &alice, None, 10);
        clock.advance(Duration::from_secs(10));
    }
    assert_eq!(all, 20, "and the hour gives one back after three minutes only");
    let refused = admit(&gate, &alice, None).unwrap_err();
    assert_eq!(refused.public(), "20 calls an hour are used up (rule: caller); the next is possible in 80 s");
}

#[test]
fn who_finds_no_place_has_used_nothing() {
    let resources = ResourcesSection { max_concurrent_queries: 1, ..limited(60, 1000, 5) };
    let (gate, alice, bob) = (gate(&resources, &at_once(), &clock()), caller("alice", None), caller("bob", None));
    let place = admit(&gate, &bob, None).unwrap();
    assert!((0..50).all(|_| admit(&gate, &alice, None).is_err_and(|failure| failure.code() == Code::TooManyCalls)));
    drop(place);
    assert_eq!(passed(&gate, &alice, None, 50), 5);
}

#[test]
fn a_rule_that_names_more_replaces_the_others_of_its_kind_and_all_kinds_hold() {
    let budgets = BudgetsSection {
        rates: vec![
            rule(r#"{"name": "batch", "per": ["caller"], "user": "batch", "requests_per_minute": 6, "burst": 6}"#),
            rule(
                r#"{"name": "batch-logs", "per": ["caller"], "user": "batch", "tool": "get_journal_logs",
                     "requests_per_minute": 2, "burst": 2}"#,
            ),
            rule(
                r#"{"name": "logs", "per": ["tool"], "tool": "get_journal_logs", "requests_per_minute": 5, "burst": 5}"#,
            ),
            rule(r#"{"name": "agents", "per": ["agent"], "requests_per_minute": 4, "burst": 4}"#),
        ],
        ..at_once()
    };
    let gate = gate(&limited(3, 1000, 3), &budgets, &clock());
    let (logs, uptime) = (query("get_journal_logs"), query("get_uptime"));
    let (logs, uptime) = (Aim { spec: &logs, scope: None }, Aim { spec: &uptime, scope: None });
    assert_eq!(passed(&gate, &caller("alice", None), Some(uptime), 9), 3, "the default");
    assert_eq!(passed(&gate, &caller("batch", None), Some(uptime), 9), 6, "its own in place of the default");
    assert_eq!(passed(&gate, &caller("batch", None), Some(logs), 9), 2, "what names user and tool in place of both");
    assert_eq!(passed(&gate, &caller("bob", None), Some(logs), 9), 3, "the default and the tool: two are used already");
    let refused = admit(&gate, &caller("carol", None), Some(logs)).unwrap_err();
    assert!(refused.public().contains("(rule: logs)"), "{refused}");
    assert_eq!(passed(&gate, &caller("dave", Some("bot")), Some(uptime), 9), 3);
    assert_eq!(
        passed(&gate, &caller("erin", Some("bot")), Some(uptime), 9),
        1,
        "four of this agent, whoever it acts for"
    );
}

#[test]
fn a_reload_keeps_what_is_used_up_and_who_runs() {
    let clock = clock();
    let (resources, budgets, alice) = (limited(60, 1000, 10), at_once(), caller("alice", None));
    let before = gate(&resources, &budgets, &clock);
    let running = admit(&before, &alice, None).unwrap();
    assert_eq!(passed(&before, &alice, None, 7), 7);
    let after = Gate::over(&limited(60, 1000, 12), &budgets, Arc::clone(before.accounts()));
    assert_eq!(passed(&after, &alice, None, 50), 4);
    let one = ResourcesSection { max_concurrent_queries: 1, ..resources };
    let narrow = Gate::over(&one, &budgets, Arc::clone(before.accounts()));
    clock.advance(Duration::from_secs(60));
    assert_eq!(admit(&narrow, &alice, None).unwrap_err().code(), Code::TooManyCalls);
    drop(running);
    assert!(admit(&narrow, &alice, None).is_ok());
}

#[test]
fn callers_are_bounded_and_who_is_known_is_not_forgotten() {
    let clock = clock();
    let budgets = BudgetsSection { max_keys: 1024, ..at_once() };
    let (gate, alice) = (gate(&limited(60, 60, 10), &budgets, &clock), caller_at("alice", None, 1));
    assert!(admit(&gate, &alice, None).is_ok());
    // All over one certificate, as it were.
    let passed = (0..20_000).filter(|number| admit(&gate, &caller(&number.to_string(), None), None).is_ok()).count();
    assert!(passed < 600, "{passed}");
    assert!(gate.overview(None).buckets <= 1024);
    let refused = admit(&gate, &caller("one more", None), None).unwrap_err();
    assert!(refused.public().contains("too many callers"), "{refused}");
    assert!(admit(&gate, &alice, None).is_ok(), "who is known");
    assert!(admit(&gate, &caller_at("bob", None, 2), None).is_ok(), "a newcomer over another channel");
    clock.advance(Duration::from_secs(120));
    gate.sweep();
    assert_eq!(gate.overview(None).buckets, 0);
}

#[test]
fn a_target_has_places_of_its_own_and_the_caller_its_targets() {
    let budgets = BudgetsSection {
        places: PlacesSection { queue: 0, per_target: Some(1), ..PlacesSection::default() },
        spread: SpreadSection { targets_per_hour: Some(2), bytes_per_day: Some(100), ..SpreadSection::default() },
        ..BudgetsSection::default()
    };
    let resources = ResourcesSection { max_concurrent_queries: 3, ..ResourcesSection::default() };
    let (gate, alice, bob) = (gate(&resources, &budgets, &clock()), caller("alice", None), caller("bob", None));
    let host = |name: &'static str| Resource::new("Host", name);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        let mut first = gate.admit(&alice, None).await.unwrap();
        assert_eq!(gate.reach(&mut first, &host("web01")).await.unwrap(), Contact { first: true });
        gate.met(&first, &host("web01"));
        let mut second = gate.admit(&bob, None).await.unwrap();
        assert_eq!(gate.reach(&mut second, &host("web01")).await.unwrap_err().code(), Code::TooManyCalls);
        assert_eq!(gate.overview(None).running, 1, "who waits for a target is not in the way of others");
        drop(second);
        gate.hand_out(&first, 60, 1).unwrap();
        assert_eq!(gate.hand_out(&first, 60, 1).unwrap_err().code(), Code::VolumeUsedUp);
        drop(first);
        for (name, outcome) in [("web01", Ok(false)), ("web02", Ok(true)), ("web03", Err(Code::TargetsUsedUp))] {
            let mut next = gate.admit(&alice, None).await.unwrap();
            let reached = gate.reach(&mut next, &host(name)).await;
            assert_eq!(reached.map(|contact| contact.first).map_err(|failure| failure.code()), outcome, "{name}");
        }
        let view = gate.overview(Some("ali"));
        assert_eq!((view.callers.len(), view.callers[0].targets, view.callers[0].bytes), (1, 2, 60));
    });
    assert_eq!(gate.overview(None).running, 0);
}

#[test]
fn what_is_left_is_told_without_taking_any_of_it() {
    let clock = clock();
    let (gate, alice) = (gate(&limited(60, 1000, 10), &at_once(), &clock), caller("alice", None));
    assert_eq!(passed(&gate, &alice, None, 12), 10);
    clock.advance(Duration::from_millis(1500));
    for _ in 0..3 {
        let [minute, hour] = gate.quotas(&alice, None).try_into().unwrap();
        assert_eq!(
            (&*minute.name, minute.calls, minute.window.as_secs(), minute.left, minute.more_in.as_secs()),
            ("caller", 10, 10, 1, 0)
        );
        assert_eq!((&*hour.name, hour.calls, hour.window.as_secs(), hour.left), ("caller-hour", 1000, 3600, 990));
        let view = gate.overview(None);
        let [by_minute, by_hour] = view.callers[0].rates.as_slice() else { panic!("{view:?}") };
        assert_eq!((&*by_minute.per, by_minute.left, by_minute.whole_seconds), ("minute", 1, 9));
        assert_eq!((by_minute.calls, by_minute.at_once, by_hour.calls, by_hour.at_once), (60, 10, 1000, 1000));
        assert_eq!((&*by_hour.per, by_hour.left, by_hour.whole_seconds), ("hour", 990, 35));
    }
}

#[test]
fn a_flood_is_two_records() {
    let clock = clock();
    let (gate, alice) = (gate(&limited(60, 1000, 10), &at_once(), &clock), caller("alice", None));
    let refused = || Failure::new(Code::RateLimited, "used up");
    assert_eq!(gate.due(&alice, &refused(), &clock), Some(1));
    assert!((0..99).all(|_| gate.due(&alice, &refused(), &clock).is_none()));
    assert!(gate.settle(&clock).is_empty(), "the window is not over");
    clock.advance(fold::WINDOW);
    let left = gate.settle(&clock);
    let Leftover { caller, among, refusals, code, detail } = &left[0];
    assert_eq!((left.len(), *refusals, *among, caller.principal().subject.as_str()), (1, 99, Among::Caller, "alice"));
    assert_eq!((*code, detail.as_str()), (Code::RateLimited, "used up"));
    assert!(gate.settle(&clock).is_empty());
}

#[test]
fn many_callers_over_one_channel_are_few_records() {
    let clock = clock();
    let gate = gate(&limited(60, 1000, 10), &at_once(), &clock);
    let refused = Failure::new(Code::RateLimited, "used up");
    let ask = |number: u32, uid| gate.due(&caller_at(&number.to_string(), None, uid), &refused, &clock).unwrap_or(0);
    let told: u64 = (0..100_000).map(|number| ask(number, 1)).sum();
    assert_eq!(told, 64);
    assert_eq!(ask(1, 2), 1, "another channel has records of its own");
    let left = gate.settle_all();
    let [Leftover { among: Among::Channel, refusals, .. }] = left.as_slice() else { panic!("{left:?}") };
    assert_eq!(*refusals, 100_000 - 64);
    let told: u64 = (0..20_000).map(|number| ask(number, number)).sum();
    let left = gate.settle_all();
    assert!(left.len() <= 4097 * 2, "{}", left.len());
    assert!(told < 5000 && left.iter().map(|left| left.refusals).sum::<u64>() + told == 20_000);
}

proptest! {
    #[test]
    fn every_refusal_is_in_exactly_one_record(
        steps in proptest::collection::vec((0_u64..12_000, 0_usize..4, any::<bool>()), 0..200)
    ) {
        let clock = clock();
        let gate = gate(&limited(60, 1000, 10), &at_once(), &clock);
        let callers: Vec<_> = ["a", "b", "c", "d"].map(|name| caller(name, None)).into();
        let mut refused: HashMap<String, u64> = HashMap::new();
        let mut recorded: HashMap<String, u64> = HashMap::new();
        let tell = |left: Vec<Leftover>, recorded: &mut HashMap<String, u64>| {
            for left in left {
                *recorded.entry(left.caller.principal().subject.clone()).or_default() += left.refusals;
            }
        };
        for (wait, who, settle) in steps {
            clock.advance(Duration::from_millis(wait));
            let name = callers[who].principal().subject.clone();
            *refused.entry(name.clone()).or_default() += 1;
            if let Some(count) = gate.due(&callers[who], &Failure::new(Code::RateLimited, "used up"), &clock) {
                *recorded.entry(name).or_default() += count;
            }
            if settle {
                tell(gate.settle(&clock), &mut recorded);
            }
        }
        tell(gate.settle_all(), &mut recorded);
        prop_assert_eq!(refused, recorded);
    }
}
