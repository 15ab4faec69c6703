//! Sensitive queries: off by default, then the allow-list, and the deny-list wins. A scope is needed besides.

use std::collections::HashSet;

use async_trait::async_trait;

use super::settings::SensitiveSection;
use super::{Decision, DecisionPoint, Request};
use crate::call::ToolSpec;
use crate::error::{Code, Failure};

/// Queries that are sensitive whatever they declare: environments, credentials, who may do what on the host.
pub const SENSITIVE: [&str; 7] = [
    "get_auth_logs",
    "get_env_vars",
    "get_event_log",
    "get_open_files",
    "get_ssh_config",
    "get_sudo_config",
    "get_user_accounts",
];

/// Which sensitive queries the configuration opens.
#[derive(Clone, Default, Debug)]
pub struct SensitiveList {
    allowed: HashSet<String>,
}

impl SensitiveList {
    /// From the configuration.
    #[must_use]
    pub fn new(section: &SensitiveSection) -> Self {
        let mut allowed = HashSet::new();
        if section.enabled {
            allowed.extend(section.allow.iter().filter(|tool| !section.deny.contains(tool)).cloned());
        }
        Self { allowed }
    }

    /// Whether the tool is harmless or opened by name.
    #[must_use]
    pub fn opens(&self, spec: &ToolSpec) -> bool {
        let sensitive = spec.sensitive || SENSITIVE.contains(&&*spec.name);
        !sensitive || self.allowed.contains(&*spec.name)
    }
}

#[async_trait]
impl DecisionPoint for SensitiveList {
    async fn decide(&self, request: &Request<'_>) -> Result<Decision, Failure> {
        Ok(if self.opens(request.spec) {
            Decision::Abstain
        } else {
            Decision::Forbid { by: "queries.sensitive".to_owned(), code: Code::SensitiveDisabled }
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use super::*;
    use crate::authn::{Authentication, Caller, Local, Presented, Scheme as _};
    use crate::call::{ArgumentSchema, Impact, Resource};
    use crate::clock::Timestamp;
    use crate::identity::{PeerIdentity, Scope, Scopes};
    use crate::policy::{Context, Policy, ScopeMap};

    const CONTEXT: Context = Context { first_contact: false };

    #[derive(schemars::JsonSchema)]
    struct Nothing {}

    fn spec(name: &'static str, sensitive: bool) -> ToolSpec {
        ToolSpec { sensitive, ..ToolSpec::query::<Nothing, Nothing>(name, "", "", Impact::Low) }
    }

    fn section(enabled: bool, allow: &[&str], deny: &[&str]) -> SensitiveSection {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        SensitiveSection { enabled, allow: owned(allow), deny: owned(deny) }
    }

    fn scopes(text: &str) -> Scopes {
        text.split_whitespace().filter_map(Scope::parse).collect()
    }

    fn policy(section: &SensitiveSection) -> Policy {
        let opened = ["get_files".to_owned(), "get_uptime".to_owned()].to_vec();
        let map = ScopeMap::new(&BTreeMap::from([("files".to_owned(), opened)]));
        Policy::new(map, SensitiveList::new(section), Vec::new())
    }

    async fn caller(scopes: Scopes) -> Caller {
        let peer = Arc::new(PeerIdentity::Stdio { uid: 1 });
        let now = Timestamp::from_seconds(0);
        match Local::new(scopes).authenticate(&peer, &Presented::Nothing, now).await {
            Authentication::Authenticated(caller) => caller,
            other => panic!("{other:?}"),
        }
    }

    /// What the section says about `get_files`, as a sensitive query.
    fn opens(enabled: bool, allow: &[&str], deny: &[&str]) -> bool {
        SensitiveList::new(&section(enabled, allow, deny)).opens(&spec("get_files", true))
    }

    #[test]
    fn a_sensitive_query_is_opened_by_its_name_alone_and_the_deny_list_wins() {
        assert!(opens(true, &["get_files"], &[]));
        assert!(opens(true, &["get_files"], &["get_file", "Get_Files"]));
        assert!(!SensitiveList::default().opens(&spec("get_files", true)));
        assert!(!opens(false, &["get_files"], &[]));
        assert!(!opens(true, &[], &[]));
        assert!(!opens(true, &["get_file", "GET_FILES", "get_*", "*"], &[]));
        assert!(!opens(true, &["get_files"], &["get_files"]));
        assert!(!opens(true, &["get_files", "get_files"], &["get_files"]));
    }

    #[test]
    fn a_query_that_is_known_to_be_sensitive_is_so_even_if_it_does_not_say_it() {
        for name in SENSITIVE {
            assert!(!SensitiveList::default().opens(&spec(name, false)), "{name}");
            assert!(SensitiveList::new(&section(true, &[name], &[])).opens(&spec(name, false)), "{name}");
        }
    }

    #[test]
    fn a_harmless_query_is_not_on_the_list() {
        for section in [section(false, &[], &[]), section(true, &[], &["get_uptime"])] {
            assert!(SensitiveList::new(&section).opens(&spec("get_uptime", false)));
        }
    }

    #[test]
    fn without_the_scope_or_without_the_list_the_query_is_hidden() {
        let (files, uptime) = (spec("get_files", true), spec("get_uptime", false));
        let (open, shut) = (policy(&section(true, &["get_files"], &[])), policy(&SensitiveSection::default()));
        let why = |policy: &Policy, spec: &ToolSpec, words: &str| {
            policy.visibility(spec, &scopes(words)).map_err(|failure| failure.code())
        };
        assert_eq!(why(&open, &files, "files"), Ok(()));
        assert_eq!(why(&open, &files, "other"), Err(Code::InsufficientScope));
        assert_eq!(why(&shut, &files, "files"), Err(Code::SensitiveDisabled));
        assert_eq!(why(&shut, &uptime, "files"), Ok(()));
        assert!(open.shows(&files, &scopes("files")) && !shut.shows(&files, &scopes("files")));
    }

    #[tokio::test]
    async fn the_list_forbids_and_never_permits() {
        let caller = caller(scopes("files")).await;
        let resource = Resource::this_host();
        let decide = async |section: &SensitiveSection, spec: &ToolSpec| {
            let arguments = ArgumentSchema::of(spec).parse(serde_json::Map::new()).unwrap();
            let request = Request {
                caller: &caller,
                action: &spec.name,
                resource: &resource,
                arguments: &arguments,
                spec,
                context: CONTEXT,
            };
            SensitiveList::new(section).decide(&request).await.unwrap()
        };
        let files = spec("get_files", true);
        let forbidden = Decision::Forbid { by: "queries.sensitive".to_owned(), code: Code::SensitiveDisabled };
        assert_eq!(decide(&SensitiveSection::default(), &files).await, forbidden);
        assert_eq!(decide(&section(true, &["get_files"], &["get_files"]), &files).await, forbidden);
        assert_eq!(decide(&section(true, &["get_files"], &[]), &files).await, Decision::Abstain);
        assert_eq!(decide(&SensitiveSection::default(), &spec("get_uptime", false)).await, Decision::Abstain);
    }
}
