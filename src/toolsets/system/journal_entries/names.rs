//! The values that a field has in the journal, for those who asked for one that it has not.

use std::cell::RefCell;
use std::collections::BTreeSet;

use super::{Ask, Failure, Journal, journal, most, open};

/// Values that are gathered.
const VALUES: usize = 4096;

/// The values of these fields in all files of the journal that can be read, and whether that is all of them.
///
/// # Errors
/// When nobody waits any more.
pub(in crate::toolsets::system) fn values(ask: &Ask<'_>, fields: &[&str]) -> Result<(BTreeSet<String>, bool), Failure> {
    let (found, mut whole) = (RefCell::new(BTreeSet::new()), true);
    let Some(Journal { files, notes }) = journal(ask)? else { return Ok((BTreeSet::new(), true)) };
    whole &= notes.is_empty();
    for known in files {
        ask.go_on()?;
        let _passing = ask.passing();
        let Ok(mut file) = open(ask, &known.path, most(ask)) else {
            whole = false;
            continue;
        };
        for field in fields {
            let gather = |value: &[u8]| {
                let mut found = found.borrow_mut();
                if found.len() < VALUES {
                    found.insert(String::from_utf8_lossy(value).into_owned());
                }
                false
            };
            whole &= file.with(field, gather).is_ok();
        }
    }
    let found = found.into_inner();
    let whole = whole && found.len() < VALUES;
    Ok((found, whole))
}
