//! Everything printed about an agent: pure functions of its declaration.

#![forbid(unsafe_code)]

pub mod completion;
pub mod describe;
pub mod man;
pub mod table;
pub mod usage;
pub mod xml;
