//! What the agents do to a real kernel, each test in namespaces of its own.

mod addresses;
mod announcing;
mod conflicts;
mod families;
mod faults;
mod links;
mod support;
