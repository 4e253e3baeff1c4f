//! Mails that tell people what happens to a resource.
//!
//! The agent writes the mail while it knows what happens ([`notice`], [`message`]) and gives it to a process that it
//! leaves behind ([`Post`]). That one hands it to sendmail or to a relay ([`smtp`]), tries again when it is told to come
//! later, and tells the log when nobody takes it ([`deliver()`]). So no mail server can delay or fail an action.
//! Who gets mails is also written down ([`Subscription`]), for the watcher of another resource that has failed.

mod deliver;
pub mod message;
pub mod notice;
mod post;
pub mod smtp;
mod subscription;

pub use deliver::{deliver, longest};
pub use post::{Notice, Post, Route};
pub use subscription::Subscription;
