//! `doorward audit verify`: the lines that are not as they were written, or what is proven.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::public_key;
use crate::audit::verify::{Agreement, Edge, Elsewhere, Ending, Files, Finding, Proof, Report, verify};
use crate::cli::terminal::{Meter, harmless};
use crate::cli::{Exit, Outcome, complain, say};
use crate::clock::Clock;
use crate::error::{Code, Failure};
use crate::pki::PublicKey;

/// Tell whether a journal is as it was written: the bad lines and why, or what is proven
///
/// Exit status: 0 nothing bad found, 1 something is bad, 3 something cannot be read. What no checkpoint covers yet is
/// reported and is no reason for 1.
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// Journal files, plain or gzip, in any order; a directory means all journal files in it
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Public key that signs the checkpoints, PEM; may be repeated [default: audit.pub beside the first file]
    #[arg(long = "key", value_name = "PUB")]
    keys: Vec<PathBuf>,
    /// Checkpoints kept elsewhere: lines of a journal, or of a syslog collector
    #[arg(long, value_name = "FILE")]
    checkpoints: Option<PathBuf>,
    /// As JSON
    #[arg(long)]
    json: bool,
}

/// Where the keys are from.
enum Keys {
    Given(Vec<PublicKey>),
    Beside(PathBuf, PublicKey),
    None,
}

impl Keys {
    fn find(args: &Args, files: &Files) -> Result<Self, Failure> {
        if !args.keys.is_empty() {
            return args.keys.iter().map(|path| Ok(public_key(path)?.0)).collect::<Result<_, _>>().map(Self::Given);
        }
        match files.public_key() {
            Some(path) => public_key(&path).map(|(key, _)| Self::Beside(path, key)),
            None => Ok(Self::None),
        }
    }

    fn all(&self) -> &[PublicKey] {
        match self {
            Self::Given(keys) => keys,
            Self::Beside(_, key) => std::slice::from_ref(key),
            Self::None => &[],
        }
    }
}

/// Gives [`Exit::Refused`] when something is bad.
pub(super) fn run(args: &Args, clock: &Clock) -> Outcome {
    let files = Files::gather(&args.files)?;
    let keys = Keys::find(args, &files)?;
    let (elsewhere, wrong) = match &args.checkpoints {
        Some(path) => Elsewhere::read(path, keys.all())?,
        None => (Elsewhere::default(), Vec::new()),
    };
    // A checkpoint that has arrived elsewhere is in the journal by now, perhaps in a file that was begun meanwhile.
    let files = if args.checkpoints.is_some() { Files::gather(&args.files)? } else { files };
    let mut meter = Meter::new(clock.instant());
    let verified = verify(&files, keys.all(), elsewhere, &mut |progress| {
        meter.show(clock.instant(), || {
            format!("{} records, file {} of {}", progress.records, progress.file, progress.files)
        });
    });
    meter.clear();
    let report = verified?;
    let sound = report.finding.is_none() && wrong.is_empty();
    if args.json {
        say(in_json(&report, &wrong, &keys)?);
    } else {
        files
            .skipped()
            .iter()
            .for_each(|path| complain(format!("left out: {}", harmless(&path.display().to_string()))));
        in_words(&report, &wrong, &keys).iter().for_each(|line| say(harmless(line)));
    }
    Ok(if sound { Exit::Done } else { Exit::Refused })
}

fn in_json(report: &Report, wrong: &[Finding], keys: &Keys) -> Result<String, Failure> {
    let broken = |error| Failure::new(Code::Internal, "the report has no JSON form").because(error);
    let mut shown = serde_json::to_value(report).map_err(broken)?;
    let with_words = |shown: &mut Value, finding: &Finding| {
        if let Some(members) = shown.as_object_mut() {
            members.insert("says".to_owned(), finding.to_string().into());
        }
    };
    if let (Some(finding), Some(shown)) = (&report.finding, shown.get_mut("finding")) {
        with_words(shown, finding);
    }
    let further = shown.get_mut("further").and_then(Value::as_array_mut).into_iter().flatten();
    further.zip(&report.further).for_each(|(shown, finding)| with_words(shown, finding));
    if let Some(members) = shown.as_object_mut() {
        members.insert("sound".to_owned(), (report.finding.is_none() && wrong.is_empty()).into());
        let says: Vec<String> = wrong.iter().map(ToString::to_string).collect();
        members.insert("checkpoint_findings".to_owned(), says.into());
        let (from, ids) = match keys {
            Keys::Given(_) => ("given", keys.all()),
            Keys::Beside(..) => ("beside the journal", keys.all()),
            Keys::None => ("none", keys.all()),
        };
        let ids: Vec<&str> = ids.iter().map(PublicKey::id).collect();
        members.insert("keys".to_owned(), json!({ "from": from, "ids": ids }));
    }
    serde_json::to_string_pretty(&shown).map_err(broken)
}

