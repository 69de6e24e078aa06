//! Applies the fault of a call to it, whatever kind of store is called.

use std::future::Future;

use super::{
    faults::{Faults, Late},
    kinds::{Fault, Operation},
};
use crate::object::Result;
use migrate_core::model::Key;
use migrate_fault::Strike;

/// Writes, unless the fault is an error. `late` is the same request for a fault that holds it.
pub(super) async fn writing<T>(
    faults: &Faults,
    location: &str,
    (operation, strike): (Operation, Option<Strike<Fault>>),
    key: Option<&Key>,
    late: Option<Late>,
    act: impl Future<Output = Result<T>>,
) -> Result<T> {
    let verb = operation.verb();
    faults.check_alive(verb, location, key)?;
    let fault = strike.map(|strike| strike.fault);
    let error = fault.and_then(|fault| faults.error(fault, operation, location, key));
    if let (Some(fault), Some(error)) = (fault, error)
        && !fault.acts()
    {
        if let (Fault::Held, Some(late)) = (fault, late) {
            faults.hold(late);
        }
        return Err(error);
    }
    let crash_after = faults.begin_write(verb, location, key)?;
    let done = act.await;
    if crash_after {
        return Err(faults.crash_now(verb, location, key).with_unknown_outcome());
    }
    match fault {
        None => {}
        Some(Fault::SlowFirstByte(late)) => tokio::time::sleep(late).await,
        Some(fault) => {
            if let Some(error) = faults.error(fault, operation, location, key) {
                return Err(error);
            }
        }
    }
    done
}

/// Reads, unless a fault is an error. A fault that is no error comes back with the result.
pub(super) async fn reading<T>(
    faults: &Faults,
    location: &str,
    operation: Operation,
    key: Option<&Key>,
    act: impl Future<Output = Result<T>>,
) -> Result<(T, Option<Strike<Fault>>)> {
    faults.check_alive(operation.verb(), location, key)?;
    let strike = faults.fate(operation);
    if let Some(error) = strike.and_then(|strike| faults.error(strike.fault, operation, location, key)) {
        return Err(error);
    }
    let done = act.await?;
    if let Some(Strike { fault: Fault::SlowFirstByte(late), .. }) = strike {
        tokio::time::sleep(late).await;
    }
    Ok((done, strike))
}
