//! `get_cron_jobs`: what cron and anacron start, from their tables and folders. What they would pass over is said to be so,
//! for a job that never runs is what is mostly looked for.

use std::os::unix::fs::PermissionsExt as _;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::extent::Extent;
use super::host::beginning;
use super::log_files::why;
use super::log_filter::looked_at;
use super::query::{Ask, HostQuery};
use super::unknown::unknown;
use crate::call::{Impact, ToolSpec};
use crate::error::Failure;
use crate::guard::Before;

/// The largest table that is read, in bytes; cron itself reads no more than 10000 lines.
const TABLE_BYTES: u64 = 1 << 20;

/// Bytes of a command that are shown.
const COMMAND_BYTES: usize = 2048;

/// Where users' tables are: Debian, Red Hat, Alpine. Each file is named as its user.
const SPOOLS: [&str; 3] = ["var/spool/cron/crontabs", "var/spool/cron", "etc/crontabs"];

/// Folders of programs, and how often they run.
const FOLDERS: [(&str, &str); 5] = [
    ("etc/cron.hourly", "@hourly"),
    ("etc/cron.daily", "@daily"),
    ("etc/cron.weekly", "@weekly"),
    ("etc/cron.monthly", "@monthly"),
    ("etc/cron.yearly", "@yearly"),
];

pub(super) struct Query;

/// Which jobs.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Args {
    /// Only jobs that run as this user.
    #[schemars(length(min = 1, max = 64))]
    user: Option<String>,
    /// Only jobs with this in their command or file, in capitals or not.
    #[schemars(length(min = 1, max = 256))]
    pattern: Option<String>,
    /// Most jobs to list.
    #[schemars(range(min = 1, max = 1000))]
    limit: usize,
}

impl Default for Args {
    fn default() -> Self {
        Self { user: None, pattern: None, limit: 200 }
    }
}

/// Jobs.
#[derive(Serialize, JsonSchema)]
pub(super) struct Answer {
    /// How much is listed.
    #[serde(flatten)]
    extent: Extent,
    /// The jobs, in the order of their files.
    jobs: Vec<Job>,
    /// What could not be read, and why.
    not_shown: Vec<String>,
}

/// A job.
#[derive(Serialize, JsonSchema)]
struct Job {
    /// The file it stands in, or that is run.
    file: String,
    /// The line of that file, counted from 1; absent for a file that is itself run.
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<usize>,
    /// When it runs: the five fields of crontab(5), or a word such as @daily. For anacron the days between two runs, as in
    /// `every 7 days`.
    schedule: String,
    /// The user it runs as.
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<String>,
    /// What is run.
    command: String,
    /// Minutes that anacron waits before it starts the job.
    #[serde(skip_serializing_if = "Option::is_none")]
    delay_minutes: Option<u32>,
    /// Why it does not run as it stands.
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
}

impl HostQuery for Query {
    type Args = Args;
    type Answer = Answer;

    fn spec() -> ToolSpec {
        ToolSpec::query::<Args, Answer>(
            "get_cron_jobs",
            "Cron jobs",
            "What cron and anacron start and when: /etc/crontab, /etc/cron.d, the hourly to yearly folders, the users' own \
             tables where the daemon may read them, anacrontab. Timers of systemd are in get_systemd_timers.",
            Impact::Low,
        )
        .reading(["/etc/crontab", "/etc/cron.d", "/etc/anacrontab", "/etc/crontabs", "/var/spool/cron"]).reading(FOLDERS.map(|(folder, _)| format!("/{folder}"))).better_with("CAP_DAC_READ_SEARCH")
    }

    fn answer(ask: &Ask<'_>, args: Args) -> Result<Answer, Failure> {
        let mut found = Collected::default();
        found.table(ask, "etc/crontab", Table::System, None)?;
        for name in found.names(ask, "etc/cron.d") {
            ask.go_on()?;
            found.table(ask, &format!("etc/cron.d/{name}"), Table::System, passed_over(&name))?;
        }
        for (folder, schedule) in FOLDERS {
            for name in found.names(ask, folder) {
                found.program(ask, &format!("{folder}/{name}"), schedule, passed_over(&name));
            }
        }
        found.table(ask, "etc/anacrontab", Table::Anacron, None)?;
        for spool in SPOOLS {
            for name in found.names(ask, spool) {
                ask.go_on()?;
                // The folder of one distribution holds that of another, and temporary files.
                if spool == "var/spool/cron" && name == "crontabs" || name.starts_with("tmp.") {
                    continue;
                }
                found.table(ask, &format!("{spool}/{name}"), Table::User(&name), None)?;
            }
        }
        let pattern = args.pattern.map(|pattern| pattern.to_lowercase());
        let (mut jobs, total) = {
            let total = found.jobs.len();
            (found.jobs, total)
        };
        let whose = |job: &Job, user: &String| job.user.as_ref() == Some(user);
        if let Some(user) = args.user.as_ref().filter(|&user| jobs.iter().all(|job| !whose(job, user))) {
            return Err(unknown("job of the user", user, jobs.iter().filter_map(|job| job.user.as_ref())));
        }
        jobs.retain(|job| {
            let user = args.user.as_ref().is_none_or(|user| whose(job, user));
            let holds = |text: &str, pattern: &str| text.to_lowercase().contains(pattern);
            user && pattern.as_ref().is_none_or(|pattern| holds(&job.command, pattern) || holds(&job.file, pattern))
        });
        let most = args.limit.min(ask.limits.max_array_items);
        let extent = Extent::cut(&mut jobs, total, most).narrow("raise limit, or narrow with user or pattern");
        Ok(Answer { extent, jobs, not_shown: found.not_shown })
    }
}

