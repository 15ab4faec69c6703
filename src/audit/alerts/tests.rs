//! The alarm on a clock that is moved by hand.
#![expect(clippy::arithmetic_side_effects, reason = "sums of a few small numbers")]

use std::net::Ipv4Addr;

use proptest::prelude::*;

use super::*;
use crate::audit::Event;
use crate::error::Code;

struct Watch {
    alerts: Alerts,
    clock: Clock,
}

impl Watch {
    fn with(auth_failures: u64, window: u64) -> Self {
        let alerts = Alerts::default();
        alerts.set(&AlertsSection { auth_failures, window });
        Self { alerts, clock: Clock::manual(Timestamp::from_seconds(0)) }
    }

    fn record(&self, address: Option<&str>) -> Record {
        let client = address.map_or_else(Client::default, |address| Client::at(address.parse().unwrap()));
        Record::new(Event::AuthFailure, self.clock.now(), client).refused(Code::TokenExpired, None)
    }

    fn see(&self, record: &Record) -> Vec<String> {
        let warnings = self.alerts.see(record, &self.clock);
        let said = warnings.iter().map(|warning| serde_json::to_value(warning).unwrap()).map(|warning| {
            assert_eq!((&warning["event"], &warning["reason"]), (&"warning".into(), &"auth_failures".into()));
            format!("{} {}", warning["client"]["ip"].as_str().unwrap_or("all"), warning["count"])
        });
        said.collect()
    }

    fn refuse(&self, address: &str, times: u32) -> Vec<String> {
        (0..times).flat_map(|_| self.see(&self.record(Some(address)))).collect()
    }

    fn pass(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }
}

#[test]
fn more_than_the_limit_is_a_warning_about_the_source_and_one_about_all_once() {
    let watch = Watch::with(10, 300);
    assert_eq!(watch.refuse("192.0.2.1", 10), [""; 0]);
    watch.pass(299);
    assert_eq!(watch.refuse("192.0.2.1", 1), ["192.0.2.1 11", "all 11"]);
    assert_eq!(watch.refuse("192.0.2.1", 500), [""; 0]);
    assert_eq!(watch.refuse("192.0.2.2", 11), ["192.0.2.2 11"], "all together have had theirs");
}

#[test]
fn what_is_a_window_old_does_not_count() {
    let watch = Watch::with(10, 300);
    for _ in 0..5 {
        assert_eq!(watch.refuse("192.0.2.1", 10), [""; 0]);
        watch.pass(300);
    }
}

#[test]
fn an_attack_that_goes_on_is_a_warning_in_every_window() {
    let watch = Watch::with(10, 300);
    let mut warnings = 0;
    for _ in 0..3000 {
        warnings += watch.refuse("192.0.2.1", 1).len();
        watch.pass(1);
    }
    assert_eq!(warnings, 2 * 10);
}

#[test]
fn many_sources_with_few_refusals_each_are_a_warning_about_all() {
    let watch = Watch::with(10, 300);
    let said: Vec<_> = (1..=11).flat_map(|last| watch.refuse(&format!("192.0.2.{last}"), 1)).collect();
    assert_eq!(said, ["all 11"]);
}

#[test]
fn neighbours_in_a_64_are_one_source_and_a_mapped_address_is_the_one_in_it() {
    let watch = Watch::with(1, 300);
    assert_eq!(watch.refuse("2001:db8::1", 1), [""; 0]);
    assert_eq!(watch.refuse("2001:db8::2", 1), ["2001:db8:: 2", "all 2"]);
    assert_eq!(watch.refuse("::ffff:192.0.2.1", 1), [""; 0]);
    assert_eq!(watch.refuse("192.0.2.1", 1), ["192.0.2.1 2"]);
}

