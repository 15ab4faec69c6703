//~ E0308
// A tool does not run on arguments alone.
use doorward::call::{Arguments, Output, Progress};
use doorward::error::Failure;
use doorward::tools::Tool;

pub async fn run(tool: &dyn Tool, arguments: &Arguments) -> Result<Output, Failure> {
    tool.run(arguments, &Progress::unheard()).await
}
