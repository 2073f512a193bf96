//! What is measured: layers of ResNet-50, other layouts, real tables, or the user's shape.

use anyhow::{Context, Result, ensure};

use super::computation::{Computation, Operation};
use super::memory;
use crate::cli::data;
use crate::cli::device::Device;
use crate::cli::size::{Layout, Sizes};

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
/// The layers whose backward pass is measured channels-first where the user names no operation.
const BACKWARD_FIRST: [(usize, usize); 4] = [(64, 56), (512, 28), (1024, 14), (2048, 7)];
const TWO_D: [[usize; 2]; 3] = [[4096, 1024], [65536, 64], [256, 4096]];

/// How often a tensor of f32 is in memory at the worst: in f64 as the reference makes it (2) from f64 (2), the input, three
/// outputs of the host, what is downloaded, and two buffers with their staging where the device's memory is the host's.
const FORWARD_COPIES: u64 = 13;
/// And for a backward pass: two more in f64, a gradient of y, what that is made of, and one more buffer with its staging.
const BACKWARD_COPIES: u64 = FORWARD_COPIES + 8;
/// What a residual adds: itself on both sides with its staging, and its gradient.
const RESIDUAL_COPIES: u64 = 6;

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
    /// Its values, where it has some of its own.
    pub values: Option<Vec<f32>>,
    /// Whether its backward pass is among what is measured where the user names no operation.
    pub with_backward: bool,
}

impl Workload {
    fn new(group: &'static str, layout: Layout, sizes: &[usize]) -> Self {
        Self {
            group,
            name: None,
            layout,
            sizes: Sizes(sizes.to_vec()),
            values: None,
            with_backward: false,
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
            with_backward: true,
            ..Self::new(group, layout, &sizes.0)
        })
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
            let group = "ResNet-50, channels-first";
            workloads.push(Self {
                with_backward: BACKWARD_FIRST.contains(&(channels, extent)),
                ..Self::new(group, Layout::ChannelsFirst, &sizes)
            });
        }
        for &(channels, extent) in last {
            let sizes = [batch, extent, extent, channels];
            let group = "ResNet-50, channels-last";
            workloads.push(Self {
                with_backward: true,
                ..Self::new(group, Layout::ChannelsLast, &sizes)
            });
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

    /// What is measured where the user names no operation.
    pub fn usual_operations(&self) -> &'static [Operation] {
        if self.with_backward {
            &Operation::ALL
        } else {
            &Operation::ALL[..2]
        }
    }

    /// Makes sure that the device has buffers for the tensor and the host has memory to measure and to check it.
    pub fn check_size(&self, device: &Device, computation: &Computation) -> Result<()> {
        let values = self.sizes.shape(self.layout)?.len();
        let bytes = values.saturating_mul(computation.layer.element.bytes());
        let limit = device.gpu.device().limits().max_buffer_size;
        ensure!(
            bytes <= limit,
            "{} has {}: a buffer of this adapter holds {}",
            self.sizes,
            memory::text(bytes),
            memory::text(limit)
        );
        let copies = match computation.operation {
            Operation::Backward => BACKWARD_COPIES,
            Operation::Inference | Operation::Training => FORWARD_COPIES,
        };
        let residual = if computation.layer.residual {
            RESIDUAL_COPIES
        } else {
            0
        };
        let on_host = 4 * (copies + residual);
        memory::reserve(values.saturating_mul(on_host))
            .with_context(|| format!("{} cannot be measured", self.sizes))
    }
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
        }
    }

    #[test]
    fn usually_some_layers_go_backward_too() {
        let of = |quick| {
            let workloads = Workload::built_in(8, quick).expect("embedded").into_iter();
            let backward = workloads.filter(|workload| workload.usual_operations().len() == 3);
            backward.count()
        };
        assert_eq!((of(false), of(true)), (9, 4));
    }
}
