//! What becomes of full files, on a thread of its own: compressed, read back and compared, and only then is the plain one
//! removed; beyond `max_files` the oldest go. Killed at any instant it leaves nothing but work to be done again.

use std::fs::File;
use std::io::{self, Read, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

use aws_lc_rs::digest::{Context, Digest, SHA256};
use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;

use super::file::{create_private, sync_directory};
use super::layout::{Layout, first_record};
use super::recovery::is_ours;
use crate::pki::file;
use crate::secret;
use crate::telemetry::{AuditFileFailed, AuditFileRemoved};

/// Between two looks at whether the daemon stops.
const CHUNK: usize = 256 << 10;

/// How long the end of the thread is waited for; a disk that does not answer keeps nobody from ending.
const PATIENCE: Duration = Duration::from_secs(5);

/// The thread's handle; dropping it ends the thread at the next chunk.
pub(super) struct Archive {
    wake: Option<mpsc::Sender<()>>,
    stop: Arc<AtomicBool>,
    ended: Mutex<mpsc::Receiver<()>>,
}

impl Archive {
    /// Starts the thread, which looks at once at what an earlier process left.
    pub(super) fn start(layout: Layout, compress: bool, most: usize) -> io::Result<Self> {
        let (wake, work) = mpsc::channel::<()>();
        let stop = Arc::new(AtomicBool::new(false));
        let keeper = Keeper { layout, compress, most, stop: Arc::clone(&stop) };
        let (end, ended) = mpsc::channel::<()>();
        thread::Builder::new().name("audit-files".to_owned()).spawn(move || {
            let _end = end;
            keeper.keep();
            while work.recv().is_ok() {
                while work.try_recv().is_ok() {}
                keeper.keep();
            }
        })?;
        Ok(Self { wake: Some(wake), stop, ended: Mutex::new(ended) })
    }

    /// Begins nothing new, and leaves what is half done to the next process.
    pub(super) fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// A sender that says that there is one more full file.
    pub(super) fn bell(&self) -> Option<mpsc::Sender<()>> {
        self.wake.clone()
    }
}

impl Drop for Archive {
    fn drop(&mut self) {
        self.stop();
        self.wake = None;
        let _ = self.ended.get_mut().unwrap_or_else(PoisonError::into_inner).recv_timeout(PATIENCE);
    }
}

struct Keeper {
    layout: Layout,
    compress: bool,
    most: usize,
    stop: Arc<AtomicBool>,
}

impl Keeper {
    fn keep(&self) {
        if let Err(error) = self.sweep() {
            AuditFileFailed { path: self.layout.directory(), cause: &error.to_string() }.emit();
        }
    }

    fn sweep(&self) -> io::Result<()> {
        self.remove_drafts()?;
        // Neither another user's files nor those that are not what their names say count, or make others go.
        let mut files = self.layout.rotated_files()?;
        files.retain(|file| is_ours(&file.path) && first_record(&file.path) == file.first);
        let surplus = files.len().saturating_sub(self.most);
        let (old, kept) = files.split_at_checked(surplus).unwrap_or((&[], &files));
        for segment in old {
            let twin = zipped(&segment.path);
            for path in [&segment.path, &twin].into_iter().filter(|path| path.exists()) {
                std::fs::remove_file(path)?;
            }
            AuditFileRemoved { path: &segment.path, kept: self.most }.emit();
        }
        for segment in kept.iter().filter(|segment| self.compress && !is_zipped(&segment.path)) {
            if let Err(error) = self.compress(&segment.path) {
                AuditFileFailed { path: &segment.path, cause: &error.to_string() }.emit();
            }
        }
        Ok(())
    }

    /// What a process that was killed was writing.
    fn remove_drafts(&self) -> io::Result<()> {
        for entry in std::fs::read_dir(self.layout.directory())? {
            let path = entry?.path();
            let name = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.strip_suffix(".tmp"));
            let draft = name.and_then(|name| name.split_once(".gz.")).map(|(segment, _)| segment);
            if draft.is_some_and(|segment| self.layout.first_of(segment.as_ref()).is_some()) {
                std::fs::remove_file(&path)?;
            }
        }
        Ok(())
    }

    fn compress(&self, plain: &Path) -> io::Result<()> {
        let zipped = zipped(plain);
        // A name of its own: whoever else is still at this file, nobody gives another's half of it the final name.
        let own = secret::random::<8>().map_err(|failure| io::Error::other(failure.to_string()))?;
        let mut draft = zipped.clone().into_os_string();
        draft.push(format!(".{}.tmp", secret::hex(&own)));
        let draft = PathBuf::from(draft);
        let made = self.write_zipped(plain, &draft);
        if !matches!(made, Ok(true)) {
            let _ = std::fs::remove_file(&draft);
            return made.map(|_| ());
        }
        std::fs::rename(&draft, &zipped)?;
        sync_directory(self.layout.directory())?;
        std::fs::remove_file(plain)
    }

    /// False when the daemon stops; the file is left for the next one.
    fn write_zipped(&self, plain: &Path, draft: &Path) -> io::Result<bool> {
        let mut encoder = GzEncoder::new(create_private(draft)?, Compression::default());
        let Some(wanted) = self.digest(&mut file::open(plain)?, |chunk| encoder.write_all(chunk))? else {
            return Ok(false);
        };
        let file = encoder.finish()?;
        file.sync_all()?;
        let mut again = MultiGzDecoder::new(io::BufReader::new(File::open(draft)?));
        match self.digest(&mut again, |_| Ok(()))? {
            Some(found) if found.as_ref() == wanted.as_ref() => Ok(true),
            Some(_) => Err(io::Error::other("what was compressed is not what was read; the plain file stays")),
            None => Ok(false),
        }
    }

    fn digest(
        &self,
        from: &mut impl Read,
        mut each: impl FnMut(&[u8]) -> io::Result<()>,
    ) -> io::Result<Option<Digest>> {
        let mut context = Context::new(&SHA256);
        let mut chunk = vec![0; CHUNK];
        loop {
            if self.stop.load(Ordering::Relaxed) {
                return Ok(None);
            }
            let count = from.read(&mut chunk)?;
            let read = chunk.get(..count).unwrap_or_default();
            if read.is_empty() {
                return Ok(Some(context.finish()));
            }
            context.update(read);
            each(read)?;
        }
    }
}

