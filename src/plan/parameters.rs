//! The uniform block of a dispatch, in Rust and in WGSL from one list.

use super::Role;

macro_rules! parameters {
    ($($(#[$doc:meta])* $name:ident: $type:ident,)*) => {
        /// What a dispatch is told at run time. Counts, strides and starts are in accesses: values or vec4.
        #[repr(C)]
        #[derive(Clone, Copy, Debug, Default, PartialEq, bytemuck::Pod, bytemuck::Zeroable)]
        pub(crate) struct Parameters {
            $($(#[$doc])* pub $name: $type,)*
        }

        /// The same block in WGSL.
        pub(crate) const PARAMETERS_WGSL: &str = concat!(
            "struct Parameters {\n",
            $("    ", stringify!($name), ": ", stringify!($type), ",\n",)*
            "}\n",
        );
    };
}

parameters! {
    /// Always zero, which the compiler of the shader does not know.
    zero: u32,
    /// The workgroup that this dispatch starts with: grids larger than a dispatch are cut.
    first_workgroup: u32,
    /// Workgroups in x: long grids are folded into y.
    grid_width: u32,
    /// Units of work, `groups` times splits.
    units: u32,
    /// Groups of channels in the window.
    groups: u32,
    /// The first of them in the whole tensor.
    first_group: u32,
    /// The first column of the window in the whole tensor.
    first_column: u32,
    /// The number of the window's first split among all windows'.
    first_split: u32,
    /// Rows of a group in the window.
    rows: u32,
    /// Accesses in a row of a group.
    columns: u32,
    /// Accesses from row to row.
    row_stride: u32,
    /// Accesses from group to group.
    group_stride: u32,
    /// Rows in a split.
    split_rows: u32,
    /// Columns in a split.
    split_columns: u32,
    /// Splits along the columns.
    column_splits: u32,
    /// Accesses that a lane sums before it merges them into its moments; of quads, rows; in finalize,
    /// partials.
    block: u32,
    /// Values per channel of which a lane merges blocks before it merges them into its total.
    part: u32,
    /// Channels that the partials are of.
    channels: u32,
    /// The first of them; of words, the channel that the window starts in.
    first_channel: u32,
    /// Values of a channel in a row.
    inner: u32,
    /// Channels in a row, where rows go one after another as they lie in memory.
    row_channels: u32,
    /// Where in that channel's row the window of words starts.
    first_value: u32,
    /// Values in the window.
    values: u32,
    /// The bit of the mask's first word that belongs to the first value of the window.
    first_bit: u32,
    /// Values between two packed per-channel vectors of the caller.
    vector_stride: u32,
    /// Whether the running statistics are the plain average of all batches.
    cumulative: u32,
    /// 1 / n.
    inverse_count: f32,
    /// n / (n - 1), or 1 for the biased running variance.
    bessel: f32,
    /// Whether the running variance is unbiased, where n is counted on the device.
    unbiased: u32,
    /// Added to the variance.
    epsilon: f32,
    /// The share of the new batch in the running statistics.
    update_factor: f32,
    /// Where each tensor starts in its binding.
    x: u32,
    y: u32,
    residual: u32,
    grad_output: u32,
    grad_input: u32,
    grad_residual: u32,
    mask: u32,
    gamma: u32,
    beta: u32,
    running: u32,
    mean: u32,
    variance: u32,
    saved: u32,
    grad_gamma: u32,
    grad_beta: u32,
    shards: u32,
    moments: u32,
    partials: u32,
    coefficients: u32,
}

impl Parameters {
    /// Where a tensor starts in its binding.
    pub const fn start_mut(&mut self, role: Role) -> &mut u32 {
        match role {
            Role::X => &mut self.x,
            Role::Y => &mut self.y,
            Role::Residual => &mut self.residual,
            Role::GradOutput => &mut self.grad_output,
            Role::GradInput => &mut self.grad_input,
            Role::GradResidual => &mut self.grad_residual,
            Role::Mask => &mut self.mask,
            Role::Gamma => &mut self.gamma,
            Role::Beta => &mut self.beta,
            Role::Running => &mut self.running,
            Role::Mean => &mut self.mean,
            Role::Variance => &mut self.variance,
            Role::Saved => &mut self.saved,
            Role::GradGamma => &mut self.grad_gamma,
            Role::GradBeta => &mut self.grad_beta,
            Role::Shards => &mut self.shards,
            Role::Moments => &mut self.moments,
            Role::Partials => &mut self.partials,
            Role::Coefficients => &mut self.coefficients,
        }
    }
}
