//! The threads that read. Each owns a connection and takes the next waiting question, so that one long answer does
//! not delay the others and no question blocks the runtime.

use std::{
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread::JoinHandle,
};

use rusqlite::Connection;
use tokio::sync::oneshot;

use super::failure::Failure;

type Question = Box<dyn FnOnce(&Connection) + Send>;

/// The reading threads. Dropping it joins them.
#[derive(Debug)]
pub(super) struct Readers {
    questions: Option<mpsc::Sender<Question>>,
    threads: Vec<JoinHandle<()>>,
}

impl Readers {
    /// Starts a thread for each connection.
    pub(super) fn start(connections: Vec<Connection>) -> std::io::Result<Self> {
        let (questions, waiting) = mpsc::channel::<Question>();
        let waiting = Arc::new(Mutex::new(waiting));
        let mut readers = Self { questions: Some(questions), threads: Vec::new() };
        for connection in connections {
            let waiting = Arc::clone(&waiting);
            let thread = std::thread::Builder::new().name("ledger-reader".into()).spawn(move || {
                loop {
                    // The lock is held while waiting for a question, never while answering one.
                    let question = waiting.lock().unwrap_or_else(PoisonError::into_inner).recv();
                    let Ok(question) = question else { break };
                    question(&connection);
                }
            })?;
            readers.threads.push(thread);
        }
        Ok(readers)
    }

    /// Asks a question. The thread skips it if the caller has stopped waiting.
    pub(super) async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Connection) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        const STOPPED: Failure = Failure::Stopped("the thread that reads the ledger has stopped");
        let (answer, answered) = oneshot::channel();
        let question: Question = Box::new(move |connection| {
            if !answer.is_closed() {
                // If this fails, the caller has stopped waiting.
                let _gone = answer.send(question(connection));
            }
        });
        self.questions.as_ref().ok_or(STOPPED)?.send(question).map_err(|_| STOPPED)?;
        answered.await.map_err(|_| STOPPED)?
    }
}

impl Drop for Readers {
    fn drop(&mut self) {
        self.questions = None;
        for thread in self.threads.drain(..) {
            // A caller of a thread that panicked has already got an error.
            let _panicked = thread.join();
        }
    }
}
