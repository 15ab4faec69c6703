//! What was signed late: a daemon that starts after an unclean stop goes on with the chain that it finds, and its next
//! checkpoint covers also what nobody had signed before it was down. Whoever could write the files then chose that.

use serde::Serialize;

/// Stretches that are told one by one.
const MOST: usize = 20;

/// Records that were signed only after an unclean stop.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Late {
    /// The first stretches of them.
    pub stretches: Vec<Stretch>,
    /// How many more there are.
    pub more: u64,
}

/// Some records, one after the other.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct Stretch {
    /// The first.
    pub from: u64,
    /// The last.
    pub to: u64,
}

/// Watches records go by.
#[derive(Default, Debug)]
pub(super) struct Watch {
    /// The first record after the last good checkpoint.
    open: Option<u64>,
    /// The last record before the last unclean stop, as long as no checkpoint came after it.
    unclean: Option<u64>,
    late: Late,
}

impl Watch {
    /// The next record, and whether it is a good checkpoint.
    pub(super) fn see(&mut self, seq: u64, line: &[u8], checkpoint: bool) {
        let open = *self.open.get_or_insert(seq);
        if is_unclean_stop(line) {
            self.unclean = seq.checked_sub(1);
        }
        if checkpoint {
            self.open = seq.checked_add(1);
            if let Some(to) = self.unclean.take().filter(|to| open <= *to) {
                if self.late.stretches.len() < MOST {
                    self.late.stretches.push(Stretch { from: open, to });
                } else {
                    self.late.more = self.late.more.saturating_add(1);
                }
            }
        }
    }

    pub(super) fn late(self) -> Late {
        self.late
    }
}

/// Asked of every line, so no JSON is read: the event follows the time.
fn is_unclean_stop(line: &[u8]) -> bool {
    const EVENT: &[u8] = b"\",\"event\":\"unclean_stop\"";
    let event = line.iter().take(32).position(|byte| *byte == b',').and_then(|comma| {
        let ts = line.get(comma..)?.strip_prefix(b",\"v\":1,\"ts\":\"")?;
        ts.get(ts.iter().take(40).position(|byte| *byte == b'"')?..)
    });
    event.is_some_and(|event| event.starts_with(EVENT))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn late(events: &str) -> Late {
        let mut watch = Watch::default();
        for (seq, event) in (1..).zip(events.chars()) {
            let name = if event == 'U' { "unclean_stop" } else { "query" };
            let line = format!("{{\"seq\":{seq},\"v\":1,\"ts\":\"2026-11-20T10:30:45.123Z\",\"event\":\"{name}\"");
            watch.see(seq, line.as_bytes(), event == 'C');
        }
        watch.late()
    }

    #[test]
    fn what_lies_between_a_checkpoint_and_an_unclean_stop_is_late_once_it_is_signed() {
        let none = Late::default();
        let one = |from, to| Late { stretches: vec![Stretch { from, to }], more: 0 };
        for (events, wanted) in [
            ("rrCrrC", none.clone()),
            ("rrCUrC", none.clone()),
            ("rrCrrUrr", none.clone()),
            ("rrCrrUrrCrrC", one(4, 5)),
            ("rrrUC", one(1, 3)),
            ("rCrUrUrC", one(3, 5)),
            ("rCUrUrC", one(3, 4)),
            ("UC", none),
        ] {
            assert_eq!(late(events), wanted, "{events}");
        }
        let many = late(&"rUC".repeat(MOST + 3));
        assert_eq!((many.stretches.len(), many.more), (MOST, 3));
    }
}
