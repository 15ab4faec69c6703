//! Names of fields that are neither secrets nor hold any: tools say the same few in every answer, and looking at each of
//! them anew costs more than the rest of the way out. What is known here depends on the rules alone, never on a value.

use std::collections::HashSet;
use std::sync::Arc;

use arc_swap::ArcSwap;

/// Names of one generation. When it is full the one before it is forgotten: a host that makes up names drives others out
/// for a while, never for good.
const MOST: usize = 512;
/// Names that are learned of one value, so that none drives out all others.
const AT_ONCE: usize = 128;
/// Bytes of a name that is worth remembering.
const LONGEST: usize = 64;

/// The names; read without a lock.
#[derive(Default)]
pub(super) struct Plain(ArcSwap<Generations>);

#[derive(Clone, Default)]
struct Generations {
    young: HashSet<Arc<str>>,
    old: Arc<HashSet<Arc<str>>>,
}

impl Plain {
    pub(super) fn knows(&self, name: &str) -> bool {
        let names = self.0.load();
        names.young.contains(name) || names.old.contains(name)
    }

    /// To be told only of names that all rules and field patterns leave alone wherever they stand.
    pub(super) fn learn(&self, names: Vec<String>) {
        let mut fresh: Vec<Arc<str>> =
            names.into_iter().filter(|name| name.len() <= LONGEST).take(AT_ONCE).map(Arc::from).collect();
        fresh.retain(|name| !self.knows(name));
        if fresh.is_empty() {
            return;
        }
        self.0.rcu(|names| {
            let mut names = Generations::clone(names);
            for name in &fresh {
                if names.young.len() >= MOST {
                    names.old = Arc::new(std::mem::take(&mut names.young));
                }
                names.young.insert(Arc::clone(name));
            }
            names
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn many(from: usize, count: usize) -> Vec<String> {
        (from..).take(count).map(|number| format!("name_{number}")).collect()
    }

    #[test]
    fn names_are_learned_up_to_a_length_and_a_number_at_once() {
        let plain = Plain::default();
        plain.learn(vec!["uptime_seconds".to_owned(), "x".repeat(LONGEST + 1)]);
        assert!(plain.knows("uptime_seconds") && !plain.knows("uptime"));
        assert_eq!(plain.0.load().young.len(), 1);
        plain.learn(many(0, 3000));
        assert_eq!(plain.0.load().young.len(), 1 + AT_ONCE);
        assert!(plain.knows("uptime_seconds") && plain.knows("name_0") && !plain.knows("name_2999"));
    }

    #[test]
    fn made_up_names_keep_no_room_for_good_and_take_no_more_than_there_is() {
        let plain = Plain::default();
        for round in 0..100 {
            plain.learn(many(round * AT_ONCE, AT_ONCE));
            let names = plain.0.load();
            assert!(names.young.len() <= MOST && names.old.len() <= MOST);
        }
        assert!(!plain.knows("name_0"));
        plain.learn(vec!["uptime_seconds".to_owned()]);
        assert!(plain.knows("uptime_seconds"));
        // It outlives the generation that it was learned in.
        plain.learn(many(0, AT_ONCE));
        assert!(plain.knows("uptime_seconds"));
    }
}
