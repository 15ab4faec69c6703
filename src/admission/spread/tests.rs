#![expect(clippy::arithmetic_side_effects, reason = "the model's numbers are small")]

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;

const ROOM: usize = 100_000;

fn who(number: u64) -> Who {
    let key = u128::from(number.wrapping_mul(0x9e37_79b9_7f4a_7c15)) << 64 | u128::from(number);
    Who { caller: key, user: key, agent: None, holder: key }
}

fn target(number: u64) -> u128 {
    u128::from(number + 1) << 64
}

fn targets(most: u32) -> SpreadSection {
    SpreadSection { targets_per_hour: Some(most), ..SpreadSection::default() }
}

/// Names a target, and is with it.
fn meet(ledger: &Ledger, section: &SpreadSection, number: u64, now: u64) -> Result<bool, Failure> {
    let first = ledger.name(&who(1), target(number), section, ROOM, now)?;
    ledger.meet(&who(1), target(number), section, ROOM, now);
    Ok(first)
}

fn volume(bytes: Option<u64>, rows: Option<u64>) -> SpreadSection {
    SpreadSection { bytes_per_day: bytes, rows_per_day: rows, targets_per_hour: None }
}

#[test]
fn a_caller_gets_to_so_many_targets_in_an_hour_and_to_those_again() {
    let (ledger, section) = (Ledger::default(), targets(2));
    let meet = |number, now| meet(&ledger, &section, number, now);
    assert!(meet(1, HOUR).unwrap(), "the first contact");
    assert!(meet(2, HOUR + 10).unwrap());
    assert!(!meet(1, HOUR + 20).unwrap(), "known by now");
    let refused = meet(3, HOUR + 30).unwrap_err();
    assert_eq!(refused.code(), Code::TargetsUsedUp);
    assert_eq!(refused.wait(), Some(Duration::from_nanos(HOUR - 20)), "the second was met longest ago");
    assert!(
        ledger.name(&who(2), target(3), &section, ROOM, HOUR + 30).unwrap(),
        "another caller has a page of its own"
    );
    assert!(meet(3, 2 * HOUR + 10).unwrap());
    assert!(meet(2, 2 * HOUR + 11).is_err(), "the first and the third are the two of this hour");
    assert!(!meet(2, 2 * HOUR + 20).unwrap(), "no first contact: it was met within a day");
}

#[test]
fn without_a_limit_contacts_are_remembered_and_bounded() {
    let (ledger, section) = (Ledger::default(), SpreadSection::default());
    for number in 0..2000 {
        assert!(meet(&ledger, &section, number, HOUR + number).unwrap());
    }
    let mut pages = Vec::new();
    ledger.each(|page| pages.push(page.contacts.len()));
    assert_eq!(pages, [MOST_TARGETS]);
    assert!(!meet(&ledger, &section, 1999, HOUR + 2001).unwrap());
    assert!(meet(&ledger, &section, 0, HOUR + 2002).unwrap(), "forgotten, so as new as at first");
    for number in 10_000..20_000 {
        assert!(ledger.name(&who(1), target(number), &section, ROOM, HOUR + 3000).unwrap());
    }
    assert!(!meet(&ledger, &section, 0, HOUR + 3001).unwrap(), "naming others makes nobody forget it");
}

#[test]
fn a_target_that_was_only_named_is_new_and_one_that_was_met_is_not() {
    let (ledger, section) = (Ledger::default(), SpreadSection::default());
    let name = |now| ledger.name(&who(1), target(1), &section, ROOM, now).unwrap();
    assert!(name(HOUR) && name(HOUR + 1) && name(HOUR + 2), "no call of it was let through");
    ledger.meet(&who(1), target(1), &section, ROOM, HOUR + 3);
    assert!(!name(HOUR + 4));
    assert!(!name(25 * HOUR + 2), "within a day");
    assert!(name(25 * HOUR + 3), "that it was named since does not count");
}

#[test]
fn an_answer_for_which_nothing_is_left_is_not_given() {
    let (ledger, section) = (Ledger::default(), volume(Some(1000), Some(5)));
    let give = |bytes, rows, now| ledger.hand_out(&who(1), (bytes, rows), &section, ROOM, now);
    let open = |now| ledger.open(&who(1), &section, ROOM, now, || "alice".into());
    assert!(give(600, 1, HOUR).is_ok());
    let refused = give(500, 1, HOUR).unwrap_err();
    assert!(refused.public().contains("400 of 1000 bytes a day are left"), "{refused}");
    assert_eq!(refused.code(), Code::VolumeUsedUp);
    assert!(give(1, 5, HOUR).unwrap_err().public().contains("rows"));
    assert!(open(HOUR).is_ok() && give(400, 0, 4 * HOUR).is_ok());
    assert!(open(4 * HOUR).is_err(), "nothing is left, so nothing is run");
    let wait = open(4 * HOUR).unwrap_err().wait().unwrap();
    assert_eq!(wait, Duration::from_nanos(23 * HOUR));
    assert!(open(27 * HOUR).is_ok() && give(600, 0, 27 * HOUR).is_ok());
    assert!(give(1, 0, 29 * HOUR).is_err());
    assert!(give(400, 4, 30 * HOUR).is_ok());
}

