//! `get_user_accounts`: who has an account on the host. Sensitive: names of people. Of passwords only their state is told.

use std::collections::{BTreeSet, HashMap};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::accounts::{self, Account, Aging, Group, PasswordStatus, date};
use super::extent::Extent;
use super::listing::{self, USUAL};
use super::query::{Ask, HostQuery};
use crate::call::{Impact, ToolSpec};
use crate::error::{Code, Failure};
use crate::guard::LimitsSection;

/// The first uid of people where the host does not say another.
const FIRST_UID: u32 = 1000;

pub(super) struct Query;

/// What to list.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Args {
    /// Only accounts and groups with this in their name, in capitals or not.
    #[schemars(length(min = 1, max = 128))]
    name: Option<String>,
    /// Only accounts that can log in: with a shell that is one.
    login: bool,
    /// Accounts to pass over, for going on where the last answer ended.
    offset: usize,
    /// Most accounts, and most groups, to list.
    limit: usize,
}

impl Default for Args {
    fn default() -> Self {
        Self { name: None, login: false, offset: 0, limit: USUAL }
    }
}

/// Accounts and groups.
#[derive(Serialize, JsonSchema)]
pub(super) struct Answer {
    /// How many of the accounts in passwd(5) are listed; those of directory services are not there.
    #[serde(flatten)]
    extent: Extent,
    /// Whether the daemon may read shadow(5). Without it states and dates of passwords are not known.
    shadow_readable: bool,
    /// Number of lines of passwd(5) and group(5) that name no account or group, such as those of NIS.
    other_lines: usize,
    /// The accounts in the order of the file.
    accounts: Vec<User>,
    /// Number of groups that fit the filter.
    matching_groups: usize,
    /// The groups in the order of the file; `offset` does not hold for them.
    groups: Vec<GroupRow>,
}

/// One account.
#[derive(Serialize, JsonSchema)]
struct User {
    /// Its name.
    name: String,
    /// Its number; 0 is root, whatever the name.
    uid: u32,
    /// The number of its own group.
    gid: u32,
    /// The name of its own group.
    #[serde(skip_serializing_if = "Option::is_none")]
    group: Option<String>,
    /// The other groups that it is in.
    groups: BTreeSet<String>,
    /// Full name and the like.
    comment: String,
    /// Home directory.
    home: String,
    /// What it runs on login.
    shell: String,
    /// Whether that is a shell, and not a program that refuses.
    login: bool,
    /// Whether it is of the system rather than of a person, by its number.
    system: bool,
    /// Whether somebody can log in with a password, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    password_status: Option<PasswordStatus>,
    /// When the password was changed: a date, UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    password_changed: Option<String>,
    /// When the password runs out: a date, UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    password_expires: Option<String>,
    /// Whether the password must be changed at the next login.
    #[serde(skip_serializing_if = "Option::is_none")]
    password_must_change: Option<bool>,
    /// When the account ends: a date, UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    account_expires: Option<String>,
}

/// One group.
#[derive(Serialize, JsonSchema)]
struct GroupRow {
    /// Its name.
    name: String,
    /// Its number.
    gid: u32,
    /// Who is in it, besides the accounts that have it for their own.
    members: Vec<String>,
}

impl HostQuery for Query {
    type Args = Args;
    type Answer = Answer;

    fn spec() -> ToolSpec {
        let spec = ToolSpec::query::<Args, Answer>(
            "get_user_accounts",
            "User accounts",
            "Local accounts and groups with shell, home, memberships, and whether a password is set, locked, empty or about to \
             run out; never a hash.",
            Impact::Low,
        );
        ToolSpec { sensitive: true, ..spec }.better_with("CAP_DAC_READ_SEARCH").reading([
            "/etc/group",
            "/etc/login.defs",
            "/etc/passwd",
            "/etc/shadow",
            "/etc/shells",
        ])
    }

    fn narrow(spec: &mut ToolSpec, limits: &LimitsSection) {
        listing::bound(spec, limits, Some(USUAL));
    }

    fn answer(ask: &Ask<'_>, args: Args) -> Result<Answer, Failure> {
        let (users, wrong_users) = accounts::accounts(&ask.host.read("etc/passwd")?);
        if users.is_empty() {
            return Err(Failure::new(Code::ToolFailed, "etc/passwd of this host names no account"));
        }
        let (mut groups, wrong_groups) = accounts::groups(&ask.host.find("etc/group").unwrap_or_default());
        ask.go_on()?;
        let shadow = ask.host.find("etc/shadow").map(|text| accounts::aging(&text));
        let around = Surroundings::of(&groups, first_uid(ask));
        let total = users.len();
        let name = args.name.map(|name| name.to_lowercase());
        let fitting: Vec<Account> = users
            .into_iter()
            .filter(|user| listing::holds(&user.name, name.as_deref()) && (!args.login || is_shell(&user.shell)))
            .collect();
        groups.retain(|group| listing::holds(&group.name, name.as_deref()));
        let matching_groups = groups.len();
        let (shown, extent) = listing::part(fitting, total, (args.offset, args.limit), ask.limits);
        let (groups, _) = listing::part(groups, matching_groups, (0, args.limit), ask.limits);
        let accounts = shown.into_iter().map(|user| {
            let aging = shadow.as_ref().and_then(|shadow| shadow.get(&user.name));
            around.describe(user, aging)
        });
        Ok(Answer {
            extent: extent.narrow("go on with offset, raise limit, or narrow with name or login"),
            shadow_readable: shadow.is_some(),
            other_lines: wrong_users.saturating_add(wrong_groups),
            accounts: accounts.collect(),
            matching_groups,
            groups: groups.into_iter().map(GroupRow::from).collect(),
        })
    }
}

