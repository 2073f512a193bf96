//! What a pass computes, by name.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What a pass computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Operation {
    /// Normalizing by statistics that are given: [`Plan::inference`](crate::Plan::inference).
    Inference,
    /// Normalizing by the batch's own statistics: [`Plan::training`](crate::Plan::training).
    Training,
    /// From the gradient of the output to those of what it was made of: [`Plan::backward`](crate::Plan::backward).
    Backward,
}

impl Operation {
    /// Each of them.
    pub const ALL: [Self; 3] = [Self::Inference, Self::Training, Self::Backward];

    /// The name in texts: `inference`, `training`, `backward`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Inference => "inference",
            Self::Training => "training",
            Self::Backward => "backward",
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
