//! One file of systemd's journal, read as it lies (systemd.io/JOURNAL_FILE_FORMAT). There is no reader in Rust that is kept
//! up, and `journalctl` would be a process a call that trusts the same files; so this reads them itself, in pages, never
//! more than the caps allow, and believes no number in them.

mod packed;
mod pages;

use std::collections::HashMap;
use std::fs::File;

use siphasher::sip::SipHasher;

use super::budget;
use packed::{unpack_lz4, unpack_zstd};
use pages::Pages;

/// Bytes of one field that are read: a message can be as long as a file.
const FIELD_BYTES: usize = 64 << 10;

/// Objects of one file that are looked at for one answer.
const WORK: usize = 2 << 20;

/// Bytes that are unpacked for the price of one object.
const UNPACKED: usize = 64;

/// Bytes of memory that known fields do not take from the rest.
const SPARE: u64 = 64 << 10;

/// Fields of one entry that are looked at.
const FIELDS: u64 = 256;

/// Flags of the header that change how the rest is read.
const PACKED_XZ: u32 = 1;
const PACKED_LZ4: u32 = 1 << 1;
const KEYED_HASH: u32 = 1 << 2;
const PACKED_ZSTD: u32 = 1 << 3;
const COMPACT: u32 = 1 << 4;

/// Kinds of object.
const DATA: u8 = 1;
const FIELD: u8 = 2;
const ENTRY: u8 = 3;
const FIELD_HASH_TABLE: u8 = 5;
const ENTRY_ARRAY: u8 = 6;

/// Why a file is not read on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Stop {
    /// As much was read as one file may take.
    Enough,
    /// What it says makes no sense, or it is cut short.
    Damaged,
}

/// An open file.
pub(super) struct JournalFile {
    pages: Pages,
    compact: bool,
    field_table: (u64, u64),
    data_table: (u64, u64),
    /// What the hashes of the file are keyed with; older ones have another hash, and are searched without it.
    key: Option<SipHasher>,
    /// When the last entry was written, in microseconds since the epoch.
    pub(super) newest: u64,
    /// When the first was.
    pub(super) oldest: u64,
    entries: u64,
    entry_array: u64,
    known: HashMap<u64, Option<Field>>,
    /// How much is still done for one answer, in objects; a damaged file can lead in circles.
    work: usize,
}

/// A field of an entry: its name and its value; a long value is cut, and says so.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Field {
    pub(super) name: String,
    pub(super) value: Vec<u8>,
    pub(super) cut: bool,
}

impl Field {
    /// Whether it has this name and this value.
    pub(super) fn is(&self, name: &str, value: &str) -> bool {
        self.name == name && self.value == value.as_bytes() && !self.cut
    }
}

/// The head of an entry, and where its fields are.
pub(super) struct Entry {
    /// Microseconds since the epoch.
    pub(super) realtime: u64,
    /// Microseconds since the host started.
    pub(super) monotonic: u64,
    /// The boot it was written in.
    pub(super) boot: [u8; 16],
    fields: Vec<u64>,
}

/// Where the entries of a list are, in the order they were written: one on its own, then arrays.
#[derive(Default)]
pub(super) struct List {
    first: Option<u64>,
    arrays: Vec<(u64, u64)>,
    count: u64,
}

impl JournalFile {
    /// Reads the header. No more than `budget` bytes of the file are ever read.
    pub(super) fn open(file: File, size: u64, budget: u64) -> Result<Self, Stop> {
        let mut pages = Pages { file, size, budget, kept: HashMap::new() };
        let header = pages.bytes(0, 208)?;
        let flags = u32_at(&header, 12)?;
        let known = PACKED_XZ | PACKED_LZ4 | KEYED_HASH | PACKED_ZSTD | COMPACT;
        if header.get(..8) != Some(b"LPKSHHRH".as_slice()) || flags & !known != 0 {
            return Err(Stop::Damaged);
        }
        let id: [u8; 16] = header.get(24..40).and_then(|id| id.try_into().ok()).ok_or(Stop::Damaged)?;
        Ok(Self {
            pages,
            compact: flags & COMPACT != 0,
            field_table: (u64_at(&header, 120)?, u64_at(&header, 128)?),
            data_table: (u64_at(&header, 104)?, u64_at(&header, 112)?),
            key: Some(SipHasher::new_with_key(&id)).filter(|_| flags & KEYED_HASH != 0),
            newest: u64_at(&header, 192)?,
            oldest: u64_at(&header, 184)?,
            entries: u64_at(&header, 152)?,
            entry_array: u64_at(&header, 176)?,
            known: HashMap::new(),
            work: WORK,
        })
    }

    /// Every entry.
    pub(super) fn all(&mut self) -> Result<List, Stop> {
        let mut list = List { count: self.entries, ..List::default() };
        self.arrays(self.entry_array, &mut list)?;
        Ok(list)
    }

