//! What is trained: a bank of networks of one architecture side by side, and what is recorded of them.

use serde::{Deserialize, Serialize};

use crate::data::{Source, Split};

/// What lies between a linear layer and its activation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Norm {
    /// Nothing.
    None,
    /// Batch normalization with gamma and beta.
    Batch,
    /// The batch norm layer with its statistics taken out: normalized by mean 0 and variance 1, without gamma, beta and
    /// epsilon. What differs from [`Norm::None`] then is a mistake of the trainer.
    Identity,
}

/// An activation of hidden layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Activation {
    /// `max(z, 0)`. Fused into batch normalization.
    Relu,
    /// `1 / (1 + exp(-z))`.
    Sigmoid,
    /// `tanh(z)`.
    Tanh,
}

/// What is made small.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Loss {
    /// Cross-entropy of the softmax of the outputs.
    CrossEntropy,
    /// The mean squared difference to a one at the class and zeros elsewhere.
    MeanSquaredError,
}

/// How weights follow their gradients. Each member of a bank has a learning rate of its own.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Optimizer {
    /// Stochastic gradient descent: `v = momentum v + g`, `w -= rate v`.
    Sgd {
        /// What is kept of the velocity.
        momentum: f32,
    },
    /// Adam (Kingma and Ba, 2015).
    Adam {
        /// What is kept of the mean of gradients.
        momentum: f32,
        /// What is kept of the mean of their squares.
        decay: f32,
        /// Added to the root of the latter.
        epsilon: f32,
    },
}

impl Optimizer {
    /// Descent with a momentum of 0.9.
    pub const SGD: Self = Self::Sgd { momentum: 0.9 };
    /// Adam with the constants of its paper.
    pub const ADAM: Self = Self::Adam {
        momentum: 0.9,
        decay: 0.999,
        epsilon: 1e-8,
    };
}

/// A multilayer perceptron: linear, norm and activation for each hidden layer, then a linear layer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Architecture {
    /// Units of each hidden layer, from the first on.
    pub hidden: Vec<u64>,
    /// Of hidden layers.
    pub activation: Activation,
    /// In hidden layers, before the activation. A layer with batch norm has no bias: beta takes its place.
    pub norm: Norm,
    /// Of the inputs.
    pub input_norm: Norm,
}

/// A network of a bank.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Member {
    /// Of its first weights and of its batches.
    pub seed: u64,
    /// How far a step goes.
    pub learning_rate: f32,
    /// What the first weights are multiplied by. At 1 their deviation is `sqrt(k / inputs)`, with k 2 before ReLU (He et al.,
    /// 2015) and 1 elsewhere.
    pub gain: f32,
}

/// How test samples are normalized after training.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Company {
    /// Each test sample once, in batches of this size in random order, by the statistics of its batch.
    Mixed(usize),
    /// The same in the order of classes, so that a batch is of one class or two.
    Sorted(usize),
    /// The first test sample again and again, in batches of this size with others that change.
    Draws {
        /// Samples in a batch.
        size: usize,
        /// Batches.
        draws: usize,
    },
}

/// A bank of networks, how it is trained, and what is recorded.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Spec {
    /// The table.
    pub source: Source,
    /// Training samples that each seed chooses for itself; all of the split where there is no number.
    pub training_rows: Option<usize>,
    /// Of every member.
    pub architecture: Architecture,
    /// What is made small.
    pub loss: Loss,
    /// By what.
    pub optimizer: Optimizer,
    /// Samples of a step.
    pub batch: usize,
    /// Steps.
    pub steps: usize,
    /// The networks.
    pub members: Vec<Member>,
    /// Every so many steps, and before the first, the network is evaluated on these splits, by running statistics.
    pub evaluate_every: usize,
    /// The splits.
    pub evaluate: Vec<Split>,
    /// Every so many steps, from the first on, the norm of the gradient of each layer's weights is recorded,
    /// biases left out.
    pub gradients_every: Option<usize>,
    /// At each evaluation the inputs that this hidden layer's activation gets from the first split are recorded, of
    /// unit 0 of the first member.
    pub watch: Option<usize>,
    /// What is done with the test split after training, by the statistics of batches.
    pub afterwards: Vec<Company>,
}

/// Of a split at one time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// The share of samples that are right.
    pub accuracy: f64,
    /// The mean loss; none where it is not finite.
    pub loss: Option<f64>,
}

/// What was recorded of a bank.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// The loss of each step's batch, by member and step; none where it is not finite.
    pub losses: Vec<Vec<Option<f32>>>,
    /// By split, member and evaluation.
    pub scores: Vec<Vec<Vec<Score>>>,
    /// Norms of gradients by layer, from the first on, by member and time.
    pub gradients: Vec<Vec<Vec<Option<f32>>>>,
    /// 5, 25, 50, 75 and 95 percent of the values of the watched unit, at each evaluation.
    pub quantiles: Vec<[f64; 5]>,
    /// By entry of `afterwards` and member.
    pub afterwards: Vec<Vec<Afterwards>>,
}

/// What came of one entry of `afterwards`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Afterwards {
    /// On the test split, or of the one sample over its draws.
    pub accuracy: f64,
    /// The root of the mean variance of that sample's outputs over its draws, outputs being relative to their mean;
    /// none of whole splits.
    pub deviation: Option<f64>,
}

impl Spec {
    /// A rough measure of what training this costs: steps of one layer of one network.
    pub fn work(&self) -> u64 {
        (self.steps.max(1)
            * self.members.len()
            * (self.architecture.hidden.len() + 1)
            * self.batch.max(8)) as u64
    }

    /// The number of evaluations.
    pub fn evaluations(&self) -> usize {
        self.steps / self.evaluate_every.max(1) + 1
    }
}
