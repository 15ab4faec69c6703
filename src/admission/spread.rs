//! A page for each caller: which targets it named and with which it has been, how much it was given, what it draws from. Limits hold over any hour
//! and any 24 hours, wherever they begin. A page that says nothing any more makes room; while the table is full, newcomers are
//! refused if a limit is set, and else have no page.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use super::SpreadSection;
use super::keys::{Who, short};
use super::refusal::{self, told};
use crate::cluster::{Claim, Fades, Full, Shelf};
use crate::error::{Code, Failure};

/// Nanoseconds of an hour.
const HOUR: u64 = 3_600_000_000_000;
/// A day is kept in eight parts, and the one that runs beside them.
const PART: u64 = 3 * HOUR;
const PARTS: usize = 9;
/// Targets that are remembered of one caller, whatever the limit.
const MOST_TARGETS: usize = 256;
/// How long a target is remembered.
const REMEMBERED: u64 = 24 * HOUR;
/// Buckets that are remembered of one caller, for being shown.
const MOST_BUCKETS: usize = 32;

/// The pages.
#[derive(Default)]
pub(super) struct Ledger(Shelf<Page>);

/// What is known of one caller.
pub(super) struct Page {
    pub(super) name: Box<str>,
    pub(super) who: Who,
    seen: u64,
    contacts: Vec<Target>,
    handed: Option<Box<Handed>>,
    /// What it draws from: the rule, what else the bucket is about, and its key.
    pub(super) buckets: Vec<Bucket>,
}

/// A target. Times are those of the last call, 0 for never.
#[derive(Clone, Copy)]
struct Target {
    key: u64,
    /// That named it, whatever became of the call.
    named: u64,
    /// That was handed to a tool.
    met: u64,
}

impl Target {
    fn counts(&self, now: u64) -> bool {
        self.named > 0 && now < self.named.saturating_add(HOUR)
    }

    fn was_met(&self, now: u64) -> bool {
        self.met > 0 && now < self.met.saturating_add(REMEMBERED)
    }
}

/// A bucket that a caller draws from.
#[derive(Clone)]
pub(super) struct Bucket {
    pub(super) rule: Arc<str>,
    pub(super) tool: Option<Cow<'static, str>>,
    pub(super) key: u128,
}

/// What was given in answers, by part of the day.
#[derive(Clone, Default)]
struct Handed {
    part: u64,
    bytes: [u64; PARTS],
    rows: [u64; PARTS],
}

/// What was used of the limits of spread.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(super) struct Used {
    pub(super) targets: usize,
    pub(super) bytes: u64,
    pub(super) rows: u64,
}

impl Fades for Page {
    fn until(&self) -> u64 {
        // Without the page a target counts as a new one again, which errs on the safe side.
        let met = self.seen.saturating_add(HOUR);
        let handed = self
            .handed
            .as_ref()
            .map_or(0, |handed| handed.part.saturating_add(u64::try_from(PARTS).unwrap_or(0)).saturating_mul(PART));
        met.max(handed)
    }
}

impl Ledger {
    /// Opens the page of a caller who comes with a call, if it was not given too much already.
    pub(super) fn open(
        &self,
        who: &Who,
        section: &SpreadSection,
        room: usize,
        now: u64,
        name: impl FnOnce() -> Box<str>,
    ) -> Result<(), Failure> {
        let opened = self.0.change(
            &claim(who, room),
            now,
            || Page::new(name(), *who),
            |page| {
                page.seen = now;
                page.exhausted(section, now)
            },
        );
        match opened {
            Ok(None) => Ok(()),
            Ok(Some(failure)) => Err(failure),
            Err(Full) if *section == SpreadSection::default() => Ok(()),
            Err(Full) => Err(refusal::full(Code::RateLimited)),
        }
    }

    /// Notes what the caller draws from.
    pub(super) fn draws<'a>(
        &self,
        who: &Who,
        room: usize,
        now: u64,
        buckets: impl Iterator<Item = (u128, &'a Arc<str>, Option<&'a Cow<'static, str>>)>,
    ) {
        let note = |page: &mut Page| {
            for (key, rule, tool) in buckets {
                if page.buckets.len() < MOST_BUCKETS && page.buckets.iter().all(|bucket| bucket.key != key) {
                    page.buckets.push(Bucket { rule: Arc::clone(rule), tool: tool.cloned(), key });
                }
            }
        };
        // Who has no page is not shown.
        let _ = self.0.change(&claim(who, room), now, || Page::new("".into(), *who), note);
    }