    /// The entries that have the field `name` with just this value.
    pub(super) fn exactly(&mut self, name: &str, value: &str) -> Result<Vec<List>, Stop> {
        let Some(key) = &self.key else { return self.with(name, |found| found == value.as_bytes()) };
        let hash = key.hash(format!("{name}={value}").as_bytes());
        let (table, bytes) = self.data_table;
        let Some(bucket) = hash.checked_rem(bytes.checked_div(16).unwrap_or(0)) else { return Ok(Vec::new()) };
        let place = bucket.checked_mul(16).and_then(|skip| table.checked_add(skip)).ok_or(Stop::Damaged)?;
        let mut at = u64_at(&self.pages.bytes(place, 8)?, 0)?;
        while at > 0 {
            let head = self.object(at, DATA, 64)?;
            if u64_at(&head, 16)? == hash && self.data(at)?.is_some_and(|field| field.is(name, value)) {
                return Ok(vec![self.list(&head)?]);
            }
            at = u64_at(&head, 24)?;
        }
        Ok(Vec::new())
    }

    /// The entries that have the field `name` with a value that `wanted` takes, a list a value.
    pub(super) fn with(&mut self, name: &str, wanted: impl Fn(&[u8]) -> bool) -> Result<Vec<List>, Stop> {
        let Some(mut at) = self.field(name)? else { return Ok(Vec::new()) };
        let mut found = Vec::new();
        while at > 0 {
            let head = self.object(at, DATA, 64)?;
            if self.data(at)?.is_some_and(|field| field.name == name && wanted(&field.value)) {
                found.push(self.list(&head)?);
            }
            at = u64_at(&head, 32)?;
        }
        Ok(found)
    }

    /// The place of the `number`th entry of a list; `None` past its end.
    pub(super) fn at(&mut self, list: &List, number: u64) -> Result<Option<u64>, Stop> {
        let mut number = number;
        if let Some(first) = list.first {
            if number == 0 {
                return Ok(Some(first));
            }
            number = number.saturating_sub(1);
        }
        for (array, count) in &list.arrays {
            if number < *count {
                let width = if self.compact { 4 } else { 8 };
                let place = number.checked_mul(width).and_then(|skip| array.checked_add(24)?.checked_add(skip));
                let bytes = self.pages.bytes(place.ok_or(Stop::Damaged)?, width)?;
                let at = if self.compact { u64::from(u32_at(&bytes, 0)?) } else { u64_at(&bytes, 0)? };
                return Ok((at > 0).then_some(at));
            }
            number = number.saturating_sub(*count);
        }
        Ok(None)
    }

    /// The entry at a place.
    pub(super) fn entry(&mut self, at: u64) -> Result<Entry, Stop> {
        let head = self.object(at, ENTRY, 64)?;
        let size = u64_at(&head, 8)?;
        let width = if self.compact { 4 } else { 16 };
        let count = size.saturating_sub(64).checked_div(width).unwrap_or(0).min(FIELDS);
        let items = self.pages.bytes(at.saturating_add(64), count.saturating_mul(width))?;
        let mut fields = Vec::new();
        for item in items.chunks_exact(usize::try_from(width).unwrap_or(16)) {
            fields.push(if self.compact { u64::from(u32_at(item, 0)?) } else { u64_at(item, 0)? });
        }
        let boot = head.get(40..56).and_then(|id| id.try_into().ok()).ok_or(Stop::Damaged)?;
        Ok(Entry { realtime: u64_at(&head, 24)?, monotonic: u64_at(&head, 32)?, boot, fields })
    }

    /// The fields of an entry that can be read: a packing that is not understood leaves one out.
    pub(super) fn fields(&mut self, entry: &Entry) -> Result<Vec<Field>, Stop> {
        let mut found = Vec::new();
        for at in &entry.fields {
            if let Some(known) = self.known.get(at) {
                found.extend(known.clone());
                continue;
            }
            let field = self.data(*at)?;
            // What is said again and again is short; a message is not kept.
            let short = field.as_ref().is_none_or(|field| field.value.len() <= 256);
            if short && self.known.len() < 8192 && budget::room() > self.pages.budget.saturating_add(SPARE) {
                let bytes = field.as_ref().map_or(0, |field| field.name.len().saturating_add(field.value.len()));
                budget::hold(bytes.saturating_add(size_of::<(u64, Option<Field>)>())).map_err(|_| Stop::Enough)?;
                self.known.insert(*at, field.clone());
            }
            found.extend(field);
        }
        Ok(found)
    }

    /// The entries that have a value, by the head of its object.
    fn list(&mut self, head: &[u8]) -> Result<List, Stop> {
        let first = u64_at(head, 40)?;
        let mut list = List { first: (first > 0).then_some(first), count: u64_at(head, 56)?, ..List::default() };
        self.arrays(u64_at(head, 48)?, &mut list)?;
        Ok(list)
    }

