//! `doorward check`: everything that is wrong with a configuration, at once.

use std::path::PathBuf;

use serde_json::json;

use super::{Exit, Outcome, complain, say};
use crate::clock::Clock;
use crate::config::{self, Environment, Refused, Report};
use crate::daemon::sandbox;
use crate::error::{Code, Failure};

/// Check a configuration and print all findings.
///
/// Exit status: 0 without findings, 1 with findings, 3 if the file cannot be read.
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// The configuration file.
    #[arg(long, short, value_name = "FILE", env = "DOORWARD_CONFIG")]
    config: PathBuf,
    /// Print the findings as JSON.
    #[arg(long)]
    json: bool,
}

/// Checks the file against this machine and this environment; `tools` are the names of the tools there are.
///
/// # Errors
/// When the file cannot be read.
pub(super) fn run(args: Args, tools: &[&str], clock: &Clock) -> Outcome {
    let environment: Environment = std::env::vars_os().collect();
    let report = match config::load(&args.config, &environment, tools, clock.now()) {
        Ok(mut loaded) => {
            sandbox::note_needs(&mut loaded);
            loaded.notes().clone()
        }
        Err(Refused::Found(report)) => report,
        Err(Refused::Unreadable(failure)) => {
            if args.json {
                let why = json!({ "error": { "message": failure.public(), "cause": failure.cause() } });
                say(format!("{why:#}"));
            }
            return Err(failure);
        }
    };
    if args.json {
        say(in_json(&report)?);
    } else {
        text(&report, &args);
    }
    Ok(if report.count() > 0 { Exit::Refused } else { Exit::Done })
}

fn in_json(report: &Report) -> Result<String, Failure> {
    serde_json::to_string_pretty(report)
        .map_err(|error| Failure::new(Code::Internal, "the report has no JSON form").because(error))
}

/// Findings on standard output, where they can be piped; how it went on standard error.
fn text(report: &Report, args: &Args) {
    if !report.findings().is_empty() {
        say(report.to_string());
    }
    complain(match report.count() {
        0 => format!("{}: no findings", args.config.display()),
        1 => format!("{}: 1 finding", args.config.display()),
        count => format!("{}: {count} findings", args.config.display()),
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: Option<&str>) -> Outcome {
        let directory = tempfile::tempdir().unwrap();
        let config = directory.path().join("doorward.yaml");
        if let Some(text) = text {
            std::fs::write(&config, text).unwrap();
        }
        run(Args { config, json: true }, &[], &Clock::system())
    }

    #[test]
    fn the_status_tells_findings_from_a_file_that_cannot_be_read() {
        assert_eq!(check(Some("transport: stdio\n")).unwrap(), Exit::Done);
        assert_eq!(check(Some("transport: http\n")).unwrap(), Exit::Refused);
        assert_eq!(check(None).unwrap_err().code(), Code::Io);
    }

    #[test]
    fn the_json_form_has_place_key_and_problem_apart() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("f.yaml");
        std::fs::write(&path, "\ntransport: http\n").unwrap();
        let Err(Refused::Found(report)) = config::load(&path, &Environment::default(), &[], Clock::system().now())
        else {
            panic!("no report")
        };
        let report: serde_json::Value = serde_json::from_str(&in_json(&report).unwrap()).unwrap();
        let finding = &report["findings"][0];
        assert_eq!((&finding["line"], &finding["column"]), (&2.into(), &12.into()));
        assert_eq!((&finding["key"], &finding["severity"]), (&"transport".into(), &"finding".into()));
        assert!(finding["file"].as_str().unwrap().ends_with("f.yaml"));
    }
}
