//! Tasks that wait for a poll, and polls that wait for a task.

use bytes::Bytes;
use std::collections::{HashMap, VecDeque};
use tokio::sync::oneshot;

/// The queues of one kind, by name.
#[derive(Default)]
pub(crate) struct Matching(HashMap<String, Queue>);

#[derive(Default)]
struct Queue {
    tasks: VecDeque<Bytes>,
    polls: VecDeque<oneshot::Sender<Bytes>>,
}

/// What a poll gets.
pub(crate) enum Polled {
    /// A task that has waited.
    Task(Bytes),
    /// The next one.
    Later(oneshot::Receiver<Bytes>),
}

impl Matching {
    /// Gives a task to whoever polls, or keeps it.
    pub(crate) fn offer(&mut self, queue: &str, mut task: Bytes) {
        let queue = self.queue(queue);
        while let Some(poll) = queue.polls.pop_front() {
            match poll.send(task) {
                Ok(()) => return,
                // The poll was given up.
                Err(back) => task = back,
            }
        }
        queue.tasks.push_back(task);
    }

    /// Asks for a task.
    pub(crate) fn poll(&mut self, queue: &str) -> Polled {
        let queue = self.queue(queue);
        match queue.tasks.pop_front() {
            Some(task) => Polled::Task(task),
            None => {
                let (sender, receiver) = oneshot::channel();
                queue.polls.retain(|poll| !poll.is_closed());
                queue.polls.push_back(sender);
                Polled::Later(receiver)
            }
        }
    }

    fn queue(&mut self, name: &str) -> &mut Queue {
        if !self.0.contains_key(name) {
            self.0.insert(name.to_owned(), Queue::default());
        }
        self.0.entry(name.to_owned()).or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_passes_over_a_poll_that_is_gone() {
        let mut matching = Matching::default();
        let Polled::Later(gone) = matching.poll("a") else { panic!("there is no task") };
        drop(gone);
        let Polled::Later(mut waits) = matching.poll("a") else { panic!("there is no task") };
        matching.offer("a", Bytes::from_static(b"one"));
        assert_eq!(waits.try_recv().unwrap(), "one");
        matching.offer("a", Bytes::from_static(b"two"));
        assert!(matches!(matching.poll("b"), Polled::Later(_)));
        assert!(matches!(matching.poll("a"), Polled::Task(task) if task == "two"));
    }
}