    /// Follows a chain of arrays, which always leads forward in a sound file.
    fn arrays(&mut self, start: u64, list: &mut List) -> Result<(), Stop> {
        let width = if self.compact { 4 } else { 8 };
        let (mut at, mut before) = (start, 0);
        while at > 0 {
            if at <= before {
                return Err(Stop::Damaged);
            }
            let head = self.object(at, ENTRY_ARRAY, 24)?;
            let count = u64_at(&head, 8)?.saturating_sub(24).checked_div(width).unwrap_or(0);
            list.arrays.push((at, count));
            before = at;
            at = u64_at(&head, 16)?;
        }
        Ok(())
    }

    /// The first value of a field of this name.
    fn field(&mut self, name: &str) -> Result<Option<u64>, Stop> {
        let (table, bytes) = self.field_table;
        // The table is the payload of an object whose head lies before it.
        if self.pages.bytes(table.checked_sub(16).ok_or(Stop::Damaged)?, 1)?.first() != Some(&FIELD_HASH_TABLE) {
            return Err(Stop::Damaged);
        }
        for bucket in 0..bytes.checked_div(16).unwrap_or(0) {
            let place = bucket.checked_mul(16).and_then(|skip| table.checked_add(skip)).ok_or(Stop::Damaged)?;
            let mut at = u64_at(&self.pages.bytes(place, 8)?, 0)?;
            while at > 0 {
                let head = self.object(at, FIELD, 40)?;
                let length = u64_at(&head, 8)?.saturating_sub(40);
                if length == u64::try_from(name.len()).unwrap_or(u64::MAX)
                    && self.pages.bytes(at.saturating_add(40), length)? == name.as_bytes()
                {
                    return Ok(Some(u64_at(&head, 32)?));
                }
                at = u64_at(&head, 24)?;
            }
        }
        Ok(None)
    }

    fn spend(&mut self, objects: usize) -> Result<(), Stop> {
        self.work = self.work.checked_sub(objects).ok_or(Stop::Enough)?;
        Ok(())
    }

    /// The head of an object that must be of this kind and at least so long.
    fn object(&mut self, at: u64, kind: u8, least: u64) -> Result<Vec<u8>, Stop> {
        self.spend(1)?;
        let head = self.pages.bytes(at, least)?;
        let sound = at.checked_rem(8) == Some(0) && head.first() == Some(&kind) && u64_at(&head, 8)? >= least;
        if sound { Ok(head) } else { Err(Stop::Damaged) }
    }

    /// A field and its value; `None` when its packing is not understood.
    fn data(&mut self, at: u64) -> Result<Option<Field>, Stop> {
        let start = if self.compact { 72 } else { 64 };
        let head = self.object(at, DATA, start)?;
        let length = u64_at(&head, 8)?.saturating_sub(start);
        let whole = usize::try_from(length).unwrap_or(usize::MAX);
        let take = whole.min(FIELD_BYTES);
        let bytes = self.pages.bytes(at.saturating_add(start), u64::try_from(take).unwrap_or(0))?;
        let (payload, cut) = match head.get(1).copied().unwrap_or(0) & 7 {
            0 => (bytes, take < whole),
            2 => match unpack_lz4(&bytes) {
                Some(unpacked) => (unpacked, false),
                None => return Ok(None),
            },
            4 => match unpack_zstd(&bytes) {
                Some(unpacked) => unpacked,
                None => return Ok(None),
            },
            _ => return Ok(None),
        };
        self.spend(payload.len().checked_div(UNPACKED).unwrap_or(0))?;
        let Some(equals) = payload.iter().position(|byte| *byte == b'=') else { return Ok(None) };
        let (name, value) = payload.split_at(equals);
        let value = value.get(1..).unwrap_or_default().to_vec();
        Ok(Some(Field { name: String::from_utf8_lossy(name).into_owned(), value, cut }))
    }
}

impl List {
    /// How many entries it can have at most; what lies past the last one is empty.
    pub(super) fn count(&self) -> u64 {
        let room =
            self.arrays.iter().fold(u64::from(self.first.is_some()), |sum, (_, count)| sum.saturating_add(*count));
        self.count.min(room)
    }
}

fn u64_at(bytes: &[u8], at: usize) -> Result<u64, Stop> {
    let found = bytes.get(at..).and_then(|rest| rest.first_chunk::<8>());
    found.map(|bytes| u64::from_le_bytes(*bytes)).ok_or(Stop::Damaged)
}

fn u32_at(bytes: &[u8], at: usize) -> Result<u32, Stop> {
    let found = bytes.get(at..).and_then(|rest| rest.first_chunk::<4>());
    found.map(|bytes| u32::from_le_bytes(*bytes)).ok_or(Stop::Damaged)
}

#[cfg(test)]
mod tests;