#[test]
fn a_record_that_stands_for_many_counts_as_many_and_one_without_source_among_all() {
    let watch = Watch::with(10, 300);
    assert_eq!(watch.see(&watch.record(None).counted(4)), [""; 0]);
    assert_eq!(watch.see(&watch.record(Some("192.0.2.1")).counted(10)), ["all 14"]);
    assert_eq!(watch.see(&watch.record(Some("192.0.2.1")).counted(u64::MAX)), [format!("192.0.2.1 {}", u64::MAX)]);
}

#[test]
fn other_events_do_not_count() {
    let watch = Watch::with(1, 300);
    let other = watch.record(Some("192.0.2.1")).counted(100).of(Event::QueryDenied);
    assert_eq!(watch.see(&other), [""; 0]);
}

#[test]
fn new_limits_keep_what_was_counted_and_zero_is_never() {
    let watch = Watch::with(20, 300);
    assert_eq!(watch.refuse("192.0.2.1", 15), [""; 0]);
    watch.alerts.set(&AlertsSection { auth_failures: 15, window: 300 });
    assert_eq!(watch.refuse("192.0.2.1", 1), ["192.0.2.1 16", "all 16"]);
    watch.alerts.set(&AlertsSection { auth_failures: 0, window: 300 });
    assert_eq!(watch.refuse("192.0.2.2", 1000), [""; 0]);
}

#[test]
fn however_many_sources_there_are_memory_is_bounded_and_the_rest_are_one() {
    let watch = Watch::with(1, 300);
    let most = u32::try_from(MOST).unwrap();
    let refuse = |from: u32, count: u32| -> Vec<String> {
        (from..from + count).flat_map(|bits| watch.refuse(&Ipv4Addr::from_bits(bits).to_string(), 1)).collect()
    };
    assert_eq!(refuse(0, most), ["all 2"]);
    assert_eq!(refuse(most, 3), ["all 2"], "the second of those beyond");
    assert_eq!(watch.alerts.lock().sources.len(), MOST + 1);
    assert_eq!(refuse(0, 1), ["0.0.0.0 2"], "who is told apart still is");
    watch.pass(300);
    assert_eq!(refuse(most, 1), [""; 0]);
    assert_eq!(watch.alerts.lock().sources.len(), 1, "who has been quiet made room");
    assert_eq!(watch.refuse(&Ipv4Addr::from_bits(most).to_string(), 1).first().unwrap(), "0.0.39.16 2");
}

proptest! {
    /// Against a count that keeps every refusal: none is missed, none is told twice, and what is told is true within the
    /// part of a window that is forgotten together.
    #[test]
    fn it_is_raised_when_it_should_be(
        limit in 1_u64..200,
        refusals in prop::collection::vec((0_u64..20_000, 1_u64..4), 1..600),
    ) {
        let (window, step) = (60_000, 60_000 / u64::from(STEPS));
        let clock = Clock::manual(Timestamp::from_seconds(0));
        let (mut tally, mut all, mut now, mut last) = (Tally::default(), Vec::new(), 0, None::<u64>);
        let section = AlertsSection { auth_failures: limit, window: window / 1000 };
        for (index, (gap, count)) in refusals.into_iter().enumerate() {
            // Floods and pauses.
            let gap = if index % 50 < 45 { gap / 100 } else { gap };
            clock.advance(Duration::from_millis(gap));
            now += gap;
            all.push((now, count));
            let within = |length: u64| -> u64 {
                all.iter().filter(|(at, _)| now - at < length).map(|(_, count)| count).sum()
            };
            let quiet = last.is_some_and(|last| now - last < window);
            let raised = tally.add(count, clock.instant(), &section);
            prop_assert!(tally.seen.len() <= EXACT + 2 * usize::try_from(STEPS).unwrap());
            prop_assert!(!(quiet && raised.is_some()), "told twice");
            prop_assert!(quiet || raised.is_some() || within(window) <= limit, "missed at {}", now);
            if let Some(total) = raised {
                prop_assert!(total >= within(window) && total <= within(window + step) && total > limit);
                last = Some(now);
            }
        }
    }
}
