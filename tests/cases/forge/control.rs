//~ compiles
// What a toolset may do: read the permit it was given and return an output, which is not yet an answer.
use doorward::call::{Output, Progress};
use doorward::error::Failure;
use doorward::policy::Permit;

pub async fn run(permit: &Permit, progress: &Progress) -> Result<Output, Failure> {
    progress.report(1.0, None, permit.resource().to_string());
    Output::structured(permit.arguments().values())
}
