//! Journals of real systems, damaged ones, and what a reader must never believe of either.

use std::io::Write as _;

use proptest::prelude::*;

use super::*;

fn fixture() -> Vec<u8> {
    let path = "tests/fixtures/host/debian-vm/var/log/journal/1d2e3f405162738495a6b7c8d9eafb0c/system.journal";
    std::fs::read(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

fn opened(bytes: &[u8], budget: u64) -> Result<JournalFile, Stop> {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    JournalFile::open(file, u64::try_from(bytes.len()).unwrap(), budget)
}

/// Reads all that can be read, by every way there is.
fn read_all(bytes: &[u8], budget: u64) -> Result<usize, Stop> {
    let mut file = opened(bytes, budget)?;
    let mut lists = vec![file.all()?];
    for name in ["_SYSTEMD_UNIT", "PRIORITY", "_BOOT_ID"] {
        lists.extend(file.with(name, |_| true)?);
    }
    lists.extend(file.exactly("PRIORITY", "6")?);
    let mut found = 0;
    for list in lists {
        for number in (0..list.count()).rev().take(5000) {
            if let Some(at) = file.at(&list, number)? {
                let entry = file.entry(at)?;
                found = file.fields(&entry)?.len().saturating_add(found);
            }
        }
    }
    Ok(found)
}

#[test]
fn every_way_leads_to_the_entries() {
    assert!(read_all(&fixture(), 1 << 20).unwrap() > 200);
    let mut file = opened(&fixture(), 1 << 20).unwrap();
    let lists = file.with("_SYSTEMD_UNIT", |unit| unit == b"nginx.service").unwrap();
    assert_eq!(lists.iter().map(List::count).collect::<Vec<_>>(), [3]);
    let lists = file.exactly("_SYSTEMD_UNIT", "nginx.service").unwrap();
    assert_eq!(lists.iter().map(List::count).collect::<Vec<_>>(), [3], "by the hash");
    file.key = None;
    let lists = file.exactly("_SYSTEMD_UNIT", "nginx.service").unwrap();
    assert_eq!(lists.iter().map(List::count).collect::<Vec<_>>(), [3], "and without");
    assert!(file.with("NO_SUCH_FIELD", |_| true).unwrap().is_empty());
}

#[test]
fn no_more_is_read_than_the_budget_and_no_more_than_there_is() {
    assert_eq!(read_all(&fixture(), 8192).unwrap_err(), Stop::Enough);
    assert_eq!(opened(&fixture(), 100).err(), Some(Stop::Enough));
    let whole = fixture();
    assert_eq!(read_all(&whole[..whole.len() / 2], 1 << 20).unwrap_err(), Stop::Damaged);
    assert_eq!(opened(b"LPKSHHRH", 1 << 20).err(), Some(Stop::Damaged));
    assert_eq!(opened(&[0; 4096], 1 << 20).err(), Some(Stop::Damaged));
}

#[test]
fn a_chain_that_leads_back_ends() {
    // Every object is an array that names itself as the next one, or a field with itself as neighbour.
    let mut bytes = fixture();
    let arrays = u64_at(&bytes, 176).unwrap();
    let at = usize::try_from(arrays).unwrap() + 16;
    bytes[at..at + 8].copy_from_slice(&arrays.to_le_bytes());
    assert_eq!(opened(&bytes, 1 << 20).unwrap().all().err(), Some(Stop::Damaged));
    let mut bytes = fixture();
    let mut file = opened(&bytes, 1 << 20).unwrap();
    let data = file.field("_SYSTEMD_UNIT").unwrap().unwrap();
    let at = usize::try_from(data).unwrap() + 32;
    bytes[at..at + 8].copy_from_slice(&data.to_le_bytes());
    assert!(opened(&bytes, 1 << 20).unwrap().with("_SYSTEMD_UNIT", |_| false).is_err());
}

#[test]
fn older_packings_are_undone_and_none_grows_without_end() {
    // A block of literals alone: the token has their number.
    let mut packed = 6_u64.to_le_bytes().to_vec();
    packed.extend(b"\x60A=text");
    assert_eq!(unpack_lz4(&packed), Some(b"A=text".to_vec()));
    let mut bomb = u64::MAX.to_le_bytes().to_vec();
    bomb.extend([0xff; 64]);
    assert_eq!((unpack_lz4(&bomb), unpack_lz4(b"short")), (None, None));
    assert_eq!(unpack_zstd(b"no frame"), None);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_damage_is_a_panic(
        damage in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..40),
        length in any::<proptest::sample::Index>(),
    ) {
        let mut bytes = fixture();
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let _ = read_all(&bytes, 1 << 20);
        let _ = read_all(&bytes[..length.index(bytes.len())], 1 << 20);
    }
}
