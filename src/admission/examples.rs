//! The examples of docs/budgets.md are kept true: each is a configuration and what comes of it, step by step.

use std::collections::HashMap;
use std::sync::LazyLock;
use std::time::Duration;

use regex::Regex;
use serde::Deserialize;

use super::tests::{admit, caller, clock, gate};
use super::{Admission, Aim, BudgetsSection, Gate, ResourcesSection};
use crate::call::{Impact, Resource, ToolSpec};
use crate::clock::Clock;
use crate::error::Failure;
use crate::policy::ScopesSection;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default)]
    resources: ResourcesSection,
    #[serde(default)]
    budgets: BudgetsSection,
}

static STEP: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r#"^at (\d+) s: (\w+)(?: via (\w+))? (calls|holds|meets|is given) (.+?): (\d+) pass(?:, then "(.+)")?$"#)
        .unwrap()
});

/// One example as it goes.
struct Play {
    gate: Gate,
    clock: Clock,
    now: u64,
    held: Vec<Admission>,
}

impl Play {
    fn new(yaml: &str) -> Self {
        let written: Written = serde_saphyr::from_str(yaml).unwrap();
        let clock = clock();
        let gate = gate(&written.resources, &written.budgets, &clock);
        Self { gate, clock, now: 0, held: Vec::new() }
    }

    fn step(&mut self, line: &str) {
        if let Some(at) = line.strip_suffix(" s: all end") {
            self.until(at.strip_prefix("at ").unwrap());
            self.held.clear();
            return;
        }
        let step = STEP.captures(line).unwrap_or_else(|| panic!("no step: {line}"));
        self.until(&step[1]);
        let who = caller(&step[2], step.get(3).map(|agent| agent.as_str()));
        let outcomes: Vec<Result<(), Failure>> = match &step[4] {
            verb @ ("calls" | "holds") => {
                let (tool, times) = step[5].split_once(' ').unwrap();
                let times: usize = times.split(' ').next().unwrap().parse().unwrap();
                let scopes = ScopesSection::default().0;
                let scope = scopes.iter().find(|(_, tools)| tools.iter().any(|one| one == tool)).unwrap().0;
                let mut spec = ToolSpec::query::<(), ()>("", "", "", Impact::Low);
                spec.name = tool.to_owned().into();
                let tries = (0..times).map(|_| admit(&self.gate, &who, Some(Aim { spec: &spec, scope: Some(scope) })));
                let outcomes: Vec<_> =
                    tries.map(|tried| tried.map(|place| (verb == "holds").then_some(place))).collect();
                // A call that is over before the next one begins holds nothing.
                outcomes.into_iter().map(|outcome| outcome.map(|place| self.held.extend(place))).collect()
            }
            "meets" => {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
                let targets = step[5].split(", ").map(|name| Resource::new("Host", name.to_owned()));
                let meet = |target: Resource| {
                    let mut place = admit(&self.gate, &who, None)?;
                    runtime.block_on(self.gate.reach(&mut place, &target)).map(|_| ())
                };
                targets.map(meet).collect()
            }
            _ => {
                let bytes: usize = step[5].strip_suffix(" bytes").unwrap().parse().unwrap();
                let place = admit(&self.gate, &who, None).unwrap();
                vec![self.gate.hand_out(&place, bytes, 0)]
            }
        };
        let passed = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
        assert_eq!(passed.to_string(), &step[6], "{line}\n{outcomes:?}");
        if let Some(told) = step.get(7) {
            let first = outcomes.into_iter().find_map(Result::err).unwrap();
            assert_eq!(first.public(), told.as_str(), "{line}");
        }
    }

    fn until(&mut self, at: &str) {
        let at: u64 = at.parse().unwrap();
        self.clock.advance(Duration::from_secs(at.checked_sub(self.now).unwrap()));
        self.now = at;
    }
}

#[test]
fn every_example_of_the_page_comes_out_as_it_says() {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/budgets.md")).unwrap();
    let mut steps = HashMap::new();
    for (number, example) in page.split("```yaml\n").skip(1).enumerate() {
        let (yaml, rest) = example.split_once("```\n```budget\n").expect("a configuration and its steps");
        let mut play = Play::new(yaml);
        for line in rest.split_once("```").unwrap().0.lines() {
            play.step(line);
            *steps.entry(number).or_insert(0) += 1;
        }
    }
    assert!(steps.len() >= 5 && steps.values().sum::<i32>() >= 25, "{steps:?}");
}
