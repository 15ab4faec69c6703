//! Verification: reads a journal as a stranger would, in bounded memory, and says which lines are not as they were
//! written, or how far the whole is proven. Nothing but the files and public keys is needed.

mod chain;
mod elsewhere;
mod files;
mod flaw;
mod late;
mod pages;
mod report;
mod suspect;

use std::sync::mpsc;
use std::thread;

use crate::error::{Code, Failure};
use crate::pki::PublicKey;

pub use elsewhere::Elsewhere;
pub use files::Files;
pub use flaw::{Finding, Flaw};
pub use late::{Late, Stretch};
pub use report::{Agreement, Edge, Ending, FileRead, Proof, Report};

use chain::Examiner;
use pages::{Delivery, Pages};

/// Pages that may wait between the thread that reads and the one that judges.
const WAITING: usize = 4;

/// How far the work has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Progress {
    /// Lines that were read.
    pub records: u64,
    /// The file that is being read, counted from 1.
    pub file: usize,
    /// How many files there are.
    pub files: usize,
}

/// Reads the files in order. After a line that is not as it was written it goes on where the chain can be taken up again,
/// until so much is bad that more says nothing. Without `keys` signatures are not
/// checked, and nothing is proven. `progress` is called about once for every 256 KiB.
///
/// # Errors
/// [`Code::Io`] when a file cannot be read; damaged content is no error but a [`Finding`].
pub fn verify(
    files: &Files,
    keys: &[PublicKey],
    elsewhere: Elsewhere,
    progress: &mut dyn FnMut(Progress),
) -> Result<Report, Failure> {
    let mut examiner = Examiner::new(files, keys, elsewhere);
    thread::scope(|scope| {
        let (sender, receiver) = mpsc::sync_channel(WAITING);
        let reader = thread::Builder::new()
            .name("verify".to_owned())
            .spawn_scoped(scope, move || Pages::new(files, sender).read())
            .map_err(|error| Failure::new(Code::Io, "no thread can be started").because(error))?;
        for delivery in &receiver {
            let going_on = match delivery {
                Delivery::Page(page) => {
                    let going_on = examiner.page(&page);
                    progress(Progress {
                        records: examiner.lines(),
                        file: page.file.saturating_add(1),
                        files: files.len(),
                    });
                    going_on
                }
                Delivery::Damaged { file, line, why } => examiner.damaged(file, line, why),
            };
            if !going_on {
                break;
            }
        }
        // A reader that still has pages to hand over learns that nobody wants them.
        drop(receiver);
        let read = reader.join();
        read.map_err(|_| Failure::new(Code::Internal, "the thread that reads the journal failed"))?
    })?;
    Ok(examiner.report())
}