fn in_words(report: &Report, wrong: &[Finding], keys: &Keys) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let mut line = |name: &str, text: String| lines.push(format!("{name:<12}{text}"));
    for finding in wrong {
        line("BAD", format!("{finding} (among the checkpoints kept elsewhere)"));
    }
    if let Some(finding) = &report.finding {
        line("BAD", finding.to_string());
        report.further.iter().for_each(|finding| line("BAD", finding.to_string()));
        let rest = if report.given_up { "nothing after that was looked at" } else { "the rest was looked at too" };
        line("", format!("{rest}; what follows is about the records before the first of these"));
    }
    if let (Some(first), Some(last)) = (&report.first, &report.last) {
        line("records", format!("{}: {} of them, {}", range(first.seq, last.seq), report.records, files(report)));
        line("times", format!("{} to {}", time(first), time(last)));
        line("checkpoints", report.checkpoints.to_string());
        if first.seq > 1 {
            line("", format!("it begins at record {}; earlier files were not given", first.seq));
        }
        proof(report, first, last).into_iter().for_each(|text| line("proven", text));
        late(report).into_iter().for_each(|text| line("LATE", text));
        if let Some(text) = unproven(report, last) {
            line("UNPROVEN", text);
        }
    }
    if let Some(agreement) = &report.elsewhere {
        line("elsewhere", elsewhere(agreement));
    }
    match keys {
        Keys::Given(keys) => line("keys", keys.iter().map(PublicKey::id).collect::<Vec<_>>().join(" ")),
        Keys::Beside(path, key) => line(
            "key",
            format!(
                "{} from {}, which is only as trustworthy as the files beside it: give a copy kept elsewhere with --key",
                key.id(),
                path.display()
            ),
        ),
        Keys::None => line(
            "NO KEY",
            "only the chain was checked: whoever can write the files can write another chain. Give --key".to_owned(),
        ),
    }
    if report.finding.is_none() && wrong.is_empty() {
        line("end", ending(report));
    }
    lines
}

fn files(report: &Report) -> String {
    match report.files.as_slice() {
        [one] => format!("in {}", one.path.display()),
        files => format!("in {} files", files.len()),
    }
}

fn range(from: u64, to: u64) -> String {
    if from == to { from.to_string() } else { format!("{from} to {to}") }
}

fn time(edge: &Edge) -> &str {
    edge.ts.as_deref().unwrap_or("?")
}

fn proof(report: &Report, first: &Edge, last: &Edge) -> Option<String> {
    match &report.proof {
        Proof::UpTo { seq, .. } if *seq == last.seq && first.seq == *seq => {
            Some(format!("record {seq}, a signed checkpoint, which is all there is"))
        }
        Proof::UpTo { seq, ts, key } => {
            Some(format!("records {} by the checkpoint at record {seq} ({ts}, key {key})", range(first.seq, *seq)))
        }
        Proof::NoKey | Proof::NoCheckpoint => None,
    }
}

/// Nothing is bad about them; but that they are as the daemon wrote them is not proven either.
fn late(report: &Report) -> Vec<String> {
    let stretches = report.late.stretches.iter().map(|stretch| {
        let (records, were) = if stretch.from == stretch.to { ("record", "was") } else { ("records", "were") };
        let range = range(stretch.from, stretch.to);
        format!(
            "{records} {range} {were} signed only after an unclean stop: while the daemon was down, whoever could \
                 write the files could write other ones"
        )
    });
    let more = (report.late.more > 0).then(|| format!("and {} more such stretches", report.late.more));
    stretches.chain(more).collect()
}

fn unproven(report: &Report, last: &Edge) -> Option<String> {
    match &report.proof {
        Proof::NoKey => Some("nothing is proven: signatures were not checked".to_owned()),
        Proof::NoCheckpoint => Some("nothing is proven: there is no checkpoint among the records".to_owned()),
        Proof::UpTo { seq, .. } if *seq < last.seq => {
            let from = seq.saturating_add(1);
            let records = if from == last.seq { "record" } else { "records" };
            Some(format!("{records} {}: chained, but no checkpoint covers them yet", range(from, last.seq)))
        }
        Proof::UpTo { .. } => None,
    }
}

fn elsewhere(agreement: &Agreement) -> String {
    let mut text = format!("{} checkpoints agree", agreement.agree);
    if agreement.before > 0 {
        text.push_str(&format!(", {} are about records before the first", agreement.before));
    }
    text
}

fn ending(report: &Report) -> String {
    let text = match report.ending {
        Ending::Stop => "with the checkpoint of an orderly stop",
        Ending::Checkpoint => {
            "with a checkpoint, but not of a stop: the daemon runs, was killed, or the end is missing"
        }
        Ending::Open => "without a checkpoint: the daemon runs, was killed, or the end is missing",
    };
    let more = match report.elsewhere {
        Some(_) => "",
        None => ". Whether records followed, only a later checkpoint can tell (--checkpoints)",
    };
    format!("{text}{more}")
}
