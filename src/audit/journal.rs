//! The journal: JSON lines appended to one file by one thread.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;

use super::Sink;
use crate::error::{Code, Failure};

/// The audit log's file.
pub struct Journal {}

impl Journal {
    /// Opens (or makes, 0600) the file and starts the writer.
    ///
    /// # Errors
    /// [`Code::AuditUnavailable`].
    pub fn open(_path: &Path) -> Result<Arc<Self>, Failure> {
        Err(Failure::new(Code::AuditUnavailable, "placeholder"))
    }
}

#[async_trait]
impl Sink for Journal {
    async fn keep(&self, _line: Vec<u8>) -> Result<(), Failure> {
        Err(Failure::new(Code::AuditUnavailable, "placeholder"))
    }
    fn leave(&self, _line: Vec<u8>) {}
    fn healthy(&self) -> bool {
        false
    }
    fn reopen(&self) {}
    async fn flush(&self) {}
}
