//~ E0061
// The guard releases nothing for a call that was not permitted.
use doorward::call::Output;
use doorward::error::Failure;
use doorward::guard::{Guard, Released};

pub fn release(guard: &Guard, output: Output) -> Result<Released, Failure> {
    guard.release(output)
}
