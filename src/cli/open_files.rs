//! How many files this process may have open: each connection is one, and hundreds may run at once.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Enough for every site of a plan.
const ENOUGH: u64 = 65_536;

/// Lifts the limit as far as a process may lift its own: shells often begin with 256 or 1,024.
pub(super) fn lift() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let wanted = maximum.map_or(ENOUGH, |maximum| maximum.min(ENOUGH));
    if current.is_some_and(|current| current < wanted) {
        // If the system refuses, fewer connections can be opened, and a site is found to bear fewer requests.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_lifted_and_never_lowered() {
        let before = getrlimit(Resource::Nofile).current;
        lift();
        let after = getrlimit(Resource::Nofile);
        assert!(after.current.is_none_or(|after| before.is_some_and(|before| after >= before)));
        let wanted = after.maximum.map_or(ENOUGH, |maximum| maximum.min(ENOUGH));
        assert!(after.current.is_none_or(|current| current >= wanted), "{after:?}");
    }
}
