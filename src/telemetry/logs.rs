//! Where operational log lines go: standard error, or a file a day. No line is waited for: a log that cannot keep up loses
//! lines rather than hold a call up (the audit log is another thing: see `audit`).

use std::io::IsTerminal as _;
use std::path::Path;

use tracing::level_filters::LevelFilter;
use tracing_appender::non_blocking::{ErrorCounter, NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_appender::rolling::{RollingFileAppender, Rotation};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;

use super::line::Lines;
use super::{LogFormat, LogLevel, LogSection};
use crate::error::{Code, Failure};

/// Lines that may wait for a slow disk or terminal.
const WAITING: usize = 4096;
/// Days that a log file is kept.
const DAYS: usize = 14;

/// Crates that handle requests and answers whole. Below `warn` they log what they handle (rmcp entire messages, the HTTP
/// crates headers and paths), which may be tokens, arguments or output that was never redacted. So they are held at
/// `warn`, whatever `log.level` says, and no environment variable lifts that.
const HELD_AT_WARN: [&str; 9] =
    ["rmcp", "hyper", "h2", "rustls", "reqwest", "tower", "axum", "tokio_rustls", "jsonwebtoken"];

/// A module of the protocol's crate, by its path. It warns of every refusal of the protocol with the caller's own id, which may
/// be a thousand bytes of anything. Each of these refusals has a record and is counted, so nothing is lost but lines that a
/// caller would fill the log with.
const HELD_AT_ERROR: [&str; 2] = ["rmcp", "service"];

/// Held for as long as log lines are to be written; dropping it writes those that wait.
pub struct LogGuard {
    _worker: WorkerGuard,
    lost: ErrorCounter,
}

impl LogGuard {
    /// Lines that were lost because the log could not keep up.
    #[must_use]
    pub fn lost(&self) -> usize {
        self.lost.dropped_lines()
    }
}

/// Starts the operational log as configured, once for the process.
///
/// # Errors
/// [`Code::Io`] when the log file cannot be opened, [`Code::Internal`] when a log was started before.
pub fn start(section: &LogSection) -> Result<LogGuard, Failure> {
    let (writer, guard, ansi) = match &section.path {
        Some(path) => {
            let (writer, guard) = unblocked(daily(path)?);
            (writer, guard, false)
        }
        None => {
            let (writer, guard) = unblocked(std::io::stderr());
            let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
            (writer, guard, std::io::stderr().is_terminal() && !plain)
        }
    };
    let lost = writer.error_counter();
    let subscriber = tracing_subscriber::registry().with(layer(section, writer, ansi));
    tracing::subscriber::set_global_default(subscriber)
        .map_err(|error| Failure::new(Code::Internal, "the log was started twice").because(error))?;
    Ok(LogGuard { _worker: guard, lost })
}

fn layer<S, W>(section: &LogSection, writer: W, ansi: bool) -> impl Layer<S>
where
    S: tracing::Subscriber + for<'a> tracing_subscriber::registry::LookupSpan<'a>,
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let writer = Lines { inner: writer, format: section.format, ansi };
    let lines = tracing_subscriber::fmt::layer().with_writer(writer).with_ansi(ansi);
    let lines = match section.format {
        LogFormat::Text => lines.boxed(),
        LogFormat::Json => lines.json().flatten_event(true).with_span_list(false).boxed(),
    };
    lines.with_filter(filter(section.level))
}

fn filter(level: LogLevel) -> Targets {
    let level = match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    let held = level.min(LevelFilter::WARN);
    let targets = Targets::new().with_default(level).with_target(HELD_AT_ERROR.join("::"), LevelFilter::ERROR);
    HELD_AT_WARN.iter().fold(targets, |targets, target| targets.with_target(*target, held))
}

fn unblocked(writer: impl std::io::Write + Send + 'static) -> (NonBlocking, WorkerGuard) {
    NonBlockingBuilder::default().buffered_lines_limit(WAITING).lossy(true).thread_name("log").finish(writer)
}

