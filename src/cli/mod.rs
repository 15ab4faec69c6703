//! What a person types: one file per verb, each an argument struct and a function to an exit status.

use std::io::Write as _;

use crate::error::Failure;

/// Exit statuses, the same for every command.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Exit {
    /// 0: done, nothing found.
    Done,
    /// 1: refused, or there are findings.
    Refused,
    /// 2: the command line is wrong.
    Usage,
    /// 3: could not be done.
    Failed,
}

impl Exit {
    /// The number.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Refused => 1,
            Self::Usage => 2,
            Self::Failed => 3,
        }
    }
}

/// What a command comes to; a failure is printed with its cause, for the person at the keyboard is the operator.
pub type Outcome = Result<Exit, Failure>;

/// A line on standard output; a reader that has gone away is no error.
pub fn say(line: impl AsRef<str>) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(line.as_ref().as_bytes()).and_then(|()| out.write_all(b"\n")).and_then(|()| out.flush());
}

/// A line on standard error.
pub fn complain(line: impl AsRef<str>) {
    let mut out = std::io::stderr().lock();
    let _ = out.write_all(line.as_ref().as_bytes()).and_then(|()| out.write_all(b"\n"));
}
