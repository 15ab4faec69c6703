//! Diagnostics of the host the daemon runs on. Every query reads files below a [`Host`], in a file of its own here, and
//! stands in the register; one that does not stand there is dead code, which the build refuses.

mod accounts;
mod addresses;
mod audit_record;
mod auth_event;
mod budget;
mod cgroup;
mod command;
mod container_engine;
mod cyclonedx;
mod disk_activity;
mod distribution;
mod extent;
mod host;
mod journal_entries;
mod journal_file;
mod kernel_stat;
mod link;
mod listing;
mod load;
mod lock_file;
mod log_files;
mod log_filter;
mod log_line;
mod log_time;
mod login_records;
mod mounts;
mod numa;
mod outside;
mod owners;
mod package_database;
mod pressure;
mod process;
mod process_stat;
mod process_tree;
mod processor;
mod quantity;
mod query;
mod readings;
mod reread;
mod routes;
mod sample;
mod settings;
mod sockets;
mod ssh_key;
mod ssh_settings;
mod sudoers;
mod swaps;
mod systemd_state;
mod tree;
mod unit_files;
mod unknown;
mod user_names;

mod app_logs;
mod auth_logs;
mod block;
mod connections;
mod container_images;
mod containers;
mod cpu;
mod cron;
mod dependencies;
mod disk;
mod dns;
mod env_vars;
mod event_log;
mod firewall;
mod journal_logs;
mod kernel_logs;
mod memory;
mod modules;
mod mount_list;
mod network;
mod network_config;
mod open_files;
mod packages;
mod pci;
mod ports;
mod processes;
mod ssh_config;
mod sudo_config;
mod sysctl;
mod syslog;
mod systemd_timers;
mod systemd_units;
mod temperature;
mod uptime;
mod user_accounts;

use std::sync::Arc;

use crate::admission::ResourcesSection;
use crate::guard::LimitsSection;
use crate::tools::Tool;

pub use host::Host;
pub use query::Threads;
pub use settings::{ContainersSection, DependenciesSection, SystemSection};

macro_rules! register {
    ($($query:ident)*) => {
        /// Every host query, bound to `host`, kept within `limits` and `resources`, and run on `threads`.
        #[must_use]
        pub fn tools(
            host: Host,
            limits: &LimitsSection,
            resources: &ResourcesSection,
            threads: &Threads,
        ) -> Vec<Box<dyn Tool>> {
            let host = Arc::new(host);
            let limits = Arc::new(limits.clone());
            vec![$(query::tool::<$query::Query>(&host, &limits, resources, threads),)*]
        }

        /// Asks `host` every query, each with the arguments that `arguments` has for its name.
        #[cfg(test)]
        fn ask_all(host: &Host, arguments: impl Fn(&str) -> serde_json::Value) -> Vec<(String, query::Asked)> {
            vec![$({
                let name = <$query::Query as query::HostQuery>::spec().name.to_string();
                let arguments = arguments(&name);
                (name, query::ask::<$query::Query>(host, arguments))
            },)*]
        }

        /// Asks `host` the query of this name.
        #[cfg(test)]
        fn ask_one(name: &str, host: &Host, arguments: serde_json::Value) -> Option<query::Asked> {
            $(if <$query::Query as query::HostQuery>::spec().name == name {
                return Some(query::ask::<$query::Query>(host, arguments));
            })*
            None
        }
    };
}

register! {
    cpu disk memory network processes temperature uptime
    block connections dns firewall modules mount_list network_config pci ports sysctl
    journal_logs syslog app_logs kernel_logs
    cron systemd_timers systemd_units
    auth_logs event_log
    packages containers container_images dependencies
    user_accounts sudo_config ssh_config env_vars open_files
}

#[cfg(test)]
mod golden;
#[cfg(test)]
mod page;

#[cfg(test)]
mod tests;
