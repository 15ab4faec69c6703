//! `/proc/PID/stat`, `/proc/PID/status` and `/proc/PID/cmdline`.

use std::borrow::Cow;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::guard::takes_secret;

/// Bytes of an argument that begins with a dash and may yet be the secret that the flag before it asks for.
const DASHED: usize = 6;

/// The part of `/proc/PID/stat` that the process list uses.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct ProcessStat {
    /// The process.
    pub(super) pid: u32,
    /// Its parent.
    pub(super) parent: u32,
    /// Its name as the kernel keeps it: 15 bytes of a program's.
    pub(super) name: String,
    /// What it is doing.
    pub(super) state: State,
    /// Time on processors in ticks, in user mode and in the kernel.
    pub(super) cpu_ticks: u64,
    /// Number of its threads.
    pub(super) threads: u64,
    /// When it started, in ticks after the host did.
    pub(super) start_ticks: u64,
    /// Memory it holds, in pages.
    pub(super) resident_pages: u64,
    /// Bytes of addresses it has set up.
    pub(super) virtual_bytes: u64,
    /// How nice it is to others: from -20, taking much, to 19.
    pub(super) nice: i32,
}

/// What a process is doing.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum State {
    /// It runs or could run.
    Running,
    /// It waits for something.
    Sleeping,
    /// It waits for a disk or a server and cannot be interrupted.
    Uninterruptible,
    /// It is a kernel thread with nothing to do.
    Idle,
    /// It was stopped.
    Stopped,
    /// A debugger holds it.
    Traced,
    /// It has ended and its parent has not taken note.
    Zombie,
    /// It is going away.
    Dead,
    /// Something else.
    Other,
}

impl State {
    /// proc_pid_stat(5).
    fn from_letter(letter: char) -> Self {
        match letter {
            'R' => Self::Running,
            'S' => Self::Sleeping,
            'D' => Self::Uninterruptible,
            'I' => Self::Idle,
            'T' => Self::Stopped,
            't' => Self::Traced,
            'Z' => Self::Zombie,
            'X' | 'x' => Self::Dead,
            _ => Self::Other,
        }
    }
}

impl ProcessStat {
    /// The name stands in brackets and may hold blanks and brackets itself: it ends at the last closing one.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (pid, rest) = text.split_once('(')?;
        let (name, rest) = rest.rsplit_once(')')?;
        let mut words = rest.split_whitespace();
        let state = State::from_letter(words.next()?.chars().next()?);
        let mut number = |skip| words.nth(skip)?.parse().ok();
        let parent = number(0)?;
        let (user, system): (u64, u64) = (number(9)?, number(0)?);
        words.nth(2)?;
        let nice = words.next()?.parse().ok()?;
        let mut number = |skip| words.nth(skip)?.parse().ok();
        let threads = number(0)?;
        let start_ticks = number(1)?;
        let (virtual_bytes, resident_pages) = (number(0)?, number(0)?);
        Some(Self {
            pid: pid.trim().parse().ok()?,
            parent: u32::try_from(parent).ok()?,
            name: name.to_owned(),
            state,
            cpu_ticks: user.saturating_add(system),
            threads,
            start_ticks,
            resident_pages,
            virtual_bytes,
            nice,
        })
    }
}

/// The part of `/proc/PID/status` that the process list uses.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct ProcessStatus {
    /// The user whose rights it has: the effective one.
    pub(super) uid: Option<u32>,
    /// Memory it holds, in bytes; a kernel thread holds none.
    pub(super) resident_bytes: u64,
    /// Bytes of it in swap space, where the kernel says so.
    pub(super) swapped_bytes: Option<u64>,
}

impl ProcessStatus {
    /// What is missing is absent.
    pub(super) fn parse(text: &str) -> Self {
        let value = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        let bytes = |name| {
            let kibibytes: u64 = value(name)?.split_whitespace().next()?.parse().ok()?;
            Some(kibibytes.saturating_mul(1024))
        };
        Self {
            uid: value("Uid").and_then(|rest| rest.split_whitespace().nth(1)?.parse().ok()),
            resident_bytes: bytes("VmRSS").unwrap_or(0),
            swapped_bytes: bytes("VmSwap"),
        }
    }
}

