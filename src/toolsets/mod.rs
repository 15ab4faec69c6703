//! The tools behind the door, a folder a family; none may use another.

mod settings;
pub mod system;

pub use settings::ToolsetsSection;

/// The names of all toolsets.
pub const NAMES: [&str; 1] = ["system"];
