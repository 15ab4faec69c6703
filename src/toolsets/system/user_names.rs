//! `/etc/passwd`: the names of users by id.

use std::collections::HashMap;

use super::Host;

/// Names by user id.
pub(super) type Users = HashMap<u32, String>;

/// The names by user id; of two names for one id the first counts, as for getpwuid(3).
pub(super) fn by_id(host: &Host) -> Users {
    host.find("etc/passwd").map(|text| parse(&text)).unwrap_or_default()
}

pub(super) fn parse(passwd: &str) -> Users {
    let mut users = HashMap::new();
    for line in passwd.lines() {
        let mut fields = line.split(':');
        let (name, uid) = (fields.next(), fields.nth(1).and_then(|uid| uid.parse().ok()));
        if let (Some(name), Some(uid)) = (name, uid) {
            users.entry(uid).or_insert_with(|| name.to_owned());
        }
    }
    users
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn of_two_names_for_one_id_the_first_counts() {
        let users = parse("root:x:0:0::/root:/bin/sh\ntoor:x:0:0::/root:/bin/sh\nbroken\na:x:1000:\n");
        assert_eq!(
            (users.get(&0).unwrap().as_str(), users.get(&1000).unwrap().as_str(), users.len()),
            ("root", "a", 2)
        );
    }

    proptest! {
        #[test]
        fn no_text_is_a_panic(text in "\\PC*|([a-z:]{0,6}:x:[0-9]{0,12}:\n){0,4}") {
            let _ = parse(&text);
        }
    }
}
