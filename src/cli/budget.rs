//! `doorward budget`: what a running daemon has left for its callers, asked over its socket for operators.

use std::path::PathBuf;
use std::time::Duration;

use clap::Subcommand;

use super::terminal::{Output, harmless};
use super::{Exit, Outcome, environment};
use crate::admission::{CallerView, Overview, RateView};
use crate::config;
use crate::error::{Code, Failure};
use crate::net::Outbound;
use crate::transport::admin::budgets_at;

/// How long the daemon may take to answer.
const LIMIT: Duration = Duration::from_secs(10);
/// Bytes of its answer.
const MOST: usize = 64 * 1024 * 1024;

/// Show what a running daemon has left for its callers
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand, Debug)]
enum Verb {
    /// Show places, rates and spread, in all and of each caller that is remembered
    Show(Show),
}

#[derive(clap::Args, Debug)]
struct Show {
    /// Only callers whose name has this in it, such as alice
    #[arg(value_name = "CALLER")]
    caller: Option<String>,
    /// As JSON
    #[arg(long)]
    json: bool,
    /// The socket of the daemon for operators
    #[arg(long, value_name = "PATH", conflicts_with = "config")]
    socket: Option<PathBuf>,
    /// The configuration whose `operator.socket` is meant
    #[arg(long, value_name = "FILE", env = "DOORWARD_CONFIG")]
    config: Option<PathBuf>,
}

/// Does what was asked.
///
/// # Errors
/// When there is no daemon to ask, or it may not be asked.
pub(super) fn run(args: Args) -> Outcome {
    let Verb::Show(show) = args.verb;
    super::block_on(async move { ask(&show).await })
}

async fn ask(show: &Show) -> Outcome {
    let configured = match &show.socket {
        Some(socket) => Some(socket.clone()),
        None => config::operator_socket(show.config.as_deref(), &environment())?,
    };
    let socket = configured.ok_or_else(|| {
        let how = "operator.socket says nothing; --socket names one, --config or DOORWARD_CONFIG a configuration";
        Failure::new(Code::Config, "there is no socket for operators").because(how)
    })?;
    let answer = Outbound::over(&socket)?.get(&budgets_at(show.caller.as_deref()), LIMIT, MOST).await;
    let answer = answer.map_err(|failure| {
        let cause = failure.cause().unwrap_or_default();
        let said = format!("{}: {failure}: {cause}", socket.display());
        Failure::new(Code::Upstream, "the daemon does not answer").because(said)
    })?;
    let wrong = |error| Failure::new(Code::Upstream, "the daemon's answer cannot be read").because(error);
    let overview: Overview = serde_json::from_slice(&answer).map_err(wrong)?;
    let mut output = Output::new();
    if show.json {
        let text = serde_json::to_string_pretty(&overview).map_err(wrong)?;
        output.line(&text);
    } else {
        in_words(&overview).iter().for_each(|line| output.line(&harmless(line)));
    }
    output.flush();
    Ok(Exit::Done)
}

fn in_words(overview: &Overview) -> Vec<String> {
    let Overview { running, waiting, places, buckets, known_callers, sources, max_keys, callers, not_shown } = overview;
    let mut lines = vec![
        format!("places   {running} of {places} taken, {waiting} waiting"),
        format!(
            "memory   {buckets} buckets, {known_callers} callers (of each at most {max_keys}), {sources} refused sources"
        ),
    ];
    for caller in callers {
        lines.push(String::new());
        lines.extend(of_caller(caller));
    }
    if *not_shown > 0 {
        lines.push(String::new());
        lines.push(format!("and {not_shown} more; name a caller to see it"));
    }
    lines
}

fn of_caller(view: &CallerView) -> Vec<String> {
    let mut lines = vec![format!("{}   {}", view.caller, view.id)];
    for RateView { rule, tool, per, calls, at_once, left, next_seconds, whole_seconds } in &view.rates {
        let what = tool.as_ref().map_or_else(|| rule.clone(), |tool| format!("{rule} ({tool})"));
        let next = match next_seconds {
            0 => "now".to_owned(),
            seconds => format!("in {seconds} s"),
        };
        let article = if per == "hour" { "an" } else { "a" };
        lines.push(format!(
            "  {what:<32} {left:>7} of {at_once} left, {calls} {article} {per}; next {next}, all in {whole_seconds} s"
        ));
    }
    if let Some(running) = view.running {
        lines.push(format!("  {:<32} {running:>7}", "running"));
    }
    let used = [
        (
            "targets of the last hour",
            u64::try_from(view.targets).unwrap_or(u64::MAX),
            view.targets_per_hour.map(u64::from),
        ),
        ("bytes of the last day", view.bytes, view.bytes_per_day),
        ("rows of the last day", view.rows, view.rows_per_day),
    ];
    for (what, used, most) in used {
        match most {
            Some(most) => lines.push(format!("  {what:<32} {used:>7} of {most}")),
            None if used > 0 => lines.push(format!("  {what:<32} {used:>7}")),
            None => {}
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_can_be_read_by_people() {
        let rate = RateView {
            rule: "caller".to_owned(),
            tool: None,
            per: "minute".to_owned(),
            calls: 60,
            at_once: 10,
            left: 9,
            next_seconds: 0,
            whole_seconds: 1,
        };
        let caller = CallerView {
            caller: "alice via bot".to_owned(),
            id: "3f2a91bc".to_owned(),
            running: Some(2),
            rates: vec![rate],
            targets: 1,
            targets_per_hour: Some(20),
            bytes: 512,
            bytes_per_day: Some(1000),
            rows: 0,
            rows_per_day: None,
        };
        let overview = Overview { running: 2, places: 5, callers: vec![caller], not_shown: 3, ..Overview::default() };
        let lines = in_words(&overview);
        assert_eq!(lines.first().unwrap(), "places   2 of 5 taken, 0 waiting");
        let text = lines.join("\n");
        assert!(text.contains("9 of 10 left, 60 a minute; next now, all in 1 s"), "{text}");
        assert!(text.contains("bytes of the last day                512 of 1000"), "{text}");
        assert!(!text.contains("rows of") && text.ends_with("and 3 more; name a caller to see it"), "{text}");
    }
}
