//! The tools behind the door, a folder a family; none may use another.

pub mod system;
