//! What a tool took out of texts before they were its output, since it filters or cuts them: told without the value.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Kinds of findings that are told by their field; more are told without it.
const TOLD: usize = 64;

/// By which rule, in which field, how often; all copies are one.
#[derive(Clone, Default, Debug)]
pub struct Taken(Arc<Mutex<BTreeMap<(String, &'static str), u64>>>);

impl Taken {
    /// Notes that `by` took something out of the text at `field`, so many times.
    pub fn note(&self, by: &str, field: &'static str, count: u64) {
        let mut taken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut key = (by.to_owned(), field);
        if taken.len() >= TOLD && !taken.contains_key(&key) {
            key.1 = "";
        }
        let sum = taken.entry(key).or_default();
        *sum = sum.saturating_add(count);
    }

    /// All of it: rule, field, count.
    #[must_use]
    pub fn list(&self) -> Vec<(String, &'static str, u64)> {
        let taken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        taken.iter().map(|((by, field), count)| (by.clone(), *field, *count)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_add_up_and_many_fields_become_none() {
        let taken = Taken::default();
        taken.clone().note("jwt", "a", 1);
        taken.note("jwt", "a", 2);
        assert_eq!(taken.list(), [("jwt".to_owned(), "a", 3)]);
        (0..2 * TOLD).for_each(|rule| taken.note(&format!("rule {rule:03}"), "b", 1));
        assert_eq!(taken.list().iter().filter(|(_, field, _)| field.is_empty()).count(), TOLD + 1);
    }
}