/// run-parts(8) and Debian's cron(8): a name with other characters is passed over; most often it has a dot.
fn passed_over(name: &str) -> Option<String> {
    let good = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-');
    (!good).then(|| "Debian's cron passes over names with dots and other marks; others run it".to_owned())
}

/// The columns of a table.
#[derive(Clone, Copy)]
enum Table<'a> {
    /// With a column for the user.
    System,
    /// Of one user.
    User(&'a str),
    /// anacrontab(5): days, minutes, a name.
    Anacron,
}

#[derive(Default)]
struct Collected {
    jobs: Vec<Job>,
    not_shown: Vec<String>,
}

impl Collected {
    /// The names in a folder that may be missing, but not for files that are put aside.
    fn names(&mut self, ask: &Ask<'_>, folder: &str) -> Vec<String> {
        match ask.host.names(folder) {
            Ok(mut names) => {
                let aside = |name: &String| {
                    name.starts_with('.')
                        || name.ends_with('~')
                        || [".dpkg-", ".rpmsave", ".rpmnew"].iter().any(|mark| name.contains(mark))
                };
                names.retain(|name| !aside(name));
                names
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            Err(error) => {
                self.not_shown.push(format!("/{folder} could not be listed: {}", why(&error)));
                Vec::new()
            }
        }
    }

    fn table(&mut self, ask: &Ask<'_>, path: &str, table: Table<'_>, problem: Option<String>) -> Result<(), Failure> {
        let before = self.jobs.len();
        let redactor = ask.redactor("jobs.command")?;
        let passing = ask.passing();
        self.lines(ask, &redactor, path, table, problem);
        drop(passing);
        let size = |job: &Job| size_of::<Job>().saturating_add(job.file.len()).saturating_add(job.command.len());
        ask.keep(self.jobs.iter().skip(before).map(size).sum())
    }

    fn lines(&mut self, ask: &Ask<'_>, redactor: &Before<'_>, path: &str, table: Table<'_>, problem: Option<String>) {
        let read = ask.host.file(path).and_then(|(file, about)| {
            let bytes = beginning(file, TABLE_BYTES)?;
            Ok((String::from_utf8_lossy(&bytes).into_owned(), about.len() > TABLE_BYTES))
        });
        match read {
            Ok((text, more)) => {
                for (at, line) in text.lines().enumerate() {
                    let job = parse(line, table).map(|job| Job {
                        // A pattern over secrets would tell them, and half a secret has no form any more.
                        command: cut(&redactor.clean(looked_at(&job.command))),
                        file: format!("/{path}"),
                        line: Some(at.saturating_add(1)),
                        problem: job.problem.clone().or_else(|| problem.clone()),
                        ..job
                    });
                    self.jobs.extend(job);
                }
                if more {
                    self.not_shown.push(format!("only the first {TABLE_BYTES} bytes of /{path} were read"));
                }
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            // A folder in a folder of tables is none.
            Err(_) if ask.host.names(path).is_ok() => {}
            Err(error) => self.not_shown.push(format!("/{path} could not be read: {}", why(&error))),
        }
    }

    fn program(&mut self, ask: &Ask<'_>, path: &str, schedule: &str, problem: Option<String>) {
        let problem = match ask.host.file(path) {
            Ok((_, about)) if about.permissions().mode() & 0o111 == 0 => Some("it is not executable".to_owned()),
            Ok(_) => problem,
            Err(_) if ask.host.names(path).is_ok() => return,
            // What may not be read can still be run by root.
            Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => problem,
            Err(error) => Some(why(&error).to_owned()),
        };
        self.jobs.push(Job {
            file: format!("/{path}"),
            line: None,
            schedule: schedule.to_owned(),
            user: Some("root".to_owned()),
            command: format!("/{path}"),
            delay_minutes: None,
            problem,
        });
    }
}

/// crontab(5): `None` for comments, empty lines and settings of the environment.
fn parse(line: &str, table: Table<'_>) -> Option<Job> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') || is_setting(line) {
        return None;
    }
    let mut rest = line;
    let word = |rest: &mut &str| -> Option<String> {
        let (word, after) = rest.split_once([' ', '\t']).unwrap_or((rest, ""));
        *rest = after.trim_start();
        (!word.is_empty()).then(|| word.to_owned())
    };
    let broken = |why: &str| Job {
        file: String::new(),
        line: None,
        schedule: String::new(),
        user: None,
        command: line.to_owned(),
        delay_minutes: None,
        problem: Some(why.to_owned()),
    };
    if matches!(table, Table::Anacron) {
        let (Some(days), Some(delay), Some(_)) = (word(&mut rest), word(&mut rest), word(&mut rest)) else {
            return Some(broken("the line has too few columns"));
        };
        let schedule = if days.starts_with('@') { days } else { format!("every {days} days") };
        let user = Some("root".to_owned());
        let (delay_minutes, command) = (delay.parse().ok(), rest.to_owned());
        return Some(Job { file: String::new(), line: None, schedule, user, command, delay_minutes, problem: None });
    }
    let fields = if rest.starts_with('@') { 1 } else { 5 };
    let schedule: Vec<String> = (0..fields).map_while(|_| word(&mut rest)).collect();
    let user = match table {
        Table::User(user) => Some(user.to_owned()),
        Table::System | Table::Anacron => word(&mut rest),
    };
    if schedule.len() < fields || user.is_none() || rest.is_empty() {
        return Some(broken("the line has too few columns"));
    }
    let schedule = schedule.join(" ");
    Some(Job {
        file: String::new(),
        line: None,
        schedule,
        user,
        command: rest.to_owned(),
        delay_minutes: None,
        problem: None,
    })
}

/// `NAME = value`, the name first: a schedule has blanks before it could have an equals sign.
fn is_setting(line: &str) -> bool {
    let Some((name, _)) = line.split_once('=') else { return false };
    let name = name.trim_end().trim_matches(['"', '\'']);
    !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

fn cut(command: &str) -> String {
    let end = command.floor_char_boundary(COMMAND_BYTES);
    command.get(..end).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use proptest::prelude::*;
    use serde_json::json;

    use super::super::Host;
    use super::super::query::ask;
    use super::*;

    #[test]
    fn filters_and_the_limit_are_said() {
        let host = Host::fixture("debian-vm");
        let answer = ask::<Query>(&host, json!({"user": "root", "limit": 1})).unwrap();
        assert_eq!((&answer["matching"], answer["jobs"].as_array().unwrap().len()), (&json!(7), 1));
        assert_eq!((&answer["returned"], &answer["left_out"], &answer["total"]), (&json!(1), &json!(6), &json!(11)));
        assert_eq!(answer["narrow"], "raise limit, or narrow with user or pattern");
        let failure = ask::<Query>(&host, json!({"user": "ghost"})).unwrap_err();
        assert_eq!(failure.public(), "there is no job of the user ghost; there are alice, backup, root, www-data");
        assert_eq!(ask::<Query>(&host, json!({"pattern": "SENSOR"})).unwrap()["matching"], 0);
    }

    #[test]
    fn what_is_no_table_is_said_and_the_rest_is_there() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("etc/cron.d");
        std::fs::create_dir_all(folder.join("folder")).unwrap();
        symlink("circle", folder.join("circle")).unwrap();
        let mode = rustix::fs::Mode::from_raw_mode(0o600);
        rustix::fs::mkfifoat(rustix::fs::CWD, folder.join("pipe"), mode).unwrap();
        std::fs::write(folder.join("good"), b"A=b c\n* * * * * root \xff\n1 2 3\n").unwrap();
        std::fs::write(folder.join("old~"), "* * * * * root old\n").unwrap();
        std::fs::File::create(folder.join("holes")).unwrap().set_len(1 << 40).unwrap();
        let answer = ask::<Query>(&Host::folder(root.path()), json!({})).unwrap();
        let jobs = answer["jobs"].as_array().unwrap();
        assert_eq!(jobs.iter().filter(|job| job["file"] == "/etc/cron.d/good").count(), 2, "{answer}");
        assert_eq!(answer["not_shown"].as_array().unwrap().len(), 3, "{answer}");
    }

    #[test]
    fn secrets_in_commands_go_before_the_pattern_and_the_cut() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("etc/cron.d")).unwrap();
        let long = format!("{} dop_v1_{}", "y".repeat(COMMAND_BYTES - 30), "a1b2c3d4".repeat(8));
        let table = format!("* * * * * root get --password=Qz7kLm\n* * * * * root {long}\n");
        std::fs::write(root.path().join("etc/cron.d/jobs"), table).unwrap();
        let host = Host::folder(root.path());
        assert_eq!(ask::<Query>(&host, json!({"pattern": "password=q"})).unwrap()["matching"], 0);
        assert_eq!(ask::<Query>(&host, json!({"pattern": "password="})).unwrap()["matching"], 1);
        let answer = ask::<Query>(&host, json!({"pattern": "yyy"})).unwrap().to_string();
        assert!(answer.contains("yyy [REDACTED]") && !answer.contains("dop_"), "{answer}");
    }

    proptest! {
        #[test]
        fn no_line_is_a_panic(line in "\\PC*|[0-9*/@a-zé= \t]{0,40}") {
            for table in [Table::System, Table::User("x"), Table::Anacron] {
                let _ = parse(&line, table);
            }
        }
    }
}
