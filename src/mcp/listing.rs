//! A tool's declaration in the protocol's words.

use rmcp::model::{Tool, ToolAnnotations};

use crate::call::ToolSpec;

/// The entry of `tools/list`.
pub(super) fn entry(spec: &ToolSpec) -> Tool {
    let hints = ToolAnnotations::with_title(spec.title.to_string())
        .read_only(spec.annotations.read_only)
        .destructive(spec.annotations.destructive)
        .idempotent(spec.annotations.idempotent)
        .open_world(spec.annotations.open_world);
    Tool::new(spec.name.clone(), spec.description.clone(), spec.input_schema.members())
        .with_title(spec.title.to_string())
        .with_raw_output_schema(spec.output_schema.members())
        .with_annotations(hints)
}