fn is_zipped(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending == "gz")
}

fn zipped(plain: &Path) -> PathBuf {
    let mut name = plain.as_os_str().to_owned();
    name.push(".gz");
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::chain::Head;
    use crate::audit::lines::Lines;

    fn world(files: u64) -> (tempfile::TempDir, Layout) {
        let home = tempfile::tempdir().unwrap();
        let layout = Layout::of(&home.path().join("audit.jsonl"));
        let mut head = Head::START;
        for _ in 0..files {
            let mut page = Vec::new();
            let first = head.seq.saturating_add(1);
            for _ in 0..50 {
                head = head.append(b"{\"v\":1,\"event\":\"query\"}", &mut page).unwrap();
            }
            std::fs::write(layout.rotated(first), page).unwrap();
        }
        (home, layout)
    }

    fn names(layout: &Layout) -> Vec<String> {
        let mut names: Vec<String> = std::fs::read_dir(layout.directory())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    fn keeper(layout: &Layout, compress: bool, most: usize) -> Keeper {
        Keeper { layout: layout.clone(), compress, most, stop: Arc::default() }
    }

    #[test]
    fn full_files_are_compressed_and_the_oldest_go() {
        let (_home, layout) = world(4);
        let before: Vec<_> = Lines::open(&layout.rotated(51)).unwrap().map(Result::unwrap).collect();
        keeper(&layout, true, 3).keep();
        let expected = [51, 101, 151].map(|first| format!("audit.{first:012}.jsonl.gz"));
        assert_eq!(names(&layout), expected);
        let after: Vec<_> = Lines::open(&zipped(&layout.rotated(51))).unwrap().map(Result::unwrap).collect();
        assert_eq!(before, after);
    }

    #[test]
    fn work_that_was_broken_off_is_done_again() {
        let (home, layout) = world(2);
        std::fs::write(home.path().join("audit.000000000001.jsonl.gz.0123456789abcdef.tmp"), "half").unwrap();
        // Killed between the new name and the removal of the plain file: both are there.
        std::fs::write(zipped(&layout.rotated(51)), "old").unwrap();
        std::fs::write(home.path().join("other.gz.tmp"), "not ours").unwrap();
        keeper(&layout, true, 10).keep();
        assert_eq!(names(&layout), ["audit.000000000001.jsonl.gz", "audit.000000000051.jsonl.gz", "other.gz.tmp"]);
        assert_eq!(Lines::open(&zipped(&layout.rotated(51))).unwrap().count(), 50);
    }

    #[test]
    fn files_that_are_not_what_their_names_say_make_no_others_go() {
        let (home, layout) = world(3);
        for number in 900..910 {
            std::fs::write(home.path().join(format!("audit.{number:012}.jsonl")), "").unwrap();
        }
        let before = names(&layout);
        keeper(&layout, false, 3).keep();
        assert_eq!(names(&layout), before);
        keeper(&layout, false, 2).keep();
        assert_eq!(names(&layout), before[1..]);
    }

    #[test]
    fn told_to_stop_it_leaves_the_plain_file() {
        let (_home, layout) = world(1);
        let keeper = keeper(&layout, true, 10);
        keeper.stop.store(true, Ordering::Relaxed);
        keeper.keep();
        assert_eq!(names(&layout), ["audit.000000000001.jsonl"]);
    }
}
