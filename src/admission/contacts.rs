//! What is told of a call: which rates it draws from and what is left of them, and whether its target is new.

use proptest::prelude::*;

use super::tests::{admit, caller, clock, gate, rule};
use super::*;
use crate::call::Resource;

fn spec(name: &'static str) -> ToolSpec {
    ToolSpec::query::<(), ()>(name, "", "", Impact::Low)
}

fn budgets(rates: Vec<RateRule>) -> BudgetsSection {
    let places = PlacesSection { queue: 0, per_target: Some(1), ..PlacesSection::default() };
    BudgetsSection { rates, places, ..BudgetsSection::default() }
}

#[tokio::test]
async fn who_waits_for_a_target_in_vain_was_not_with_it() {
    let (gate, web) =
        (gate(&ResourcesSection::default(), &budgets(Vec::new()), &clock()), Resource::new("Host", "web"));
    let (alice, bob) = (caller("alice", None), caller("bob", None));
    let mut first = admit(&gate, &alice, None).unwrap();
    assert_eq!(gate.reach(&mut first, &web).await.unwrap(), Contact { first: true });
    for _ in 0..3 {
        let mut late = admit(&gate, &bob, None).unwrap();
        assert_eq!(gate.reach(&mut late, &web).await.unwrap_err().code(), Code::TooManyCalls);
    }
    drop(first);
    for (handed_on, new) in [(false, true), (true, true), (false, false), (false, false)] {
        let mut next = admit(&gate, &bob, None).unwrap();
        assert_eq!(gate.reach(&mut next, &web).await.unwrap(), Contact { first: new });
        if handed_on {
            gate.met(&next, &web);
        }
    }
    let mut never = admit(&gate, &alice, None).unwrap();
    assert_eq!(gate.reach(&mut never, &web).await.unwrap(), Contact { first: true }, "hers never ran");
}

#[test]
fn a_caller_is_told_of_the_rates_that_this_very_call_draws_from() {
    let gate = gate(
        &ResourcesSection {
            max_concurrent_queries: 100,
            rate_limit: Some(RateLimitSection { requests_per_minute: 60, requests_per_hour: 1000, burst: 10 }),
            ..ResourcesSection::default()
        },
        &budgets(vec![
            rule(r#"{"name": "logs", "per": ["caller"], "tool": "get_syslog", "requests_per_minute": 2, "burst": 2}"#),
            rule(r#"{"name": "load", "per": ["user", "tool"], "requests_per_minute": 6, "burst": 3}"#),
            rule(r#"{"name": "by-scope", "per": ["toolset", "scope"], "requests_per_hour": 9}"#),
        ]),
        &clock(),
    );
    let alice = caller("alice", None);
    let told = |aim| -> Vec<(String, u32, u64, Option<String>, u32)> {
        let quotas = gate.quotas(&alice, aim).into_iter();
        quotas.map(|quota| (quota.name, quota.calls, quota.window.as_secs(), quota.part, quota.left)).collect()
    };
    let row = |name: &str, calls, window, part: Option<&str>, left| {
        (name.to_owned(), calls, window, part.map(str::to_owned), left)
    };
    let own = [row("caller", 10, 10, None, 10), row("caller-hour", 1000, 3600, None, 1000)];
    assert_eq!(told(None), own, "whatever else it is, it is no call of a tool with a rule");
    let (syslog, uptime) = (spec("get_syslog"), spec("get_uptime"));
    let aim = |spec| Some(Aim { spec, scope: Some("core") });
    admit(&gate, &alice, aim(&syslog)).unwrap();
    let by_scope = |left| row("by-scope-hour", 9, 3600, Some("system core"), left);
    let narrow = [row("logs", 2, 60, Some("get_syslog"), 1), row("load", 3, 30, Some("get_syslog"), 2), by_scope(8)];
    assert_eq!(told(aim(&syslog)), narrow, "the narrower rule holds in place of the default");
    let other = [own[0].clone(), own[1].clone(), row("load", 3, 30, Some("get_uptime"), 3), by_scope(8)];
    assert_eq!(told(aim(&uptime)), other);
}

/// Before the tool is known: a rule that may yet hold in place of the default keeps that from deciding for whoever it names, and
/// for nobody else.
#[test]
fn who_cannot_be_meant_by_a_narrower_rule_is_seen_to_have_nothing_left_at_once() {
    let narrow =
        r#"{"name": "narrow", "per": ["caller"], "user": "batch", "tool": "get_syslog", "requests_per_minute": 2}"#;
    let named = r#"{"name": "named", "per": ["caller"], "user": "nightly", "requests_per_minute": 1, "burst": 1}"#;
    let resources = ResourcesSection {
        max_concurrent_queries: 100,
        rate_limit: Some(RateLimitSection { requests_per_minute: 1, requests_per_hour: 100, burst: 2 }),
        ..ResourcesSection::default()
    };
    let gate = gate(&resources, &budgets(vec![rule(narrow), rule(named)]), &clock());
    let uptime = spec("get_uptime");
    let aim = Some(Aim { spec: &uptime, scope: Some("core") });
    for (name, calls, foreseen) in [("alice", 2, true), ("batch", 2, false), ("nightly", 1, true)] {
        let caller = caller(name, None);
        for _ in 0..calls {
            assert!(gate.foresee(&caller).is_ok());
            admit(&gate, &caller, aim).unwrap();
        }
        assert_eq!(admit(&gate, &caller, aim).unwrap_err().code(), Code::RateLimited, "{name}");
        assert_eq!(
            gate.foresee(&caller).is_err(),
            foreseen,
            "{name}: it may still ask for the tool with a rule of its own"
        );
    }
    let syslog = spec("get_syslog");
    assert!(admit(&gate, &caller("batch", None), Some(Aim { spec: &syslog, scope: None })).is_ok());
}

proptest! {
    /// What is said to be left is what passes, be the burst more than a minute gives or less, and by the hour.
    #[test]
    fn as_many_pass_as_are_said_to_be_left(
        (per_minute, burst, per_hour) in (1_u32..30, 1_u32..60, 1_u32..90),
        steps in proptest::collection::vec((0_u64..90_000, 0_usize..40), 1..20)
    ) {
        let clock = clock();
        let resources = ResourcesSection {
            max_concurrent_queries: 100,
            rate_limit: Some(RateLimitSection { requests_per_minute: per_minute, requests_per_hour: per_hour, burst }),
            ..ResourcesSection::default()
        };
        let (gate, alice) = (gate(&resources, &budgets(Vec::new()), &clock), caller("alice", None));
        for (wait, tries) in steps {
            clock.advance(Duration::from_millis(wait));
            let quotas = gate.quotas(&alice, None);
            let left = quotas.iter().map(|quota| quota.left).min().unwrap();
            prop_assert!(quotas.iter().all(|quota| quota.left <= quota.calls));
            let passed = (0..tries).filter(|_| admit(&gate, &alice, None).is_ok()).count();
            prop_assert_eq!(passed, tries.min(usize::try_from(left).unwrap()));
            let quotas = gate.quotas(&alice, None);
            if quotas.iter().any(|quota| quota.left == 0) {
                let wait = quotas.iter().map(|quota| quota.more_in).max().unwrap();
                prop_assert_eq!(admit(&gate, &alice, None).unwrap_err().wait(), Some(wait));
            }
        }
    }
}
