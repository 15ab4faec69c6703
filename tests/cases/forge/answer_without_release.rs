//~ E0308
// The pipeline answers with what the guard released, not with what a tool returned.
use doorward::call::{Call, Output, Progress};
use doorward::error::Failure;
use doorward::guard::Released;
use doorward::pipeline::Door;

pub async fn answer(door: &Door, call: Call, progress: &Progress, output: Output) -> Result<Released, Failure> {
    let _ = door.pass(call, progress).await?;
    Ok(output)
}
