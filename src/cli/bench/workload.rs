//! What is measured: layers of ResNet-50, other layouts, real tables, or the user's shape.

use std::fmt;

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;
use serde::Serialize;

use super::memory;
use crate::cli::data;
use crate::cli::device::Device;
use crate::cli::inputs::Random;
use crate::cli::problem::{Problem, State, Statistics};
use crate::cli::size::{Layout, Sizes};
use wgpu_batchnorm::{Element, Running, Shape, reference};

/// What is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Operation {
    /// Normalizing by running statistics.
    Inference,
    /// Normalizing by the batch's own statistics, and moving the running ones.
    Training,
}

impl Operation {
    /// In a table of 80 columns.
    pub const fn short(self) -> &'static str {
        match self {
            Self::Inference => "infer",
            Self::Training => "train",
        }
    }
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
/// The batch of the layers where the user names none.
pub const BATCH: u32 = 8;
/// The layers that a quick run measures channels-first.
const QUICK_FIRST: [(usize, usize); 3] = [(64, 56), (512, 28), (2048, 7)];
/// And channels-last.
const QUICK_LAST: [(usize, usize); 1] = [(1024, 14)];
/// The layers that are measured channels-last too.
const CHANNELS_LAST: [(usize, usize); 5] = [(64, 56), (256, 56), (512, 28), (1024, 14), (2048, 7)];
const TWO_D: [[usize; 2]; 3] = [[4096, 1024], [65536, 64], [256, 4096]];

/// How often a tensor of f32 is in memory at the worst: in f64 as the reference makes it (2) from f64 (2), the input, three
/// outputs of the host, what is downloaded, and two buffers with their staging where the device's memory is the host's.
const COPIES_OF_TENSOR: u64 = 13;

/// One input to measure.
#[derive(Clone, Debug)]
pub struct Workload {
    /// What it belongs to, for people.
    pub group: &'static str,
    /// What it is called, where it has a name.
    pub name: Option<&'static str>,
    /// Its layout.
    pub layout: Layout,
    /// Its sizes.
    pub sizes: Sizes,
    /// What its values are stored as.
    pub element: Element,
    values: Option<Vec<f32>>,
}

impl Workload {
    fn new(group: &'static str, layout: Layout, sizes: &[usize]) -> Self {
        Self {
            group,
            name: None,
            layout,
            sizes: Sizes(sizes.to_vec()),
            element: Element::F32,
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
        Ok(Self::new(group, layout, &sizes.0))
    }

    /// The layers of ResNet-50 at a batch size, 2-D tensors and real tables; a few of them where it must be quick.
    pub fn built_in(batch: u32, quick: bool) -> Result<Vec<Self>> {
        let batch = batch as usize;
        let (first, last, two_d): (&[_], &[_], &[_]) = if quick {
            (&QUICK_FIRST, &QUICK_LAST, &TWO_D[2..])
        } else {
            (&RESNET_50, &CHANNELS_LAST, &TWO_D)
        };
        let mut workloads = Vec::new();
        for &(channels, extent) in first {
            let sizes = [batch, channels, extent, extent];
            workloads.push(Self::new(
                "ResNet-50, channels-first",
                Layout::ChannelsFirst,
                &sizes,
            ));
        }
        for &(channels, extent) in last {
            let sizes = [batch, extent, extent, channels];
            workloads.push(Self::new(
                "ResNet-50, channels-last",
                Layout::ChannelsLast,
                &sizes,
            ));
        }
        for sizes in two_d {
            workloads.push(Self::new("2-D", Layout::ChannelsLast, sizes));
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

    /// Bytes of the tensor.
    pub fn bytes(&self) -> Result<u64> {
        let values = self.sizes.shape(self.layout)?.len();
        Ok(values.saturating_mul(self.element.bytes()))
    }

    /// Makes sure that the device has buffers for the tensor and the host has memory to measure and to check it.
    pub fn check_size(&self, device: &Device) -> Result<()> {
        let bytes = self.bytes()?;
        let limit = device.gpu.device().limits().max_buffer_size;
        ensure!(
            bytes <= limit,
            "{} has {}: a buffer of this adapter holds {}",
            self.sizes,
            memory::text(bytes),
            memory::text(limit)
        );
        memory::reserve(bytes.saturating_mul(COPIES_OF_TENSOR))
            .with_context(|| format!("{} cannot be measured", self.sizes))
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
            gamma: Some(random.vector(channels, 0.5, 1.5)),
            beta: Some(random.vector(channels, -1.0, 1.0)),
            statistics,
            ..Problem::new(shape, x)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_batch_is_the_first_size_of_every_layer() {
        for (quick, layers) in [(false, 17), (true, 4)] {
            let workloads = Workload::built_in(3, quick).expect("embedded");
            let of_batch = |workload: &&Workload| workload.sizes.0[0] == 3;
            assert_eq!(workloads.iter().filter(of_batch).count(), layers);
            assert!(
                workloads
                    .iter()
                    .any(|workload| workload.name == Some("wine"))
            );
            for workload in workloads {
                let shape = workload.sizes.shape(workload.layout).expect("a shape");
                assert_eq!(workload.bytes().expect("a shape"), 4 * shape.len());
            }
        }
    }
}