    /// Notes that the caller names a target; whether it was not with it yet, as far as is remembered.
    pub(super) fn name(
        &self,
        who: &Who,
        target: u128,
        section: &SpreadSection,
        room: usize,
        now: u64,
    ) -> Result<bool, Failure> {
        let named = self.0.change(
            &claim(who, room),
            now,
            || Page::new("".into(), *who),
            |page| page.name(short(target), section.targets_per_hour, now),
        );
        match named {
            Ok(named) => named,
            Err(Full) if section.targets_per_hour.is_none() => Ok(true),
            Err(Full) => Err(refusal::full(Code::TargetsUsedUp)),
        }
    }

    /// Notes that the caller is with a target. Where there is no room for that, it will be new again.
    pub(super) fn meet(&self, who: &Who, target: u128, section: &SpreadSection, room: usize, now: u64) {
        let meet = |page: &mut Page| {
            page.target(short(target), section.targets_per_hour, now, |target| target.met = now);
        };
        let _ = self.0.change(&claim(who, room), now, || Page::new("".into(), *who), meet);
    }

    /// Notes what the caller is given, unless that is more than is left.
    pub(super) fn hand_out(
        &self,
        who: &Who,
        (bytes, rows): (u64, u64),
        section: &SpreadSection,
        room: usize,
        now: u64,
    ) -> Result<(), Failure> {
        if section.bytes_per_day.is_none() && section.rows_per_day.is_none() {
            return Ok(());
        }
        let handed = self.0.change(
            &claim(who, room),
            now,
            || Page::new("".into(), *who),
            |page| page.hand_out((bytes, rows), section, now),
        );
        handed.unwrap_or_else(|Full| Err(refusal::full(Code::VolumeUsedUp)))
    }

    pub(super) fn each(&self, mut look: impl FnMut(&Page)) {
        self.0.each(|_, page| look(page));
    }

