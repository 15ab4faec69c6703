//! Files of the kernel that the quickest queries read over and over. They stay open: opening costs more than reading, and
//! the kernel writes them anew for every read that begins at their start.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::OnceLock;

/// Longest text of such a file, in bytes.
const MOST: usize = 4096;

/// One file, opened when it is first read.
#[derive(Default, Debug)]
pub(super) struct Reread(OnceLock<File>);

impl Reread {
    /// What it says now; `open` is asked once.
    ///
    /// # Errors
    /// Of opening and reading, and when it is longer than such a file is.
    pub(super) fn read(&self, open: impl FnOnce() -> io::Result<File>) -> io::Result<String> {
        let file = match self.0.get() {
            Some(file) => file,
            None => {
                let opened = open()?;
                self.0.get_or_init(|| opened)
            }
        };
        let mut buffer = [0; MOST];
        let mut count: usize = 0;
        while let Some(rest) = buffer.get_mut(count..).filter(|rest| !rest.is_empty()) {
            match file.read_at(rest, u64::try_from(count).unwrap_or(u64::MAX)) {
                Ok(0) => return Ok(String::from_utf8_lossy(buffer.get(..count).unwrap_or_default()).into_owned()),
                Ok(read) => count = count.saturating_add(read),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Err(io::ErrorKind::FileTooLarge.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_opened_once_and_read_anew_each_time() {
        let reread = Reread::default();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("loadavg");
        std::fs::write(&path, "1").unwrap();
        assert!(reread.read(|| Err(io::ErrorKind::NotFound.into())).is_err());
        assert_eq!(reread.read(|| File::open(&path)).unwrap(), "1");
        std::fs::write(&path, "23").unwrap();
        assert_eq!(reread.read(|| panic!("again")).unwrap(), "23");
        std::fs::write(&path, [b'x'; MOST]).unwrap();
        assert!(reread.read(|| panic!("again")).is_err());
    }

    #[test]
    fn the_kernel_writes_it_anew() {
        let (reread, clock) = (Reread::default(), crate::clock::Clock::system());
        let first = reread.read(|| File::open("/proc/uptime")).unwrap();
        let begun = clock.instant();
        while reread.read(|| File::open("/proc/uptime")).unwrap() == first {
            assert!(clock.instant().duration_since(begun).as_secs() < 10, "{first}");
        }
    }
}
