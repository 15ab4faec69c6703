//! The pages of a file that were read: each once, and no more than the budget of the file.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use super::Stop;
use crate::toolsets::system::budget;

/// Bytes that are read at a time.
const PAGE: u64 = 4096;

/// The pages of a file that were read, each once.
pub(super) struct Pages {
    pub(super) file: File,
    pub(super) size: u64,
    pub(super) budget: u64,
    pub(super) kept: HashMap<u64, Vec<u8>>,
}

impl Pages {
    pub(super) fn bytes(&mut self, at: u64, length: u64) -> Result<Vec<u8>, Stop> {
        let end = at.checked_add(length).filter(|end| *end <= self.size).ok_or(Stop::Damaged)?;
        let mut found = Vec::with_capacity(usize::try_from(length).unwrap_or(0));
        let mut at = at;
        while at < end {
            let number = at.checked_div(PAGE).unwrap_or(0);
            let within = at.checked_rem(PAGE).unwrap_or(0);
            let take = PAGE.saturating_sub(within).min(end.saturating_sub(at));
            let (from, to) =
                (usize::try_from(within).unwrap_or(0), usize::try_from(within.saturating_add(take)).unwrap_or(0));
            found.extend_from_slice(self.page(number)?.get(from..to).ok_or(Stop::Damaged)?);
            at = at.saturating_add(take);
        }
        Ok(found)
    }

    fn page(&mut self, number: u64) -> Result<&[u8], Stop> {
        if !self.kept.contains_key(&number) {
            self.budget = self.budget.checked_sub(PAGE).ok_or(Stop::Enough)?;
            let mut page = vec![0; usize::try_from(PAGE).unwrap_or(4096)];
            let mut filled = 0;
            let start = number.checked_mul(PAGE).ok_or(Stop::Damaged)?;
            while let Some(room) = page.get_mut(filled..).filter(|room| !room.is_empty()) {
                let offset = start.saturating_add(u64::try_from(filled).unwrap_or(0));
                match self.file.read_at(room, offset) {
                    Ok(0) => break,
                    Ok(count) => filled = filled.saturating_add(count),
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(_) => return Err(Stop::Damaged),
                }
            }
            page.truncate(filled);
            budget::hold(page.len()).map_err(|_| Stop::Enough)?;
            self.kept.insert(number, page);
        }
        Ok(self.kept.get(&number).map(Vec::as_slice).unwrap_or_default())
    }
}
