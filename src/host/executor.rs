//! The only file that knows an async runtime: what a crate needs that speaks to a socket in its own way, and a deadline
//! for everything.

#![forbid(unsafe_code)]

use std::future::Future;
use std::io;
use std::time::Duration;

/// Drives futures on the calling thread, and only while somebody waits for one.
pub struct Executor(tokio::runtime::Runtime);

impl Executor {
    /// One that drives nothing yet.
    ///
    /// # Errors
    /// The kernel has no descriptors to give.
    pub fn new() -> io::Result<Self> {
        tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build().map(Self)
    }

    /// Makes something that needs to know its executor.
    pub fn make<T>(&self, make: impl FnOnce() -> T) -> T {
        let _entered = self.0.enter();
        make()
    }

    /// Drives a future besides those that are waited for.
    pub fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) {
        drop(self.0.spawn(future));
    }

    /// Waits for a future; none if `at_most` passed.
    pub fn wait<F: Future>(&self, at_most: Duration, future: F) -> Option<F::Output> {
        self.0.block_on(async { tokio::time::timeout(at_most, future).await.ok() })
    }
}
