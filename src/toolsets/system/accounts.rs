//! passwd(5), group(5) and shadow(5). Of a password only its state is taken: the hash never leaves the line it stands in.

use std::collections::HashMap;

use schemars::JsonSchema;
use serde::Serialize;

use super::quantity::moment;

/// An account in passwd(5).
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Account {
    pub(super) name: String,
    pub(super) uid: u32,
    pub(super) gid: u32,
    /// The full name and what else people write there.
    pub(super) comment: String,
    pub(super) home: String,
    pub(super) shell: String,
    /// What passwd itself says of the password; as a rule that it is in shadow.
    pub(super) password: Option<PasswordStatus>,
}

/// A group in group(5).
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Group {
    pub(super) name: String,
    pub(super) gid: u32,
    /// Those who are in it besides the accounts that have it for their own.
    pub(super) members: Vec<String>,
}

/// Whether somebody can log in with a password.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum PasswordStatus {
    /// There is one.
    Set,
    /// None is asked for.
    Empty,
    /// None fits. Other ways to log in may be open.
    Locked,
}

impl PasswordStatus {
    fn of(field: &str) -> Self {
        match field {
            "" => Self::Empty,
            // What no hash begins with.
            _ if field.starts_with(['!', '*']) || field == "x" => Self::Locked,
            _ => Self::Set,
        }
    }
}

/// What shadow(5) says of an account.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Aging {
    pub(super) password: PasswordStatus,
    /// Days since 1970.
    pub(super) changed: Option<u64>,
    /// Days a password is good.
    pub(super) longest: Option<u64>,
    /// Days since 1970 when the account ends.
    pub(super) ends: Option<u64>,
}

/// More than any file has that a person could look through.
pub(super) const ACCOUNTS: usize = 100_000;

/// The accounts, and how many lines are none.
pub(super) fn accounts(text: &str) -> (Vec<Account>, usize) {
    entries(text, |fields| match fields {
        [name, password, uid, gid, comment, home, shell] => Some(Account {
            name: (*name).to_owned(),
            uid: uid.parse().ok()?,
            gid: gid.parse().ok()?,
            comment: comment.trim_end_matches(',').to_owned(),
            home: (*home).to_owned(),
            shell: (*shell).to_owned(),
            password: (*password != "x").then(|| PasswordStatus::of(password)),
        }),
        _ => None,
    })
}

/// The groups, and how many lines are none.
pub(super) fn groups(text: &str) -> (Vec<Group>, usize) {
    entries(text, |fields| match fields {
        [name, _, gid, members] => Some(Group {
            name: (*name).to_owned(),
            gid: gid.parse().ok()?,
            members: members.split(',').filter(|member| !member.is_empty()).map(str::to_owned).collect(),
        }),
        _ => None,
    })
}

/// What shadow says, by name.
pub(super) fn aging(text: &str) -> HashMap<String, Aging> {
    let of = |fields: &[&str]| match fields {
        [name, password, changed, _, longest, _, _, ends, _] => Some((
            (*name).to_owned(),
            Aging {
                password: PasswordStatus::of(password),
                changed: changed.parse().ok(),
                longest: longest.parse().ok(),
                ends: ends.parse().ok(),
            },
        )),
        _ => None,
    };
    entries(text, of).0.into_iter().collect()
}

fn entries<T>(text: &str, parse: impl Fn(&[&str]) -> Option<T>) -> (Vec<T>, usize) {
    let (mut found, mut wrong) = (Vec::new(), 0_usize);
    for line in text.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#')) {
        let fields: Vec<&str> = line.split(':').collect();
        match parse(&fields).filter(|_| found.len() < ACCOUNTS && fields.first().is_some_and(|name| !name.is_empty())) {
            Some(entry) => found.push(entry),
            None => wrong = wrong.saturating_add(1),
        }
    }
    (found, wrong)
}

/// A day since 1970 as a date.
pub(super) fn date(days: u64) -> Option<String> {
    moment(days.checked_mul(86_400_000)?)?.split('T').next().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_hash_is_never_kept() {
        let text =
            "root:$y$j9T$abc$def:19700:0:99999:7:::\nbob:!$6$x$y:0:0:30:7::20000:\ndaemon:*:1:0:::::\nnone::1:0:::::\n";
        let aging = aging(text);
        assert_eq!(aging["root"].password, PasswordStatus::Set);
        assert_eq!(
            (aging["bob"].password, aging["bob"].changed, aging["bob"].ends),
            (PasswordStatus::Locked, Some(0), Some(20_000))
        );
        assert_eq!((aging["daemon"].password, aging["none"].password), (PasswordStatus::Locked, PasswordStatus::Empty));
        assert!(!format!("{aging:?}").contains("abc"));
        let (accounts, _) = accounts("old:$1$abcdefgh$ijk:5:5::/:/bin/sh\nnew:x:6:6::/:/bin/sh\n");
        assert_eq!((accounts[0].password, accounts[1].password), (Some(PasswordStatus::Set), None));
        assert!(!format!("{accounts:?}").contains("ijk"));
    }

    #[test]
    fn lines_of_another_kind_are_counted() {
        let (accounts, wrong) =
            accounts("# who\n\nroot:x:0:0:root:/root:/bin/bash\n+@staff::::::\nshort:x:1\n:x:1:1::/:/\n");
        assert_eq!((accounts.len(), wrong), (1, 3));
        let (groups, wrong) = groups("sudo:x:27:alice,bob\nusers:x:100:\n+:::\n");
        assert_eq!((groups[0].members.len(), groups[1].members.len(), wrong), (2, 0, 1));
        assert_eq!((date(19_700).as_deref(), date(u64::MAX)), (Some("2023-12-09"), None));
    }

    proptest! {
        #[test]
        fn no_text_is_a_panic(text in "\\PC*|([a-z]{0,3}:[x!*$]?:[0-9]{0,20}:{0,7}\n){0,5}", days in any::<u64>()) {
            let _ = (accounts(&text), groups(&text), aging(&text), date(days));
        }
    }
}
