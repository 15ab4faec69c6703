//! Telling that files have changed, by looking at them now and then. Looking works everywhere: on network file systems,
//! and for the symlinks by which Kubernetes swaps a whole directory.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::{Interval, MissedTickBehavior, interval};

/// Time between two looks.
const PERIOD: Duration = Duration::from_secs(2);

/// Watches a list of files.
#[derive(Debug)]
pub struct Watch {
    seen: Vec<(PathBuf, Option<Stamp>)>,
    interval: Interval,
}

/// What of a file changes when somebody writes it or puts another in its place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
}

impl Watch {
    /// Takes the files as they are now for unchanged. A file that is not there counts as such: it may appear.
    pub async fn new(files: Vec<PathBuf>) -> Self {
        Self::every(PERIOD, files).await
    }

    async fn every(period: Duration, files: Vec<PathBuf>) -> Self {
        let mut interval = interval(period);
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { seen: look(files).await, interval }
    }

    /// Watches other files from now on; those that were watched before keep what was seen of them.
    pub async fn set(&mut self, files: Vec<PathBuf>) {
        let mut now = look(files).await;
        for (path, stamp) in &mut now {
            if let Some((_, seen)) = self.seen.iter().find(|(known, _)| known == path) {
                *stamp = *seen;
            }
        }
        self.seen = now;
    }

    /// Watches these files too from now on.
    pub async fn add(&mut self, files: Vec<PathBuf>) {
        let known = self.seen.iter().map(|(path, _)| path.clone());
        let mut all: Vec<PathBuf> = known.chain(files).collect();
        all.sort();
        all.dedup();
        self.set(all).await;
    }

    /// Waits until at least one of the files is not what it was, and says which. It looks every two seconds and may be
    /// dropped between looks without missing a change.
    pub async fn changed(&mut self) -> Vec<PathBuf> {
        loop {
            self.interval.tick().await;
            let now = look(self.seen.iter().map(|(path, _)| path.clone()).collect()).await;
            let differs = now.iter().zip(&self.seen).filter(|(now, seen)| now != seen);
            let changed: Vec<PathBuf> = differs.map(|((path, _), _)| path.clone()).collect();
            if !changed.is_empty() {
                self.seen = now;
                return changed;
            }
        }
    }
}

/// Looks at the files on a thread that may block. Should that fail, they look as if they were gone.
async fn look(files: Vec<PathBuf>) -> Vec<(PathBuf, Option<Stamp>)> {
    let gone = files.iter().map(|path| (path.clone(), None)).collect();
    let look = move || {
        files
            .into_iter()
            .map(|path| {
                let stamp = stamp(&path);
                (path, stamp)
            })
            .collect()
    };
    tokio::task::spawn_blocking(look).await.unwrap_or(gone)
}

/// Follows symlinks.
fn stamp(path: &Path) -> Option<Stamp> {
    let metadata = std::fs::metadata(path).ok()?;
    Some(Stamp {
        device: metadata.dev(),
        inode: metadata.ino(),
        size: metadata.size(),
        modified: (metadata.mtime(), metadata.mtime_nsec()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn changed(watch: &mut Watch) -> Vec<PathBuf> {
        tokio::time::timeout(Duration::from_secs(60), watch.changed()).await.expect("a change is noticed")
    }

    async fn is_quiet(watch: &mut Watch) -> bool {
        tokio::time::timeout(Duration::from_millis(200), watch.changed()).await.is_err()
    }

    #[tokio::test]
    async fn writing_appearing_disappearing_and_swapped_links_are_changes() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        let link = |target: &str| {
            let _ = std::fs::remove_file(path("link"));
            std::os::unix::fs::symlink(path(target), path("link")).unwrap();
        };
        std::fs::write(path("one"), "1").unwrap();
        std::fs::write(path("two"), "2").unwrap();
        link("one");
        let mut watch = Watch::every(Duration::from_millis(5), vec![path("one"), path("absent"), path("link")]).await;
        assert!(is_quiet(&mut watch).await);
        link("two");
        assert_eq!(changed(&mut watch).await, [path("link")]);
        std::fs::write(path("absent"), "3").unwrap();
        assert_eq!(changed(&mut watch).await, [path("absent")]);
        std::fs::write(path("one"), "11").unwrap();
        assert_eq!(changed(&mut watch).await, [path("one")]);
        std::fs::remove_file(path("absent")).unwrap();
        assert_eq!(changed(&mut watch).await, [path("absent")]);
        assert!(is_quiet(&mut watch).await);
    }

    #[tokio::test]
    async fn a_change_before_the_list_is_replaced_is_not_lost() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("one");
        let mut watch = Watch::every(Duration::from_millis(5), vec![path.clone()]).await;
        std::fs::write(&path, "1").unwrap();
        watch.set(vec![path.clone()]).await;
        assert_eq!(changed(&mut watch).await, [path]);
    }
}
