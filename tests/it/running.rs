//! A running program, which ends with the test, however the test ends.

use std::{
    ops::{Deref, DerefMut},
    process::{Child, Command, Output},
};

/// A program that a test has started.
pub(crate) struct Running(Option<Child>);

impl Running {
    pub(crate) fn start(command: &mut Command) -> Self {
        Self(Some(command.spawn().unwrap_or_else(|error| panic!("{command:?} does not start: {error}"))))
    }

    /// Its output until it ends by itself.
    pub(crate) fn output(mut self) -> Output {
        self.0.take().expect("it is here until its output is taken").wait_with_output().expect("it can be waited for")
    }
}

impl Deref for Running {
    type Target = Child;

    fn deref(&self) -> &Child {
        self.0.as_ref().expect("it is here until its output is taken")
    }
}

impl DerefMut for Running {
    fn deref_mut(&mut self) -> &mut Child {
        self.0.as_mut().expect("it is here until its output is taken")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            // If it has ended already, kill and wait do nothing.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
