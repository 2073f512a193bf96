//! What is measured: layers of ResNet-50, other layouts, real tables, or the user's shape.

use std::fmt;

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;
use serde::Serialize;

use crate::cli::data;
use crate::cli::inputs::Random;
use crate::cli::problem::{Problem, State, Statistics};
use crate::cli::size::{Layout, Sizes};
use wgpu_batchnorm::{DEFAULT_EPSILON, Running, Shape, reference};

/// What is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Operation {
    /// Normalizing by running statistics.
    Inference,
    /// Normalizing by the batch's own statistics, and moving the running ones.
    Training,
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Inference => "inference",
            Self::Training => "training",
        })
    }
}

/// Which operations to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Operations {
    /// Normalizing by running statistics
    Inference,
    /// Normalizing by the batch's own statistics
    Training,
    /// Both
    All,
}

impl Operations {
    /// The operations, one by one.
    pub const fn list(self) -> &'static [Operation] {
        match self {
            Self::Inference => &[Operation::Inference],
            Self::Training => &[Operation::Training],
            Self::All => &[Operation::Inference, Operation::Training],
        }
    }
}

/// The distinct batch-norm layers of ResNet-50 (He et al., 2015) for images of 224 x 224: channels and extent.
const RESNET_50: [(usize, usize); 12] = [
    (64, 112),
    (64, 56),
    (256, 56),
    (128, 56),
    (128, 28),
    (512, 28),
    (256, 28),
    (256, 14),
    (1024, 14),
    (512, 14),
    (512, 7),
    (2048, 7),
];
const BATCH: usize = 8;
/// The layers that are measured channels-last too.
const CHANNELS_LAST: [(usize, usize); 5] = [(64, 56), (256, 56), (512, 28), (1024, 14), (2048, 7)];
const TWO_D: [[usize; 2]; 3] = [[4096, 1024], [65536, 64], [256, 4096]];

/// One input to measure.
pub struct Workload {
    /// What it belongs to, for people.
    pub group: &'static str,
    /// What it is called, where it has a name.
    pub name: Option<&'static str>,
    /// Its layout.
    pub layout: Layout,
    /// Its sizes.
    pub sizes: Sizes,
    values: Option<Vec<f32>>,
}

impl Workload {
    fn new(group: &'static str, layout: Layout, sizes: &[usize]) -> Self {
        Self {
            group,
            name: None,
            layout,
            sizes: Sizes(sizes.to_vec()),
            values: None,
        }
    }

    /// The user's own shape.
    pub fn custom(sizes: Sizes, layout: Option<Layout>) -> Result<Self> {
        let layout = layout.unwrap_or_else(|| sizes.usual_layout());
        let shape = sizes.shape(layout)?;
        ensure!(
            !shape.is_empty(),
            "{sizes} has no values: there is nothing to measure"
        );
        let group = match layout {
            Layout::ChannelsFirst => "channels-first",
            Layout::ChannelsLast => "channels-last",
        };
        Ok(Self {
            group,
            name: None,
            layout,
            sizes,
            values: None,
        })
    }

    /// What is measured where the user says nothing.
    pub fn usual() -> Result<Vec<Self>> {
        let mut workloads = Vec::new();
        for (channels, extent) in RESNET_50 {
            let sizes = [BATCH, channels, extent, extent];
            workloads.push(Self::new(
                "ResNet-50, channels-first",
                Layout::ChannelsFirst,
                &sizes,
            ));
        }
        for (channels, extent) in CHANNELS_LAST {
            let sizes = [BATCH, extent, extent, channels];
            workloads.push(Self::new(
                "ResNet-50, channels-last",
                Layout::ChannelsLast,
                &sizes,
            ));
        }
        for sizes in TWO_D {
            workloads.push(Self::new("2-D", Layout::ChannelsLast, &sizes));
        }
        for table in data::tables()? {
            let sizes = [table.rows, table.columns];
            let workload = Self::new(table.title, Layout::ChannelsLast, &sizes);
            workloads.push(Self {
                name: Some(table.name),
                values: Some(table.values),
                ..workload
            });
        }
        Ok(workloads)
    }

    /// A training step on the workload's own input, or on random values where it has none.
    pub fn problem(&self) -> Result<Problem> {
        let shape = self.sizes.shape(self.layout)?;
        let len = usize::try_from(shape.len())
            .context("the tensor is larger than this machine's memory")?;
        let channels = shape.channels() as usize;
        let mut random = Random::new(50);
        let x = self.values.clone().unwrap_or_else(|| {
            // Activations as a network has them: neither centered nor of unit deviation.
            (0..len)
                .map(|_| (0.5 + 1.5 * random.normal()) as f32)
                .collect()
        });
        let statistics = statistics(Operation::Training, shape, &x)?;
        Ok(Problem {
            shape,
            x,
            gamma: Some(random.vector(channels, 0.5, 1.5)),
            beta: Some(random.vector(channels, -1.0, 1.0)),
            epsilon: DEFAULT_EPSILON,
            statistics,
        })
    }
}

/// What an operation normalizes by: a new layer's running statistics for training; for inference those of a layer that has learned this input.
pub fn statistics(operation: Operation, shape: Shape, x: &[f32]) -> Result<Statistics> {
    let channels = shape.channels() as usize;
    Ok(match operation {
        Operation::Training => {
            let new = State {
                mean: vec![0.0; channels],
                variance: vec![1.0; channels],
                batches: 0,
            };
            Statistics::Batch(Some((Running::default(), new)))
        }
        Operation::Inference => {
            let moments = reference::statistics(x, shape)?;
            Statistics::Given(State {
                mean: moments.iter().map(|moments| moments.mean as f32).collect(),
                variance: moments
                    .iter()
                    .map(|moments| (moments.m2 / moments.count as f64) as f32)
                    .collect(),
                batches: 1,
            })
        }
    })
}