#[test]
fn with_a_limit_newcomers_are_refused_when_it_is_full_and_without_one_they_pass() {
    let ledger = Ledger::default();
    let section = volume(Some(1000), None);
    let full = (0..10_000).find(|number| ledger.open(&who(*number), &section, 640, 1, || "x".into()).is_err()).unwrap();
    assert!(ledger.len() <= 640);
    assert!(ledger.open(&who(0), &section, 640, 1, || "x".into()).is_ok(), "who is known is not forgotten");
    assert!(ledger.open(&who(full), &SpreadSection::default(), 640, 1, || "x".into()).is_ok());
    assert!(ledger.name(&who(full), target(1), &SpreadSection::default(), 640, 1).unwrap());
    assert!(ledger.name(&who(full), target(1), &targets(5), 640, 1).is_err());
    assert!(ledger.open(&who(full), &section, 640, 2 * HOUR, || "x".into()).is_ok(), "they have faded");
}

proptest! {
    #[test]
    fn no_hour_sees_more_targets_and_no_day_more_bytes_than_were_allowed(
        most in 1_u32..6, bytes in 1_u64..500,
        steps in proptest::collection::vec((0_u64..4 * HOUR, 0_u64..8, 1_u64..300), 1..80)
    ) {
        let (ledger, section) = (Ledger::default(), SpreadSection { bytes_per_day: Some(bytes), ..targets(most) });
        let mut now = HOUR;
        let mut met: Vec<(u64, u64)> = Vec::new();
        let mut given: Vec<(u64, u64)> = Vec::new();
        for (wait, number, size) in steps {
            now += wait / 8;
            if meet(&ledger, &section, number, now).is_ok() {
                met.push((now, number));
            }
            if ledger.hand_out(&who(1), (size, 0), &section, ROOM, now).is_ok() {
                given.push((now, size));
            }
            let mut hour: Vec<u64> = met.iter().filter(|(at, _)| at + HOUR > now).map(|(_, number)| *number).collect();
            hour.sort_unstable();
            hour.dedup();
            prop_assert!(hour.len() <= usize::try_from(most).unwrap());
            let day: u64 = given.iter().filter(|(at, _)| at + 24 * HOUR > now).map(|(_, size)| size).sum();
            prop_assert!(day <= bytes);
        }
        // After two days everything is there again.
        now += 48 * HOUR;
        prop_assert!(ledger.hand_out(&who(1), (bytes, 0), &section, ROOM, now).is_ok());
        for number in 0..u64::from(most) {
            prop_assert!(meet(&ledger, &section, 100 + number, now).unwrap());
        }
    }

    /// Against a register of targets that forgets nothing: exactly so many different ones in an hour, those named again are
    /// free, and the first contact is what the register says, for several callers at once.
    #[test]
    fn targets_are_counted_as_a_register_of_them_does(
        most in 1_u32..6,
        steps in proptest::collection::vec((0_u64..HOUR / 3, 0_u64..12, 0_u64..3, any::<bool>()), 1..200)
    ) {
        let (ledger, section) = (Ledger::default(), targets(most));
        let mut named: HashMap<(u64, u64), u64> = HashMap::new();
        let mut met: HashMap<(u64, u64), u64> = HashMap::new();
        let mut now = HOUR;
        for (wait, number, caller, goes_on) in steps {
            now += wait;
            let counted = |one: u64| named.get(&(caller, one)).is_some_and(|at| now < at + HOUR);
            let known = (0..12).filter(|one| counted(*one)).count();
            let allowed = counted(number) || known < usize::try_from(most).unwrap();
            let first = met.get(&(caller, number)).is_none_or(|at| now >= at + 24 * HOUR);
            let answer = ledger.name(&who(caller), target(number), &section, ROOM, now);
            prop_assert_eq!(answer.ok(), allowed.then_some(first));
            if allowed {
                named.insert((caller, number), now);
                if goes_on {
                    ledger.meet(&who(caller), target(number), &section, ROOM, now);
                    met.insert((caller, number), now);
                }
            }
        }
    }
}
