//! Names of fields that are neither secrets nor hold any: tools say the same few in every answer, and looking at each of
//! them anew costs more than the rest of the way out. What is known here depends on the rules alone, never on a value.

use std::collections::HashSet;
use std::sync::Arc;

use arc_swap::ArcSwap;

/// Names that are remembered; a host that makes up names is looked at anew each time.
const MOST: usize = 1024;
/// Bytes of a name that is worth remembering.
const LONGEST: usize = 64;

/// The names; read without a lock.
#[derive(Default)]
pub(super) struct Plain(ArcSwap<HashSet<Arc<str>>>);

impl Plain {
    pub(super) fn knows(&self, name: &str) -> bool {
        self.0.load().contains(name)
    }

    /// To be told only of a name that all rules and field patterns leave alone wherever it stands.
    pub(super) fn learn(&self, name: &str) {
        if name.len() > LONGEST || self.0.load().len() >= MOST {
            return;
        }
        self.0.rcu(|names| {
            let mut names = HashSet::clone(names);
            names.insert(name.into());
            names
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_learned_up_to_a_number_and_a_length() {
        let plain = Plain::default();
        plain.learn("uptime_seconds");
        assert!(plain.knows("uptime_seconds") && !plain.knows("uptime"));
        plain.learn(&"x".repeat(LONGEST + 1));
        assert_eq!(plain.0.load().len(), 1);
        (0..2 * MOST).for_each(|number| plain.learn(&number.to_string()));
        assert_eq!(plain.0.load().len(), MOST);
        assert!(plain.knows("uptime_seconds"));
    }
}
