//! What the checker can find fault with. A violation is of one class, which the final table counts,
//! and says in one sentence what was seen instead of what.

use std::fmt;

/// The class of a violation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Fault {
    /// Something that should be there is not.
    Lost,
    /// Something is there more than once.
    Duplicated,
    /// Something has not ended.
    Stuck,
    /// Something is there that should not be, or differs from what it should be.
    Wrong,
}

/// One thing that is not right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Violation {
    /// Its class.
    pub(crate) fault: Fault,
    /// What was seen.
    pub(crate) what: String,
}

impl Violation {
    /// Something that should be there is not.
    pub(crate) fn lost(what: String) -> Self {
        Self { fault: Fault::Lost, what }
    }

    /// Something is there more than once.
    pub(crate) fn duplicated(what: String) -> Self {
        Self { fault: Fault::Duplicated, what }
    }

    /// Something has not ended.
    pub(crate) fn stuck(what: String) -> Self {
        Self { fault: Fault::Stuck, what }
    }

    /// Something is not what it should be.
    pub(crate) fn wrong(what: String) -> Self {
        Self { fault: Fault::Wrong, what }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let class = match self.fault {
            Fault::Lost => "lost",
            Fault::Duplicated => "duplicated",
            Fault::Stuck => "stuck",
            Fault::Wrong => "wrong",
        };
        write!(f, "{class}: {}", self.what)
    }
}