/// `doorward.log` is a link to `doorward.log.2030-01-31`, the file of the day (UTC); a regular file of that name is left alone.
fn daily(path: &Path) -> Result<RollingFileAppender, Failure> {
    let failure = || Failure::new(Code::Io, "the log file cannot be opened");
    let name = path
        .file_name()
        .and_then(|name| name.to_str())
        .ok_or_else(|| failure().because(format!("log.path: {} has no file name in UTF-8", path.display())))?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if !folder.is_dir() {
        return Err(failure().because(format!("log.path: {} is not a directory", folder.display())));
    }
    let mut builder =
        RollingFileAppender::builder().rotation(Rotation::DAILY).filename_prefix(name).max_log_files(DAYS);
    if !std::fs::symlink_metadata(path).is_ok_and(|there| !there.is_symlink()) {
        builder = builder.latest_symlink(name);
    }
    builder.build(folder).map_err(|error| failure().because(error))
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Page(Arc<Mutex<Vec<u8>>>);

    impl Write for Page {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn logged(section: &LogSection, what: impl FnOnce()) -> String {
        let page = Page::default();
        let writer = page.clone();
        let subscriber = tracing_subscriber::registry().with(layer(section, move || writer.clone(), false));
        tracing::subscriber::with_default(subscriber, what);
        let bytes = page.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    fn section(level: LogLevel, format: LogFormat) -> LogSection {
        LogSection { level, format, path: None }
    }

    #[test]
    fn crates_that_see_whole_requests_stay_at_warn() {
        let text = logged(&section(LogLevel::Trace, LogFormat::Text), || {
            tracing::trace!(target: "rmcp::service", "a whole message");
            tracing::debug!(target: "hyper_util::client", "a header");
            tracing::info!(target: "tower_http", "a path");
            tracing::warn!(target: "rmcp::service", "response error");
            tracing::warn!(target: "rmcp::service::server", "response error");
            tracing::warn!(target: "rmcp::transport", "trouble");
            tracing::trace!("our own");
        });
        assert!(!text.contains("response error"), "{text}");
        assert!(!text.contains("whole message") && !text.contains("a header") && !text.contains("a path"), "{text}");
        assert!(text.contains("trouble") && text.contains("our own"), "{text}");
    }

    #[test]
    fn a_lower_level_holds_for_all() {
        let text = logged(&section(LogLevel::Error, LogFormat::Text), || {
            tracing::warn!(target: "rmcp::service", "trouble");
            tracing::warn!("our own");
            tracing::error!("worse");
        });
        assert!(!text.contains("trouble") && !text.contains("our own") && text.contains("worse"), "{text}");
    }

    #[test]
    fn json_is_one_object_a_line_and_text_cannot_break_a_terminal() {
        let json = logged(&section(LogLevel::Info, LogFormat::Json), || {
            tracing::info!(address = "10.0.0.1\nforged", other = %"a\u{85}\u{2028}b", "connection refused");
        });
        let lines: Vec<serde_json::Value> = json.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), 1);
        assert_eq!(lines[0]["address"], "10.0.0.1\nforged");
        assert!(lines[0]["other"] == "a\u{85}\u{2028}b" && !json.contains('\u{85}'), "{json}");
        let text = logged(&section(LogLevel::Info, LogFormat::Text), || {
            let _within = tracing::info_span!("call", id = %"a\nforged").entered();
            let error = std::io::Error::other("broken\nforged");
            let error: &(dyn std::error::Error + 'static) = &error;
            tracing::info!(address = "\u{1b}[31mred\nforged", "connection refused");
            tracing::info!(id = %"x\nforged\u{1b}[2J", cause = ?format_args!("y\nforged"), error, "said {}", "z\nforged");
        });
        assert!(!text.contains('\u{1b}') && text.matches("forged").count() == 7 && text.lines().count() == 2, "{text}");
    }

    #[test]
    fn a_file_a_day_with_a_link_to_the_last() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("doorward.log");
        let (mut writer, guard) = unblocked(daily(&path).unwrap());
        writer.write_all(b"line\n").unwrap();
        drop(guard);
        assert!(std::fs::symlink_metadata(&path).unwrap().is_symlink());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "line\n");
    }

    #[test]
    fn a_regular_file_of_that_name_is_left_alone_and_a_missing_directory_is_an_error() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("doorward.log");
        std::fs::write(&path, "old").unwrap();
        drop(daily(&path).unwrap());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "old");
        assert_eq!(daily(&home.path().join("missing/doorward.log")).unwrap_err().code(), Code::Io);
    }
}
