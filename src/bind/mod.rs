//! From a plan and the caller's tensors to a step: everything is checked and every GPU object made here, once.

mod listing;
mod slots;
mod tensors;

use std::ops::Range;

use crate::error::BindError;
use crate::kernels::{Kernels, PARAMETERS_BINDING, slot_binding, text};
use crate::limits::Limits;
use crate::plan::{Access, Dispatch, Kernel, MASK_WORD, Parameters, Plan, Program, Role};
use crate::step::{Recorded, Step};
use crate::tensor::{Buffers, Tensor};
use slots::{Binding, Conflict, Want};
use tensors::Tensors;

impl Plan {
    /// Binds the plan to tensors. Everything that can be wrong is found here; what comes back only records.
    ///
    /// Creates a bind group for each dispatch, one small uniform buffer, a workspace buffer where the plan needs one and
    /// none was given, and compiles the pipelines that `kernels` has not compiled yet. Submits nothing and waits for
    /// nothing.
    ///
    /// # Errors
    /// [`BindError`] for tensors that do not fit the plan. A buffer of another device, or memory that ran out, shows in
    /// wgpu's error scopes: [`Plan::bind_checked`] wraps one.
    pub fn bind(&self, kernels: &Kernels, buffers: Buffers<'_>) -> Result<Step, BindError> {
        let limits = kernels.limits();
        let tensors = Tensors::check(self, &buffers, limits.offset_alignment)?;
        let device = kernels.device();
        let prefix = buffers.label.unwrap_or("batchnorm");

        let own_workspace;
        let workspace = match buffers.workspace {
            Some(given) => Some(given),
            None if self.workspace_bytes() > 0 => {
                own_workspace = device.create_buffer(&wgpu::BufferDescriptor {
                    label: Some(&format!("{prefix} workspace")),
                    size: self.workspace_bytes(),
                    usage: wgpu::BufferUsages::STORAGE,
                    mapped_at_creation: false,
                });
                Some(Tensor::whole(&own_workspace))
            }
            None => None,
        };

        let places = Places {
            plan: self,
            tensors: &tensors,
            workspace,
            limits,
        };
        let assigned = match places.assign_all(tensors.aligned()) {
            Err(Conflict::Widths) => places.assign_all(false),
            other => other,
        };
        let bound = assigned.map_err(|conflict| refusal(conflict, limits))?;
        Ok(record(self, kernels, &places, &bound, prefix))
    }

    /// [`Plan::bind`] within error scopes, so that what only the device can tell is an error too.
    ///
    /// The future waits for nothing on native backends; a browser answers when it has compiled and checked.
    ///
    /// # Errors
    /// As [`Plan::bind`], and [`BindError::Device`] with wgpu's message.
    pub async fn bind_checked(
        &self,
        kernels: &Kernels,
        buffers: Buffers<'_>,
    ) -> Result<Step, BindError> {
        let device = kernels.device();
        let memory = device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let validation = device.push_error_scope(wgpu::ErrorFilter::Validation);
        let step = self.bind(kernels, buffers);
        let errors = [validation.pop().await, memory.pop().await];
        match errors.into_iter().flatten().next() {
            Some(error) => Err(BindError::Device {
                message: error.to_string(),
            }),
            None => step,
        }
    }
}

/// A dispatch and the bindings of its tensors.
type Bound<'a> = (&'a Dispatch, Vec<Binding>);

/// Where the tensors of a dispatch are.
struct Places<'a> {
    plan: &'a Plan,
    tensors: &'a Tensors<'a>,
    workspace: Option<Tensor<'a>>,
    limits: &'a Limits,
}

impl<'a> Places<'a> {
    fn assign_all(&self, aligned: bool) -> Result<Vec<Bound<'a>>, Conflict> {
        let program = self.plan.program(aligned);
        let assign = |dispatch: &'a Dispatch| {
            let wants = self.wants(program, dispatch);
            let Limits {
                offset_alignment,
                binding_bytes,
                ..
            } = *self.limits;
            Ok((
                dispatch,
                slots::assign(&wants, offset_alignment, binding_bytes)?,
            ))
        };
        program.dispatches.iter().map(assign).collect()
    }

    fn wants(&self, program: &Program, dispatch: &Dispatch) -> Vec<Want> {
        wants(self.plan, dispatch, |role| {
            let (tensor, bytes) = self.place(program, dispatch, role);
            (self.number(tensor.buffer()), bytes)
        })
    }

    /// The tensor of a role, and the bytes of its buffer that a dispatch needs.
    fn place(
        &self,
        program: &Program,
        dispatch: &Dispatch,
        role: Role,
    ) -> (Tensor<'a>, Range<u64>) {
        let workspace = || {
            let given = self.workspace;
            given.expect("a plan with partials or coefficients has a workspace")
        };
        let tensor = match role {
            Role::Partials | Role::Coefficients => workspace(),
            _ => self.tensors.get(role).expect("checked to be there"),
        };
        let window = &dispatch.window;
        let bytes = match role {
            Role::Partials => 0..program.partials,
            Role::Coefficients => {
                let start = program.coefficients_offset();
                start..start + 4 * program.coefficients
            }
            Role::Mask => window.start / MASK_WORD * 4..window.end.div_ceil(MASK_WORD) * 4,
            _ if role.has_shape_of_x() => {
                let size = tensor.element().bytes();
                size * window.start..size * window.end
            }
            _ => 0..tensor.bytes(),
        };
        let start = tensor.offset();
        (tensor, start + bytes.start..start + bytes.end)
    }

    fn buffers(&self) -> impl Iterator<Item = &'a wgpu::Buffer> + '_ {
        let all = self.tensors.all().chain(self.workspace);
        all.map(|tensor| tensor.buffer())
    }

    /// A number for a buffer, the same wherever it appears.
    fn number(&self, buffer: &wgpu::Buffer) -> usize {
        let found = self.buffers().position(|other| other == buffer);
        found.expect("every tensor's buffer is listed")
    }

    fn buffer(&self, number: usize) -> &'a wgpu::Buffer {
        self.buffers().nth(number).expect("numbered by `number`")
    }
}

