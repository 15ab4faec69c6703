//! What a tool declares about itself: name, schemas, hints, impact.

use std::borrow::Cow;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::ToolSchema;

/// How much a query may cost the host; each class has its own time, processor time, memory, and number at a time.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Impact {
    /// Reads a counter: at most 100 ms, 1 % of a processor, 1 MiB; any number at a time.
    Minimal,
    /// Reads a few files: at most 1 s, 5 % of a processor, 10 MiB; ten at a time.
    Low,
    /// Reads many files or waits for another party: at most 5 s, 10 % of a processor, 50 MiB; three at a time.
    Medium,
    /// Never run.
    High,
}

impl Impact {
    /// The longest time a query of this class may take; `None` for one that is never run.
    #[must_use]
    pub const fn limit(self) -> Option<Duration> {
        match self {
            Self::Minimal => Some(Duration::from_millis(100)),
            Self::Low => Some(Duration::from_secs(1)),
            Self::Medium => Some(Duration::from_secs(5)),
            Self::High => None,
        }
    }

    /// The share of one processor that such a query may take, in percent.
    #[must_use]
    pub const fn cpu_percent(self) -> u8 {
        match self {
            Self::Minimal => 1,
            Self::Low => 5,
            Self::Medium => 10,
            Self::High => 0,
        }
    }

    /// The memory that such a query may hold, in MiB.
    #[must_use]
    pub const fn memory_mib(self) -> u64 {
        match self {
            Self::Minimal => 1,
            Self::Low => 10,
            Self::Medium => 50,
            Self::High => 0,
        }
    }

    /// How many such queries may run at the same time; `None` for any number.
    #[must_use]
    pub const fn at_once(self) -> Option<usize> {
        match self {
            Self::Minimal => None,
            Self::Low => Some(10),
            Self::Medium => Some(3),
            Self::High => Some(0),
        }
    }
}

/// MCP tool annotations: hints for the client, never a control.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Annotations {
    /// Changes nothing.
    pub read_only: bool,
    /// May destroy something.
    pub destructive: bool,
    /// A second call with the same arguments changes nothing more.
    pub idempotent: bool,
    /// Reaches parties outside a closed set.
    pub open_world: bool,
}

impl Annotations {
    /// For a query that only looks at a known system.
    pub const QUERY: Self = Self { read_only: true, destructive: false, idempotent: true, open_world: false };
}

/// A tool's declaration.
#[derive(Clone, Debug)]
pub struct ToolSpec {
    /// The name callers use.
    pub name: Cow<'static, str>,
    /// The name people read.
    pub title: Cow<'static, str>,
    /// What it does, for the model.
    pub description: Cow<'static, str>,
    /// JSON Schema 2020-12 of the arguments; unknown ones are refused.
    pub input_schema: ToolSchema,
    /// JSON Schema 2020-12 of the structured result.
    pub output_schema: ToolSchema,
    /// Hints.
    pub annotations: Annotations,
    /// The toolset that it is of.
    pub toolset: &'static str,
    /// Cost class.
    pub impact: Impact,
    /// Can expose credentials or personal data: off unless the configuration opens it by name.
    pub sensitive: bool,
    /// What it needs of the machine; the sandbox leaves open what the enabled tools need, and nothing else.
    pub needs: Needs,
}

/// What a tool needs of the machine it runs on, besides the kernel's own files below `/proc` and `/sys`.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Needs {
    /// Files and directories that it reads, by absolute path. Not every host has each.
    pub paths: Vec<Cow<'static, str>>,
    /// It starts programs of the system.
    pub programs: bool,
    /// It asks servers of this machine over unix sockets.
    pub servers: bool,
    /// It asks the kernel over netlink.
    pub netlink: bool,
    /// It looks into processes of others: open files, environment. It answers with less where it may not.
    pub processes: bool,
    /// Their environments too.
    pub environments: bool,
    /// Powers of root without which it answers with less, such as `CAP_DAC_READ_SEARCH`.
    pub capabilities: Vec<&'static str>,
    /// Groups of the system, one of which may read its files, unless root or `CAP_DAC_READ_SEARCH` does; without that it
    /// answers with less.
    pub groups: Vec<&'static str>,
}

impl ToolSpec {
    /// A read-only query with arguments `A` and result `R`, their schemas taken from the types.
    #[must_use]
    pub fn query<A: JsonSchema, R: JsonSchema>(
        name: &'static str,
        title: &'static str,
        description: &'static str,
        impact: Impact,
    ) -> Self {
        Self {
            name: name.into(),
            title: title.into(),
            description: description.into(),
            input_schema: ToolSchema::of_arguments::<A>(),
            output_schema: ToolSchema::of_answer::<R>(),
            annotations: Annotations::QUERY,
            toolset: "system",
            impact,
            sensitive: false,
            needs: Needs::default(),
        }
    }

    /// It reads these files, and what lies below these directories.
    #[must_use]
    pub fn reading<P: Into<Cow<'static, str>>>(mut self, paths: impl IntoIterator<Item = P>) -> Self {
        self.needs.paths.extend(paths.into_iter().map(Into::into));
        self
    }

    /// It starts programs of the system, which may talk to their servers and to the kernel.
    #[must_use]
    pub fn starting_programs(mut self) -> Self {
        self.needs.programs = true;
        self
    }

    /// It asks servers of this machine over unix sockets.
    #[must_use]
    pub fn asking_servers(mut self) -> Self {
        self.needs.servers = true;
        self
    }

    /// It asks the kernel over netlink.
    #[must_use]
    pub fn asking_the_kernel(mut self) -> Self {
        self.needs.netlink = true;
        self
    }

    /// It reads environments of processes of others.
    #[must_use]
    pub fn reading_environments(mut self) -> Self {
        self.needs.environments = true;
        self.looking_into_processes()
    }

    /// It looks into processes of others.
    #[must_use]
    pub fn looking_into_processes(mut self) -> Self {
        self.needs.processes = true;
        self
    }

    /// It says more with this power of root.
    #[must_use]
    pub fn better_with(mut self, capability: &'static str) -> Self {
        self.needs.capabilities.push(capability);
        self
    }

    /// It says more to a member of one of these groups.
    #[must_use]
    pub fn better_in(mut self, groups: &[&'static str]) -> Self {
        self.needs.groups.extend(groups);
        self
    }

    /// Changes what the input schema says of one argument, such as its bounds.
    pub fn change_argument(
        &mut self,
        name: &'static str,
        change: impl FnOnce(&mut Map<String, Value>) + Send + 'static,
    ) {
        self.input_schema = self.input_schema.then(move |schema| {
            let argument = schema.get_mut("properties").and_then(|properties| properties.get_mut(name));
            if let Some(argument) = argument.and_then(Value::as_object_mut) {
                change(argument);
            }
        });
    }
}
