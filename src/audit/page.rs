//! Lines that the writer hands to the kernel at once, with their places in the chain.

use super::chain::Head;

/// A line of a page: where it ends, and the head of the chain then.
pub(super) struct Place {
    pub(super) end: usize,
    pub(super) head: Head,
    pub(super) kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Somebody sent it.
    Sent,
    /// It tells of an outage.
    Gap,
    Checkpoint,
}

/// Lines that are handed over at once.
pub(super) struct Page {
    pub(super) bytes: Vec<u8>,
    pub(super) places: Vec<Place>,
    pub(super) head: Head,
}

impl Page {
    /// Appends a record; false when it is none that the chain can take.
    pub(super) fn add(&mut self, body: &[u8], kind: Kind) -> bool {
        let Some(head) = self.head.append(body, &mut self.bytes) else { return false };
        self.head = head;
        self.places.push(Place { end: self.bytes.len(), head, kind });
        true
    }
}