/// A command line of at most `cap` bytes and whether something is missing, from the start of `/proc/PID/cmdline` and
/// whether there was more. Arguments are dropped whole: no redaction finds half a secret.
pub(super) fn command_line(start: &[u8], more: bool, cap: usize) -> (Option<String>, bool) {
    let mut arguments: Vec<&[u8]> = start.split(|byte| *byte == 0).collect();
    if more {
        // What stands after the last end of an argument goes on in what was not read.
        arguments.pop();
    }
    while arguments.last().is_some_and(|last| last.is_empty()) {
        arguments.pop();
    }
    let mut text = String::new();
    let mut before = Cow::Borrowed("");
    for (at, argument) in arguments.iter().enumerate() {
        let raw = String::from_utf8_lossy(argument);
        // What a process calls itself stands in the first, as it is to be read.
        let argument = if at == 0 { Cow::Borrowed(&*raw) } else { quoted(&raw, &before) };
        let blank = if at == 0 { "" } else { " " };
        if text.len().saturating_add(blank.len()).saturating_add(argument.len()) > cap {
            return (Some(text).filter(|text| !text.is_empty()), true);
        }
        text.push_str(blank);
        text.push_str(&argument);
        drop(argument);
        before = raw;
    }
    (Some(text).filter(|text| !text.is_empty()), more)
}

/// An argument as a shell would be given it, so that redaction sees where a secret ends: one with blanks is in quotes, and so
/// is whatever follows a flag such as `--password`.
fn quoted<'a>(argument: &'a str, before: &str) -> Cow<'a, str> {
    let blanks = argument.contains(char::is_whitespace);
    let signs = ['"', '\'', '\\'];
    let dashed = argument.len() >= DASHED && argument.starts_with('-') && !argument.starts_with("--");
    if (blanks || dashed || argument.contains(signs)) && takes_secret(before) {
        return Cow::Owned(in_quotes("", argument));
    }
    if !blanks {
        return Cow::Borrowed(argument);
    }
    // What names the value stays outside: `--password="…"`, `-p"…"`.
    let named = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | ':' | '/');
    let length = match argument.split_once('=') {
        Some((name, _)) if !name.is_empty() && name.chars().all(named) => name.len().saturating_add(1),
        _ if argument.starts_with('-') && argument.as_bytes().get(1).is_some_and(u8::is_ascii_alphanumeric) => 2,
        _ => 0,
    };
    let (name, value) = argument.split_at_checked(length).unwrap_or(("", argument));
    let plain = !value.contains(['"', '\\', '\n', '\r']);
    // What is in quotes or brackets itself tells its own ends.
    if plain || (!name.is_empty() && !value.starts_with(['"', '\'', '{', '['])) {
        return Cow::Owned(in_quotes(name, value));
    }
    Cow::Borrowed(argument)
}

