//! ctrl-c and SIGTERM: first drain, then cancel, then exit.

use std::pin::pin;

use tokio::{
    signal::unix::{SignalKind, signal},
    task::JoinSet,
};

use super::{
    error::{Code, Failure},
    screen, term,
};
use migrate_engine::Shutdown;

/// Listens until the returned set is dropped.
pub(super) fn listen(shutdown: &Shutdown) -> Result<JoinSet<()>, Failure> {
    let failed = |error| Failure::new(Code::Incomplete, format!("failed to listen for signals: {error}"));
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let shutdown = shutdown.clone();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        for asked in 1.. {
            futures::future::select(pin!(interrupt.recv()), pin!(terminate.recv())).await;
            match asked {
                1 => term::tell("finishing what is in flight; press again to cancel requests"),
                2 => term::tell("cancelling requests; press again to exit at once"),
                _ => exit_now(),
            }
            shutdown.ask();
        }
    });
    Ok(tasks)
}

#[expect(clippy::exit, reason = "the third time, the operator wants out; a crash at any instant is safe")]
fn exit_now() -> ! {
    screen::clear();
    std::process::exit(Code::Incomplete as i32)
}
