//! Runs of banks: kept as they are finished, so that what was interrupted goes on where it was.

use std::cell::Cell;

use serde::{Deserialize, Serialize};

use crate::Error;
use crate::spec::{Afterwards, Company, Outcome, Score, Spec};
use crate::trainer::Trainer;

/// Where outcomes are kept, by a text that says all that they depend on.
pub trait Store {
    /// The outcome that was kept for this, if any.
    fn load(&self, settings: &str) -> Option<Outcome>;

    /// Keeps an outcome.
    ///
    /// # Errors
    /// [`Error::Store`].
    fn save(&self, settings: &str, outcome: &Outcome) -> Result<(), Error>;
}

/// Keeps nothing.
#[derive(Clone, Copy, Debug)]
pub struct Nowhere;

impl Store for Nowhere {
    fn load(&self, _settings: &str) -> Option<Outcome> {
        None
    }

    fn save(&self, _settings: &str, _outcome: &Outcome) -> Result<(), Error> {
        Ok(())
    }
}

/// Trains banks, or only counts what training them would cost.
pub struct Session<'a> {
    trainer: Option<&'a Trainer>,
    /// What outcomes depend on beside what is trained.
    context: String,
    store: &'a dyn Store,
    /// Hears of work that is done.
    progress: &'a dyn Fn(u64),
    work: Cell<u64>,
}

impl std::fmt::Debug for Session<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session")
            .field("work", &self.work)
            .finish_non_exhaustive()
    }
}

impl<'a> Session<'a> {
    /// Trains on this trainer. `context` says what outcomes depend on beside what is trained: the adapter and the versions.
    pub fn new(
        trainer: &'a Trainer,
        context: String,
        store: &'a dyn Store,
        progress: &'a dyn Fn(u64),
    ) -> Self {
        Self {
            trainer: Some(trainer),
            context,
            store,
            progress,
            work: Cell::new(0),
        }
    }

    /// Trains nothing, and gives empty outcomes of the right form: to know the work before.
    pub fn rehearsal() -> Session<'static> {
        Session {
            trainer: None,
            context: String::new(),
            store: &Nowhere,
            progress: &|_| {},
            work: Cell::new(0),
        }
    }

    /// The work so far.
    pub fn work(&self) -> u64 {
        self.work.get()
    }

    /// Trains a bank, or takes its outcome from where it was kept.
    ///
    /// # Errors
    /// As [`Trainer::train`]; [`Error::Store`].
    pub async fn run(&self, spec: &Spec) -> Result<Outcome, Error> {
        let work = spec.work();
        self.work.set(self.work.get() + work);
        let Some(trainer) = self.trainer else {
            return Ok(blank(spec));
        };
        let key = Key {
            context: &self.context,
            spec,
        };
        let settings = serde_json::to_string(&key).map_err(Error::store)?;
        if let Some(outcome) = self.store.load(&settings) {
            (self.progress)(work);
            return Ok(outcome);
        }
        let done = Cell::new(0);
        let outcome = trainer
            .train(spec, &|steps| {
                let share = work * steps as u64 / spec.steps.max(1) as u64;
                done.set(done.get() + share);
                (self.progress)(share);
            })
            .await?;
        (self.progress)(work.saturating_sub(done.get()));
        self.store.save(&settings, &outcome)?;
        Ok(outcome)
    }

    /// What training this says that cannot be trained; in a rehearsal nothing.
    pub async fn refusal(&self, spec: &Spec) -> Option<String> {
        let error = self.trainer?.train(spec, &|_| {}).await.err()?;
        Some(error.to_string())
    }
}

#[derive(Serialize)]
struct Key<'a> {
    context: &'a str,
    spec: &'a Spec,
}

/// An outcome, and what it was found with.
#[derive(Debug, Serialize, Deserialize)]
pub struct Kept {
    /// All that it depends on.
    pub settings: String,
    /// What was recorded.
    pub outcome: Outcome,
}

/// An outcome of the right form in which nothing was learned.
fn blank(spec: &Spec) -> Outcome {
    let members = spec.members.len();
    let layers = spec.architecture.hidden.len() + 1;
    let times = spec
        .gradients_every
        .map_or(0, |every| spec.steps.max(1).div_ceil(every));
    let draws = |company: &Company| match company {
        Company::Draws { .. } => Some(0.0),
        Company::Mixed(_) | Company::Sorted(_) => None,
    };
    Outcome {
        losses: vec![vec![None; spec.steps]; members],
        scores: vec![
            vec![vec![Score::default(); spec.evaluations()]; members];
            spec.evaluate.len()
        ],
        gradients: vec![vec![vec![None; times]; members]; layers],
        quantiles: vec![[0.0; 5]; spec.evaluations()],
        afterwards: spec
            .afterwards
            .iter()
            .map(|company| {
                let deviation = draws(company);
                vec![
                    Afterwards {
                        accuracy: 0.0,
                        deviation
                    };
                    members
                ]
            })
            .collect(),
    }
}