    pub(super) fn sweep(&self, now: u64) {
        self.0.sweep(now);
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

fn claim(who: &Who, room: usize) -> Claim {
    Claim { key: who.caller, owner: short(who.holder), room }
}

impl Page {
    fn new(name: Box<str>, who: Who) -> Self {
        Self { name, who, seen: 0, contacts: Vec::new(), handed: None, buckets: Vec::new() }
    }

    pub(super) fn used(&self, now: u64) -> Used {
        let (bytes, rows) = self.handed.as_ref().map_or((0, 0), |handed| {
            let mut handed = handed.clone();
            handed.turn(now);
            handed.sums()
        });
        Used { targets: self.recent(now).count(), bytes, rows }
    }

    /// When each of the targets of the last hour was last named.
    fn recent(&self, now: u64) -> impl Iterator<Item = u64> {
        self.contacts.iter().filter(move |target| target.counts(now)).map(|target| target.named)
    }

    fn name(&mut self, key: u64, most: Option<u32>, now: u64) -> Result<bool, Failure> {
        let known = self.contacts.iter().find(|target| target.key == key).copied();
        if let Some(most) = most
            && !known.is_some_and(|target| target.counts(now))
            && self.recent(now).count() >= usize::try_from(most).unwrap_or(usize::MAX)
        {
            let oldest = self.recent(now).min().unwrap_or(now);
            let wait = Duration::from_nanos(oldest.saturating_add(HOUR).saturating_sub(now));
            let text = format!("{most} different targets an hour are used up; a new one is possible in {}", told(wait));
            return Err(Failure::new(Code::TargetsUsedUp, text).until(wait));
        }
        self.target(key, most, now, |target| target.named = now);
        Ok(!known.is_some_and(|target| target.was_met(now)))
    }

    /// Changes the entry of a target. When there are too many, one that counts for nothing makes room, else one that was only named,
    /// else the oldest: naming targets makes nobody forget with which ones a caller was.
    fn target(&mut self, key: u64, most: Option<u32>, now: u64, change: impl FnOnce(&mut Target)) {
        self.seen = now;
        self.contacts.retain(|target| target.key == key || target.counts(now) || target.was_met(now));
        let room = most.map_or(MOST_TARGETS, |most| usize::try_from(most).unwrap_or(MOST_TARGETS).max(MOST_TARGETS));
        let known = self.contacts.iter().any(|target| target.key == key);
        if !known && self.contacts.len() >= room {
            let worth = |target: &Target| {
                let bounded = most.is_some() && target.counts(now);
                (bounded, target.was_met(now), target.named.max(target.met))
            };
            let least =
                self.contacts.iter().enumerate().min_by_key(|(_, target)| worth(target)).map(|(index, _)| index);
            least.map(|index| self.contacts.swap_remove(index));
        }
        match self.contacts.iter_mut().find(|target| target.key == key) {
            Some(target) => change(target),
            None => {
                let mut target = Target { key, named: 0, met: 0 };
                change(&mut target);
                self.contacts.push(target);
            }
        }
    }

    fn hand_out(&mut self, (bytes, rows): (u64, u64), section: &SpreadSection, now: u64) -> Result<(), Failure> {
        self.seen = now;
        let handed = self.handed.get_or_insert_with(Box::default);
        handed.turn(now);
        let (known_bytes, known_rows) = handed.sums();
        let over = |what: &str, known: u64, more: u64, most: Option<u64>| {
            let most = most.filter(|most| known.saturating_add(more) > *most)?;
            let left = most.saturating_sub(known);
            let text = format!(
                "the answer has {more} {what}, and {left} of {most} {what} a day are left; ask for less, or again {}",
                handed.comes_back(now)
            );
            Some(Failure::new(Code::VolumeUsedUp, text).until(handed.wait(now)))
        };
        let failure = over("bytes", known_bytes, bytes, section.bytes_per_day)
            .or_else(|| over("rows", known_rows, rows, section.rows_per_day));
        if let Some(failure) = failure {
            return Err(failure);
        }
        if let Some((part_bytes, part_rows)) = handed.bytes.first_mut().zip(handed.rows.first_mut()) {
            *part_bytes = part_bytes.saturating_add(bytes);
            *part_rows = part_rows.saturating_add(rows);
        }
        Ok(())
    }

    /// The refusal of a caller to whom nothing more can be given.
    fn exhausted(&mut self, section: &SpreadSection, now: u64) -> Option<Failure> {
        let handed = self.handed.as_mut()?;
        handed.turn(now);
        let (bytes, rows) = handed.sums();
        let used_up = |what: &str, known: u64, most: Option<u64>| {
            let most = most.filter(|most| known >= *most)?;
            let text = format!("{most} {what} a day are used up; more is possible {}", handed.comes_back(now));
            Some(Failure::new(Code::VolumeUsedUp, text).until(handed.wait(now)))
        };
        used_up("bytes", bytes, section.bytes_per_day).or_else(|| used_up("rows", rows, section.rows_per_day))
    }
}

impl Handed {
    /// Moves on to the part of the day that runs at `now`, the newest first.
    fn turn(&mut self, now: u64) {
        let part = now.checked_div(PART).unwrap_or(0);
        let passed = usize::try_from(part.saturating_sub(self.part)).unwrap_or(PARTS).min(PARTS);
        for kept in [&mut self.bytes, &mut self.rows] {
            kept.rotate_right(passed % PARTS);
            let gone = if passed >= PARTS { PARTS } else { passed };
            kept.iter_mut().take(gone).for_each(|count| *count = 0);
        }
        self.part = self.part.max(part);
    }

    fn sums(&self) -> (u64, u64) {
        let sum = |kept: &[u64; PARTS]| kept.iter().copied().fold(0, u64::saturating_add);
        (sum(&self.bytes), sum(&self.rows))
    }

    /// Until the oldest part in which something was given is a day ago.
    fn wait(&self, now: u64) -> Duration {
        let used = self.bytes.iter().zip(&self.rows).rposition(|(bytes, rows)| *bytes > 0 || *rows > 0).unwrap_or(0);
        let used = self.part.saturating_sub(u64::try_from(used).unwrap_or(0));
        let over = used.saturating_add(u64::try_from(PARTS).unwrap_or(0)).saturating_mul(PART);
        Duration::from_nanos(over.saturating_sub(now))
    }

    fn comes_back(&self, now: u64) -> String {
        format!("in {}", told(self.wait(now)))
    }
}

#[cfg(test)]
mod tests;
