//! The texts of a plan's kernels, without tensors and without a device.

use super::{slots, wants};
use crate::kernels::text;
use crate::plan::{Dispatch, DispatchInfo, Plan, Role};

/// Offsets of bindings are a multiple of this on every device; so is the start of each part of a workspace.
const ALIGNMENT: u64 = 256;

impl Plan {
    /// The dispatches in order, each with the WGSL that it runs where every tensor is at the start of a buffer of its own:
    /// what [`Part::wgsl`](crate::Part::wgsl) of a bound step is then. For compilers and analyzers, which need no device; dispatches that
    /// differ in nothing but numbers have the same text. The entry point is `main`.
    ///
    /// ```
    /// use wgpu_batchnorm::{Limits, Plan, Shape, Stage, Training};
    ///
    /// let shape = Shape::channels_first(&[32, 64, 56, 56])?;
    /// let plan = Plan::training(&Limits::default(), shape, &Training::default())?;
    /// for (dispatch, wgsl) in plan.wgsl() {
    ///     println!("{}: {} lines", dispatch.stage.name(), wgsl.lines().count());
    /// }
    /// let (last, wgsl) = plan.wgsl().last().expect("a batch that is not empty takes a dispatch");
    /// assert_eq!(last.stage, Stage::Normalize);
    /// assert!(wgsl.contains("fn main("));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn wgsl(&self) -> impl Iterator<Item = (DispatchInfo, String)> + '_ {
        let dispatches = self.program(true).dispatches.iter();
        dispatches.map(|dispatch| (dispatch.info(self), self.text_apart(dispatch)))
    }

    fn text_apart(&self, dispatch: &Dispatch) -> String {
        let program = self.program(true);
        let workspace = Role::ALL.len();
        let wants = wants(self, dispatch, |role| match role {
            Role::Partials => (workspace, 0..program.partials),
            Role::Coefficients => {
                let start = program.coefficients_offset();
                (workspace, start..start + 4 * program.coefficients)
            }
            _ => (role as usize, 0..ALIGNMENT),
        });
        let bindings = slots::assign(&wants, ALIGNMENT, u64::MAX)
            .expect("tensors apart fit bindings of their own");
        let (slots, bound) = slots::layout(&bindings);
        text(&dispatch.kernel, self.needs(), &bound, &slots)
    }
}