impl From<Group> for GroupRow {
    fn from(group: Group) -> Self {
        Self { name: group.name, gid: group.gid, members: group.members }
    }
}

/// What login.defs(5) says, or what is usual.
fn first_uid(ask: &Ask<'_>) -> u32 {
    let text = ask.host.find("etc/login.defs").unwrap_or_default();
    let said = text.lines().find_map(|line| line.strip_prefix("UID_MIN")?.trim().parse().ok());
    said.unwrap_or(FIRST_UID)
}

/// An empty field stands for `/bin/sh`.
fn is_shell(program: &str) -> bool {
    !matches!(
        program.rsplit('/').next().unwrap_or_default(),
        "nologin" | "false" | "true" | "sync" | "halt" | "shutdown"
    )
}

/// What is needed to say of an account what passwd does not.
struct Surroundings {
    names: HashMap<u32, String>,
    memberships: HashMap<String, BTreeSet<String>>,
    first_uid: u32,
}

impl Surroundings {
    fn of(groups: &[Group], first_uid: u32) -> Self {
        let (mut names, mut memberships) = (HashMap::new(), HashMap::<String, BTreeSet<String>>::new());
        for group in groups {
            names.entry(group.gid).or_insert_with(|| group.name.clone());
            for member in &group.members {
                memberships.entry(member.clone()).or_default().insert(group.name.clone());
            }
        }
        Self { names, memberships, first_uid }
    }

    fn describe(&self, user: Account, aging: Option<&Aging>) -> User {
        let changed = aging.and_then(|aging| aging.changed);
        // The largest number that is usual stands for never.
        let longest = aging.and_then(|aging| aging.longest).filter(|days| *days < 99_999);
        let expires = changed.filter(|day| *day > 0).and_then(|day| date(day.checked_add(longest?)?));
        User {
            group: self.names.get(&user.gid).cloned(),
            groups: self.memberships.get(&user.name).cloned().unwrap_or_default(),
            login: is_shell(&user.shell),
            system: user.uid < self.first_uid || user.uid == 65_534,
            password_status: user.password.or(aging.map(|aging| aging.password)),
            password_changed: changed.filter(|day| *day > 0).and_then(date),
            password_expires: expires,
            password_must_change: changed.map(|day| day == 0),
            account_expires: aging.and_then(|aging| date(aging.ends?)),
            name: user.name,
            uid: user.uid,
            gid: user.gid,
            comment: user.comment,
            home: user.home,
            shell: user.shell,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::Host;
    use super::super::query::ask;
    use super::*;

    fn listed(arguments: Value) -> Value {
        ask::<Query>(&Host::fixture("debian-vm"), arguments).unwrap()
    }

    fn names(list: &Value) -> Vec<&str> {
        list.as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect()
    }

    #[test]
    fn an_account_is_shown_with_the_state_of_its_password_and_never_the_hash() {
        let answer = listed(json!({"name": "alice"}));
        assert_eq!(
            answer["accounts"],
            json!([{
                "name": "alice", "uid": 1001, "gid": 1001, "group": "alice", "groups": ["docker", "sudo"],
                "comment": "Alice Example", "home": "/data/people/alice", "shell": "/bin/bash", "login": true, "system": false,
                "password_status": "set", "password_changed": "2025-09-01", "password_expires": "2025-11-30",
                "password_must_change": false, "account_expires": "2026-01-01",
            }])
        );
        let all = listed(json!({}));
        assert_eq!((&all["total"], &all["shadow_readable"], &all["other_lines"]), (&json!(6), &json!(true), &json!(1)));
        assert_eq!(names(&all["accounts"]), ["root", "daemon", "sshd", "postgres", "alice", "bob"]);
        let states: Vec<&Value> =
            all["accounts"].as_array().unwrap().iter().map(|one| &one["password_status"]).collect();
        assert_eq!(states, ["locked", "locked", "locked", "locked", "set", "empty"]);
        assert!(!all.to_string().contains("$y$") && !all.to_string().contains("saltsalt"));
        assert_eq!(all["accounts"][5]["password_must_change"], true);
    }

    #[test]
    fn the_filter_holds_for_accounts_and_groups() {
        assert_eq!(names(&listed(json!({"login": true}))["accounts"]), ["root", "postgres", "alice", "bob"]);
        let answer = listed(json!({"name": "SUDO"}));
        assert_eq!((names(&answer["groups"]), &answer["matching"]), (vec!["sudo"], &json!(0)));
        assert_eq!(names(&listed(json!({"offset": 4, "limit": 1}))["accounts"]), ["alice"]);
    }

    #[test]
    fn without_shadow_the_state_is_not_known() {
        let answer = ask::<Query>(&Host::fixture("rpi-arm"), json!({})).unwrap();
        assert_eq!((&answer["shadow_readable"], answer["accounts"][0].get("password_status")), (&json!(false), None));
        let failure = ask::<Query>(&Host::folder("/nonexistent"), json!({})).unwrap_err();
        assert_eq!(failure.code(), Code::ToolFailed);
    }
}
