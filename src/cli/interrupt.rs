//! ctrl-c and SIGTERM: first drain, then cancel, then exit.

use std::pin::pin;

use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    task::JoinSet,
};

use super::{
    error::{Code, Failure},
    screen, term,
};
use migrate_engine::Shutdown;

/// Waits until one of them comes.
pub(super) async fn first() -> Result<(), Failure> {
    let (mut interrupt, mut terminate) = signals()?;
    futures::future::select(pin!(interrupt.recv()), pin!(terminate.recv())).await;
    Ok(())
}

/// Listens until the returned set is dropped.
pub(super) fn listen(shutdown: &Shutdown) -> Result<JoinSet<()>, Failure> {
    let (mut interrupt, mut terminate) = signals()?;
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

fn signals() -> Result<(Signal, Signal), Failure> {
    let failed = |error| Failure::new(Code::Incomplete, format!("failed to listen for signals: {error}"));
    let interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    Ok((interrupt, signal(SignalKind::terminate()).map_err(failed)?))
}

#[expect(clippy::exit, reason = "the third time, the operator wants out; a crash at any instant is safe")]
fn exit_now() -> ! {
    screen::clear();
    std::process::exit(Code::Incomplete as i32)
}