/// The tensors of a dispatch, each with the number of its buffer and its bytes there.
fn wants(
    plan: &Plan,
    dispatch: &Dispatch,
    place: impl Fn(Role) -> (usize, Range<u64>),
) -> Vec<Want> {
    let Kernel {
        stage,
        element,
        width,
        channels,
        ..
    } = dispatch.kernel;
    let roles = stage.roles(plan.needs()).into_iter();
    roles
        .map(|(role, access)| {
            let (buffer, bytes) = place(role);
            let vector = |words: u64| {
                let aligned = bytes.start.is_multiple_of(4 * words);
                (if aligned { words } else { 1 }, true)
            };
            let (words, may_narrow) = match role {
                _ if role.has_shape_of_x() => ((width * element.bytes()).div_ceil(4), false),
                Role::Mask => (1, false),
                Role::Partials => (plan.needs().partial_bytes() / 4, false),
                Role::Shards | Role::Moments => vector(4),
                _ => vector(channels),
            };
            let halves = role.has_shape_of_x() && width < element.per_word();
            Want {
                role,
                buffer,
                bytes,
                writes: access == Access::Write,
                width: words,
                per_element: if halves { element.per_word() } else { 1 },
                may_narrow,
            }
        })
        .collect()
}

fn refusal(conflict: Conflict, limits: &Limits) -> BindError {
    let (first, second, needed) = match conflict {
        Conflict::TooLong {
            first,
            second,
            needed,
        } => (first, second, needed),
        // value by value everything has one width but the partials, which no neighbour reaches
        Conflict::Widths => unreachable!("the unaligned program has one width"),
    };
    BindError::Apart {
        first: first.name(),
        second: second.name(),
        needed,
        limit: limits.binding_bytes,
        alignment: limits.offset_alignment,
    }
}

/// Makes the objects of every dispatch.
fn record(
    plan: &Plan,
    kernels: &Kernels,
    places: &Places<'_>,
    bound: &[Bound<'_>],
    prefix: &str,
) -> Step {
    if bound.is_empty() {
        return Step::new(vec![]);
    }
    let device = kernels.device();
    let size = size_of::<Parameters>() as u64;
    let stride = size.next_multiple_of(kernels.limits().uniform_alignment.max(1));
    let uniforms = device.create_buffer(&wgpu::BufferDescriptor {
        label: Some(&format!("{prefix} parameters")),
        size: stride * bound.len() as u64,
        usage: wgpu::BufferUsages::UNIFORM,
        mapped_at_creation: true,
    });
    let mut bytes = vec![0; uniforms.size() as usize];
    for ((dispatch, bindings), to) in bound.iter().zip(bytes.chunks_mut(stride as usize)) {
        let mut parameters = dispatch.parameters;
        for &(role, start) in bindings.iter().flat_map(|binding| &binding.tensors) {
            *parameters.start_mut(role) = start;
        }
        to[..size as usize].copy_from_slice(bytemuck::bytes_of(&parameters));
    }
    fill(&uniforms, &bytes);

    let steps = bound.iter().zip(0..).map(|((dispatch, bindings), index)| {
        let stage = dispatch.kernel.stage;
        let (slots, roles) = slots::layout(bindings);
        let text = text(&dispatch.kernel, plan.needs(), &roles, &slots);
        let compiled = kernels.compiled(&text, &slots, stage.name());
        let label = format!("{prefix} {}", stage.name());
        let range = |buffer, offset: u64, size: u64| {
            wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                buffer,
                offset,
                size: std::num::NonZeroU64::new(size),
            })
        };
        let mut entries = vec![wgpu::BindGroupEntry {
            binding: PARAMETERS_BINDING,
            resource: range(&uniforms, stride * index, size),
        }];
        entries.extend(bindings.iter().enumerate().map(|(slot, binding)| {
            let (start, end) = (binding.bytes.start, binding.bytes.end);
            wgpu::BindGroupEntry {
                binding: slot_binding(slot),
                resource: range(places.buffer(binding.buffer), start, end - start),
            }
        }));
        let bind_group = device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some(&label),
            layout: &compiled.layout,
            entries: &entries,
        });
        Recorded {
            label,
            compiled,
            bind_group,
            info: dispatch.info(plan),
        }
    });
    Step::new(steps.collect())
}

/// Writes a buffer that was mapped at creation. A device that is lost has nothing mapped: that shows in its own
/// callback, and what is bound on it does nothing.
fn fill(buffer: &wgpu::Buffer, bytes: &[u8]) {
    if let Ok(mut mapped) = buffer.get_mapped_range_mut(..) {
        mapped.copy_from_slice(bytes);
    }
    buffer.unmap();
}
