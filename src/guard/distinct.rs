//! Names that are alike without their secrets stay apart, whatever their number: the next free one is remembered, not looked
//! for again from the start.

use std::collections::HashMap;

use serde_json::{Map, Value};

/// The members of one object while they get new names.
#[derive(Default)]
pub(super) struct Distinct {
    members: Map<String, Value>,
    /// By name, the number that the next one of it is tried with.
    next: HashMap<String, u32>,
}

impl Distinct {
    /// Adds a member, with a number behind its name if there is one of that name already. With a space, for what is joined to
    /// the mark of a secret would look like a secret again.
    pub(super) fn insert(&mut self, name: String, value: Value) {
        if !self.members.contains_key(&name) {
            self.members.insert(name, value);
            return;
        }
        let next = self.next.entry(name.clone()).or_insert(2);
        // Whatever is in the way is so for one number of one name, so all tries together are no more than twice the members.
        let free = loop {
            let tried = format!("{name} {next}");
            *next = next.saturating_add(1);
            if !self.members.contains_key(&tried) {
                break tried;
            }
        };
        self.members.insert(free, value);
    }

    /// All of them.
    pub(super) fn into_members(self) -> Map<String, Value> {
        self.members
    }
}
