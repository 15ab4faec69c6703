//! A permission as a value. Holding one proves that the call was judged and that the decision is in the audit log.

use super::Context;
use crate::audit::{Entry, Record, Trail};
use crate::call::{Arguments, Leases, Resource};
use crate::error::{Code, Failure};
use crate::secret::Secret;

/// Bytes of the shortest secret that can be leased, blanks at its ends not counted.
pub const SHORTEST_LEASE: usize = 4;

/// A call that was judged and allowed. It permits nothing yet: [`Judged::record`] makes the permit.
#[derive(Debug)]
pub struct Judged {
    pub(super) arguments: Arguments,
    pub(super) resource: Resource,
    pub(super) by: Vec<String>,
    pub(super) context: Context,
}

impl Judged {
    /// Writes the decision into the audit log and only then makes the permit. The record is taken out of `record`.
    ///
    /// # Errors
    /// [`Code::AuditUnavailable`] when the decision cannot be recorded.
    pub async fn record(self, record: &mut Option<Record>, trail: &Trail) -> Result<(Permit, Entry), Failure> {
        let record =
            record.take().ok_or_else(|| Failure::new(Code::AuditUnavailable, "the call has no audit record"))?;
        let record = record.permitted(&self.by).on(&self.resource.to_string());
        let record = if self.context.first_contact { record.in_first_contact() } else { record };
        let entry = trail.begin(record).await?;
        let leased = Leases::default();
        Ok((Permit { arguments: self.arguments, resource: self.resource, by: self.by, leased }, entry))
    }
}

/// Permission for one call: the very arguments and resource that were judged. It is not `Clone` and nobody outside
/// `policy` can make one, so a tool cannot run without a recorded decision.
#[derive(Debug)]
pub struct Permit {
    arguments: Arguments,
    resource: Resource,
    by: Vec<String>,
    leased: Leases,
}

impl Permit {
    /// Notes a secret that is leased for this call, before anybody gets it: nothing leaves the call with it in.
    ///
    /// # Errors
    /// [`Code::Internal`] when it is shorter than [`SHORTEST_LEASE`] bytes: it could not be told from other text.
    pub fn lease(&self, secret: &Secret<Vec<u8>>) -> Result<(), Failure> {
        if secret.expose().trim_ascii().len() < SHORTEST_LEASE {
            let text = format!("a secret of less than {SHORTEST_LEASE} bytes cannot be kept out of an answer");
            return Err(Failure::new(Code::Internal, "a secret could not be leased").because(text));
        }
        self.leased.add(secret);
        Ok(())
    }

    /// The secrets that were leased for this call so far.
    #[must_use]
    pub fn leased(&self) -> &Leases {
        &self.leased
    }

    /// The arguments that were judged.
    #[must_use]
    pub fn arguments(&self) -> &Arguments {
        &self.arguments
    }

    /// The resource that was judged.
    #[must_use]
    pub fn resource(&self) -> &Resource {
        &self.resource
    }

    /// The rules that permitted it.
    #[must_use]
    pub fn by(&self) -> &[String] {
        &self.by
    }
}
