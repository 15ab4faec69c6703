//! `budgets`: rules that can hold, about users, tools and scopes that there are. `operator`: where it is to be made.

use super::Check;
use crate::admission::{DEFAULT_RULE, RateRule};
use crate::cluster::MOST_DRAWS;
use crate::config::place::KeyPath;
use crate::config::spelling::nearest;
use crate::identity::SubjectPattern;
use crate::toolsets;
use crate::transport::{TransportKind, socket};

/// Longest name of a rule.
const NAME: usize = 32;

/// Names that refusals are counted by beside those of rules.
const TAKEN: [&str; 6] = [DEFAULT_RULE, "failures", "full", "places", "spread", "strangers"];

impl Check<'_> {
    pub(super) fn budgets(&mut self) {
        let budgets = &self.config.budgets;
        let root = KeyPath::from("budgets.rates");
        let most = MOST_DRAWS.saturating_sub(1);
        if budgets.rates.len() > most {
            self.find_at(
                &root.item(most).key("name"),
                format!("this and the next ones are more than {most} rules"),
                "every call would be held against all",
            );
        }
        for (index, rule) in budgets.rates.iter().enumerate() {
            let path = root.item(index);
            self.name(rule, budgets.rates.get(..index).unwrap_or_default(), &path);
            self.numbers(rule, &path);
            self.whom(rule, &path);
        }
        if let Some(limit) = &self.config.resources.rate_limit {
            let (burst, by_hour) = (Some(limit.burst), Some(limit.requests_per_hour));
            self.saved_up(burst, by_hour, &KeyPath::from("resources.rate_limit.burst"));
        }
        let (failures, places) = (&budgets.failures, &budgets.places);
        if failures.first_wait > failures.longest_wait {
            self.find("budgets.failures.longest_wait", "is less than first_wait", "write the longer time here");
        }
        if places.queue_per_caller > places.queue {
            self.find("budgets.places.queue_per_caller", "is more than queue", "write what one caller may have of it");
        }
        // Every tool of this toolset is about the machine that it runs on.
        if toolsets::NAMES == ["system"] {
            let one = "every tool of this version is about one target, the host it runs on";
            if budgets.spread.targets_per_hour.is_some() {
                self.note_at(&KeyPath::from("budgets.spread.targets_per_hour"), format!("cannot be reached: {one}"));
            }
            if budgets.places.per_target.is_some() {
                self.note_at(
                    &KeyPath::from("budgets.places.per_target"),
                    format!("is a second max_concurrent_queries: {one}"),
                );
            }
        }
        let all = self.config.resources.max_concurrent_queries;
        let kinds = [
            ("per_caller", places.per_caller),
            ("per_tool", places.per_tool),
            ("per_toolset", places.per_toolset),
            ("per_target", places.per_target),
            ("per_impact.minimal", places.per_impact.minimal),
            ("per_impact.low", places.per_impact.low),
            ("per_impact.medium", places.per_impact.medium),
        ];
        for (key, places) in kinds {
            if places.is_some_and(|places| usize::try_from(places).is_ok_and(|places| places > all)) {
                let path = KeyPath::from(format!("budgets.places.{key}").as_str());
                self.note_at(&path, format!("has no effect: resources.max_concurrent_queries is {all}"));
            }
        }
    }

    /// The socket for operators.
    pub(super) fn operator(&mut self) {
        let Some(path) = self.config.operator.socket.clone() else { return };
        if self.config.transport.uses(TransportKind::Stdio) {
            self.note_at(
                &KeyPath::from("operator.socket"),
                "has no effect over stdio: the door ends with who started it",
            );
            return;
        }
        if self.unix() && path == self.config.socket.path {
            self.find("operator.socket", "is socket.path, where callers come", "give each a socket of its own");
        } else if let Err(open) = socket::check_place(&path) {
            self.find("operator.socket", open.problem, &open.advice);
        }
    }

    fn name(&mut self, rule: &RateRule, before: &[RateRule], path: &KeyPath) {
        let name = &rule.name;
        let path = path.key("name");
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_');
        if name.is_empty() || name.len() > NAME || !name.bytes().all(plain) {
            self.find_at(&path, "is no name", "write 1 to 32 lower-case letters, digits, - and _");
        } else if TAKEN.contains(&name.as_str()) {
            self.find_at(&path, "is the name of a budget that there is already", "choose another one");
        } else if before.iter().any(|other| other.name == *name) {
            self.find_at(&path, "is the name of two rules", "choose another one");
        }
    }

    fn numbers(&mut self, rule: &RateRule, path: &KeyPath) {
        let rates = ["requests_per_minute", "requests_per_hour"];
        let left_out = rates.iter().any(|key| self.given.left_out.contains(&path.key(key)));
        if rule.requests_per_minute.is_none() && rule.requests_per_hour.is_none() && !left_out {
            self.find_at(&path.key("name"), "limits nothing", "give requests_per_minute, requests_per_hour or both");
        }
        if rule.burst.is_some() && rule.requests_per_minute.is_none() && !left_out {
            self.find_at(&path.key("burst"), "goes with requests_per_minute, which is not there", "");
        }
        self.saved_up(rule.burst, rule.requests_per_hour, &path.key("burst"));
        let mut known = Vec::new();
        for (place, dimension) in rule.per.iter().enumerate() {
            if known.contains(dimension) {
                self.find_at(&path.key("per").item(place), "is named twice", "");
            }
            known.push(*dimension);
        }
    }

    /// More at once than a minute gives can be saved up; more than an hour gives cannot.
    fn saved_up(&mut self, burst: Option<u32>, by_hour: Option<u32>, path: &KeyPath) {
        if let Some((burst, by_hour)) = burst.zip(by_hour)
            && burst > by_hour
        {
            self.note_at(path, format!("is more than requests_per_hour ({by_hour}): no more can come at once"));
        }
    }

    fn whom(&mut self, rule: &RateRule, path: &KeyPath) {
        for (key, value) in [("user", &rule.user), ("agent", &rule.agent)] {
            if value.as_ref().is_some_and(String::is_empty) {
                self.find_at(&path.key(key), "is empty", "leave the key out for all of them");
            }
        }
        if let Some(Err(error)) = rule.certificate.as_deref().map(SubjectPattern::parse) {
            let advice = "write CN=name, DNS:name, URI:spiffe://… or a full distinguished name";
            self.find_at(&path.key("certificate"), error.to_string(), advice);
        }
        let scopes: Vec<&str> = self.config.scopes.0.keys().map(String::as_str).collect();
        let known = [
            ("tool", &rule.tool, self.given.tools),
            ("toolset", &rule.toolset, &toolsets::NAMES),
            ("scope", &rule.scope, scopes.as_slice()),
        ];
        for (key, value, known) in known {
            let Some(name) = value.as_deref().filter(|name| !known.contains(name)) else { continue };
            let advice = nearest(name, known.iter().copied()).map(|near| format!("did you mean {near}?"));
            self.find_at(&path.key(key), format!("there is no such {key}"), &advice.unwrap_or_default());
        }
    }
}