fn in_quotes(name: &str, value: &str) -> String {
    let mut text = format!("{name}\"");
    for letter in value.chars() {
        match letter {
            '"' | '\\' => text.extend(['\\', letter]),
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            _ => text.push(letter),
        }
    }
    text.push('"');
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_name_may_hold_brackets_and_blanks() {
        let text =
            "42 (a) (b) c) S 1 42 42 0 -1 4194304 1 2 3 4 150 50 7 8 20 0 3 0 9000 1000 256 18446744073709551615\n";
        let stat = ProcessStat::parse(text).unwrap();
        assert_eq!((stat.pid, stat.parent, stat.name.as_str(), stat.state), (42, 1, "a) (b) c", State::Sleeping));
        assert_eq!((stat.cpu_ticks, stat.threads, stat.start_ticks, stat.resident_pages), (200, 3, 9000, 256));
        assert_eq!((stat.virtual_bytes, stat.nice), (1000, 0));
        for text in ["", "42", "42 (a)", "42 )(", "(a) S 1", "42 (a) S 1 2 3", "x (a) S 1 2"] {
            assert_eq!(ProcessStat::parse(text), None, "{text}");
        }
    }

    #[test]
    fn the_effective_user_counts_and_a_kernel_thread_holds_nothing() {
        let status = ProcessStatus::parse("Name:\tsu\nUid:\t1000\t0\t0\t0\nVmRSS:\t    2048 kB\nVmSwap:\t 4 kB\n");
        assert_eq!(status, ProcessStatus { uid: Some(0), resident_bytes: 2_097_152, swapped_bytes: Some(4096) });
        assert_eq!(ProcessStatus::parse("Name:\tkthreadd\n"), ProcessStatus::default());
    }

    #[test]
    fn an_argument_is_shown_whole_or_not_at_all() {
        let line = b"tool\0--token\0abcdef\0\0";
        let shown = |start: &[u8], more, cap| {
            let (text, cut) = command_line(start, more, cap);
            (text.unwrap_or_default(), cut)
        };
        assert_eq!(shown(line, false, 100), ("tool --token abcdef".to_owned(), false));
        assert_eq!(shown(line, false, 18), ("tool --token".to_owned(), true));
        assert_eq!(shown(&line[..16], true, 16), ("tool --token".to_owned(), true));
        assert_eq!(shown(b"tool\0", true, 5), ("tool".to_owned(), true));
        assert_eq!(shown(b"nginx: worker process", false, 100), ("nginx: worker process".to_owned(), false));
        assert_eq!(shown(b"\xff\xff", false, 5), (String::new(), true));
        assert_eq!(command_line(b"", false, 100), (None, false));
    }

    #[test]
    fn what_a_secret_flag_is_given_is_one_word_to_redaction() {
        for (line, wanted) in [
            (&b"app\0--password\0a spaced pw\0--port\080\0"[..], "app --password \"a spaced pw\" --port 80"),
            (b"app\0--password=a \"b c\0x", "app --password=\"a \\\"b c\" x"),
            (b"app\0--password\0-dashed\0", "app --password \"-dashed\""),
            (b"app\0--password\0a\nb'\\\0", "app --password \"a\\nb'\\\\\""),
            (b"mysql\0-pa b\0", "mysql -p\"a b\""),
            (b"sh\0-c\0sleep 30; :\0", "sh -c \"sleep 30; :\""),
            (b"curl\0-d\0{\"a\": \"b\"}\0", "curl -d {\"a\": \"b\"}"),
            (b"app\0--verbose\0-dashed\0it's", "app --verbose -dashed it's"),
        ] {
            assert_eq!(command_line(line, false, 100).0.as_deref(), Some(wanted));
            let clean = clean(wanted);
            assert!(!["spaced", "b c", "dashed\"", "b'"].iter().any(|tail| clean.contains(tail)), "{clean}");
        }
        assert_eq!(clean("app --password=\"a b\" x"), "app --password=\"[REDACTED]\" x");
    }

    fn clean(text: &str) -> String {
        use crate::guard::{Caps, Guard, LimitsSection, RedactionSection, Redactor};
        let redactor = Redactor::new(&RedactionSection::default()).unwrap();
        Guard::new(redactor, Caps::new(&LimitsSection::default())).redact_message(text, &crate::call::Leases::default())
    }

    proptest! {
        #[test]
        fn no_text_is_a_panic(text in "\\PC*|[0-9]{0,11} [(]x[)] S( -?[0-9]{1,21}){0,24}") {
            let _ = (ProcessStat::parse(&text), ProcessStatus::parse(&text));
        }

        #[test]
        fn a_command_line_is_never_over_its_cap(
            start in proptest::collection::vec(prop_oneof![Just(0_u8), any::<u8>()], 0..64),
            more: bool,
            cap in 0_usize..64,
        ) {
            let (text, _) = command_line(&start, more, cap);
            prop_assert!(text.is_none_or(|text| text.len() <= cap));
        }
    }
}
