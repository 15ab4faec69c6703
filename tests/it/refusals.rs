//! The table of refusals: each wrong way in has its status, its reason, its audit record, and runs nothing.

mod case;
mod forged;
mod run;
mod sent;

pub use run::{Mode, Opened, TRACE, run_all};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_wrong_way_in_is_refused_and_recorded() {
    let report = run_all(Mode::InProcess).await;
    assert!(report.cases >= 700, "the table has shrunk to {}", report.cases);
    assert!(report.wrong.is_empty(), "{} of {} cases:\n{}", report.wrong.len(), report.cases, report.wrong.join("\n"));
}
