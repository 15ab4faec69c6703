//! Users and groups by name, as /etc/passwd and /etc/group have them. Those of a directory service are given by number.

use std::io::Read as _;
use std::path::Path;

use crate::pki::file;

/// Bytes of such a file that are read.
const MOST: u64 = 16 * 1024 * 1024;

/// The number of the user `name`, which may be a number itself.
///
/// # Errors
/// What is wrong, for the operator.
pub(super) fn user(name: &str) -> Result<u32, String> {
    number(name, Path::new("/etc/passwd"), "user")
}

/// The number of the group `name`, which may be a number itself.
///
/// # Errors
/// What is wrong, for the operator.
pub(super) fn group(name: &str) -> Result<u32, String> {
    number(name, Path::new("/etc/group"), "group")
}

fn number(name: &str, table: &Path, what: &str) -> Result<u32, String> {
    if let Ok(number) = name.parse::<u32>() {
        // The system takes it for "leave as it is".
        return if number == u32::MAX { Err(format!("{number} is no {what}")) } else { Ok(number) };
    }
    let mut text = Vec::new();
    let read = file::open(table).and_then(|file| file.take(MOST).read_to_end(&mut text));
    read.map_err(|error| format!("{} cannot be read: {error}", table.display()))?;
    find(&String::from_utf8_lossy(&text), name)
        .ok_or_else(|| format!("there is no {what} {name:?} in {}", table.display()))
}

/// `name:password:number:…`, which both files have.
fn find(table: &str, name: &str) -> Option<u32> {
    table.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next() == Some(name)).then(|| fields.nth(1)).flatten()?.parse().ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_looked_up_and_a_number_is_itself() {
        let table =
            "root:x:0:0:root:/root:/bin/bash\nbroken\ndoor:x:991:991::/:/bin/false\nodd:x:none:0::/:/bin/false\n";
        assert_eq!((find(table, "root"), find(table, "door")), (Some(0), Some(991)));
        assert_eq!((find(table, "broken"), find(table, "odd"), find(table, "")), (None, None, None));
        assert_eq!((user("0"), group("4711")), (Ok(0), Ok(4711)));
        assert_eq!(user("root"), Ok(0));
        assert!(user("4294967295").is_err() && user("no such user").is_err() && group("").is_err());
    }
}
