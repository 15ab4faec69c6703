//! One way back through a file: the entries that meet the conditions, newest first.

use super::{AROUND, Condition, KEPT, MESSAGE, Record, shorten};
use crate::clock::Timestamp;
use crate::toolsets::system::journal_file::{JournalFile, List, Stop};
use crate::toolsets::system::log_filter::{Wanted, looked_at};

/// Where a step has led.
pub(super) enum Next {
    Row(Row),
    Passed,
    End,
}

/// An entry that meets the conditions.
pub(super) struct Row {
    /// Without its message.
    pub(super) record: Record,
    pub(super) message: String,
    /// Whether its time is in question; if not, it only stands around those whose time is.
    pub(super) counts: bool,
}

/// Goes back through one list or several, each entry once.
pub(super) struct Walk {
    /// Lists, and the number of the entry before which each stands.
    lists: Vec<(List, u64)>,
    /// How many entries that are too old were gone through.
    older: usize,
}

impl Walk {
    pub(super) fn begin(file: &mut JournalFile, wanted: &Wanted, conditions: &[Condition]) -> Result<Self, Stop> {
        // The condition that fewest entries fulfil leads the way; whether the others hold is seen at each entry.
        let mut best: Option<(u64, Vec<List>)> = None;
        for condition in conditions {
            let mut lists = Vec::new();
            for way in &condition.one_of {
                lists.extend(file.exactly(way.name, &way.value)?);
            }
            let count = lists.iter().fold(0_u64, |sum, list| sum.saturating_add(list.count()));
            if best.as_ref().is_none_or(|(least, _)| count < *least) {
                best = Some((count, lists));
            }
        }
        let lists = match best {
            Some((_, lists)) => lists,
            None => vec![file.all()?],
        };
        let mut placed = Vec::new();
        for list in lists {
            let around = u64::try_from(AROUND).unwrap_or(0);
            let end = end(file, &list, wanted)?.saturating_add(around).min(list.count());
            placed.push((list, end));
        }
        Ok(Self { lists: placed, older: 0 })
    }

    pub(super) fn next(
        &mut self,
        file: &mut JournalFile,
        wanted: &Wanted,
        conditions: &[Condition],
    ) -> Result<Next, Stop> {
        let mut latest = 0;
        for (list, before) in &mut self.lists {
            while let Some(number) = before.checked_sub(1) {
                match file.at(list, number)? {
                    Some(at) => {
                        latest = latest.max(at);
                        break;
                    }
                    // An array is longer than what is in it.
                    None => *before = number,
                }
            }
        }
        if latest == 0 {
            return Ok(Next::End);
        }
        for (list, before) in &mut self.lists {
            let Some(number) = before.checked_sub(1) else { continue };
            // Whoever stands at it or, in a damaged file, after it steps back.
            if file.at(list, number)?.is_none_or(|at| at >= latest) {
                *before = number;
            }
        }
        let entry = file.entry(latest)?;
        let time = Timestamp::from_millis(i64::try_from(entry.realtime / 1000).unwrap_or(i64::MAX));
        if time < wanted.from {
            self.older = self.older.saturating_add(1);
            if self.older > AROUND {
                return Ok(Next::End);
            }
        }
        let mut fields = file.fields(&entry)?;
        if !conditions.iter().all(|condition| condition.holds(&fields)) {
            return Ok(Next::Passed);
        }
        fields.retain(|field| KEPT.contains(&field.name.as_str()));
        let mut message = String::new();
        if let Some(field) = fields.iter_mut().find(|field| field.name == MESSAGE) {
            let value = std::mem::take(&mut field.value);
            looked_at(&String::from_utf8_lossy(&value)).clone_into(&mut message);
            field.cut |= message.len() < value.len();
        }
        fields.iter_mut().for_each(shorten);
        let (micros, monotonic_micros, boot) = (entry.realtime, entry.monotonic, entry.boot);
        let record = Record { time, micros, monotonic_micros, boot, fields };
        Ok(Next::Row(Row { record, message, counts: wanted.covers(time) }))
    }
}

/// The number of the first entry that is too new, by halving: entries are in the order of time but for set clocks.
fn end(file: &mut JournalFile, list: &List, wanted: &Wanted) -> Result<u64, Stop> {
    let Some(until) = wanted.until.and_then(|until| u64::try_from(until.millis()).ok()) else {
        return Ok(list.count());
    };
    let (mut low, mut high) = (0, list.count());
    while low < high {
        let middle = low.midpoint(high);
        let newer = match file.at(list, middle)? {
            Some(at) => file.entry(at)?.realtime / 1000 > until,
            None => true,
        };
        if newer { high = middle } else { low = middle.saturating_add(1) }
    }
    Ok(low)
}
