//! One batch normalization on the device, held against the f64 reference.

use std::fmt;

use wgpu_batchnorm::reference::{self, Parameters, RunningStatistics};
use wgpu_batchnorm::{
    BindError, Buffers, DEFAULT_EPSILON, DispatchInfo, Inference, Packed, Plan, PlanError, Running,
    RunningVariance, Shape, Training, Tuning,
};

use super::arena::{self, Arena, GUARD, Place, UNWRITTEN, tensor};
use super::compare::{Comparison, Tolerance};
use super::inputs::{Distribution, Random};
use super::{Device, messages};

/// Input, options and memory of a step.
#[derive(Clone, Debug)]
pub struct Problem {
    pub shape: Shape,
    pub x: Vec<f32>,
    pub gamma: Option<Vec<f32>>,
    pub beta: Option<Vec<f32>>,
    pub epsilon: f32,
    pub statistics: Statistics,
    /// How often the step is recorded.
    pub steps: u32,
    pub tuning: Option<Tuning>,
    pub placement: Placement,
}

/// What to normalize by.
#[derive(Clone, Debug)]
pub enum Statistics {
    /// The batch's own.
    Batch {
        running: Option<(Running, State)>,
        saved: bool,
    },
    /// Those given: packed running statistics, or two vectors.
    Given { state: State, packed: bool },
}

/// Running statistics of a layer.
#[derive(Clone, Debug, PartialEq)]
pub struct State {
    pub mean: Vec<f32>,
    pub variance: Vec<f32>,
    pub batches: Vec<u32>,
}

/// Where the tensors are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Placement {
    /// In one buffer, or each in its own.
    pub pooled: bool,
    /// Guard words between the tensors of a pool, at least.
    pub gap: usize,
    /// Byte offset of x.
    pub x: u64,
    pub y: Target,
    /// Byte offset of every per-channel tensor.
    pub vectors: u64,
    /// gamma and beta in one tensor, or each in its own.
    pub packed_parameters: bool,
    pub workspace: Workspace,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Target {
    At(u64),
    InPlace,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Workspace {
    /// The step makes its own.
    Own,
    /// The caller's.
    Given,
}

impl Default for Placement {
    fn default() -> Self {
        Self {
            pooled: false,
            gap: 0,
            x: 0,
            y: Target::At(0),
            vectors: 0,
            packed_parameters: true,
            workspace: Workspace::Own,
        }
    }
}

/// Why a problem was not computed.
#[derive(Clone, Debug, PartialEq)]
pub enum Refusal {
    Plan(PlanError),
    Bind(BindError),
}

/// What the device made of it.
#[derive(Clone, Debug)]
pub struct Solution {
    pub dispatches: Vec<DispatchInfo>,
    pub y: Vec<f32>,
    /// Mean, its remainder, inverse standard deviation.
    pub saved: Option<[Vec<f32>; 3]>,
    pub running: Option<State>,
    /// What was written that should not have been.
    pub touched: Option<String>,
}

/// What it should have made of it.
#[derive(Clone, Debug)]
pub struct Exact {
    pub y: Vec<f64>,
    /// Mean, standard deviation and its inverse with epsilon.
    pub saved: Option<[Vec<f64>; 3]>,
    pub running: Option<RunningStatistics>,
}

impl Problem {
    /// Training with everything on: gamma, beta, PyTorch's running statistics, saved statistics.
    pub fn training(shape: Shape, distribution: Distribution, seed: u64) -> Self {
        let [outer, channels, inner] =
            [shape.outer(), shape.channels(), shape.inner()].map(|size| size as usize);
        let mut random = Random::new(seed + 1000);
        let gamma = random.vector(channels, 0.5, 1.5);
        let beta = random.vector(channels, -1.0, 1.0);
        let state = State {
            mean: random.vector(channels, -1.0, 1.0),
            variance: random.vector(channels, 0.5, 2.0),
            batches: (0..channels as u32).map(|channel| channel % 5).collect(),
        };
        Self {
            shape,
            x: distribution.fill(seed, outer, channels, inner),
            gamma: Some(gamma),
            beta: Some(beta),
            epsilon: DEFAULT_EPSILON,
            statistics: Statistics::Batch {
                running: Some((Running::default(), state)),
                saved: true,
            },
            steps: 1,
            tuning: None,
            placement: Placement::default(),
        }
    }

    /// Training on values of different mean and deviation in each channel.
    pub fn usual(outer: u64, channels: u64, inner: u64) -> Self {
        let distribution = Distribution::Normal {
            mean: 0.0,
            deviation: 1.0,
        };
        let mut problem = Self::training(
            super::shape(outer, channels, inner),
            distribution,
            outer + channels + inner,
        );
        for (index, value) in problem.x.iter_mut().enumerate() {
            let channel = index as u64 / inner.max(1) % channels.max(1);
            *value = *value * (0.5 + 0.3 * (channel % 7) as f32) + (channel % 11) as f32 - 5.0;
        }
        problem
    }

    /// Inference by statistics that fit the input, or a new layer's where there is none.
    pub fn inference(mut self) -> Self {
        let moments = reference::statistics(&self.x, self.shape).expect("x has the shape's length");
        let empty = self.shape.is_empty();
        let channels = self.shape.channels() as usize;
        let fit = |value: f64, new: f32| if empty { new } else { value as f32 };
        self.statistics = Statistics::Given {
            state: State {
                mean: moments.iter().map(|m| fit(m.mean, 0.0)).collect(),
                variance: moments.iter().map(|m| fit(m.variance(), 1.0)).collect(),
                batches: vec![3; channels],
            },
            packed: true,
        };
        self
    }

    pub fn tuned(mut self, tuning: Tuning) -> Self {
        self.tuning = Some(tuning);
        self
    }

    pub fn placed(mut self, placement: Placement) -> Self {
        self.placement = placement;
        self
    }

    /// Training with another rule for the running statistics.
    pub fn running(mut self, rule: Option<Running>) -> Self {
        if let Statistics::Batch { running, .. } = &mut self.statistics {
            match (rule, running.as_mut()) {
                (Some(rule), Some((old, _))) => *old = rule,
                _ => *running = None,
            }
        }
        self
    }

    /// Training that saves nothing for a backward pass.
    pub fn unsaved(mut self) -> Self {
        if let Statistics::Batch { saved, .. } = &mut self.statistics {
            *saved = false;
        }
        self
    }

    fn training_options(&self) -> Training {
        let (running, saved) = match &self.statistics {
            Statistics::Batch { running, saved } => {
                (running.as_ref().map(|(rule, _)| *rule), *saved)
            }
            Statistics::Given { .. } => (None, false),
        };
        let options = Training::default()
            .epsilon(self.epsilon)
            .gamma(self.gamma.is_some())
            .beta(self.beta.is_some())
            .running(running)
            .saved(saved);
        match &self.tuning {
            Some(tuning) => options.tuning(tuning.clone()),
            None => options,
        }
    }

    fn inference_options(&self) -> Inference {
        let options = Inference::default()
            .epsilon(self.epsilon)
            .gamma(self.gamma.is_some())
            .beta(self.beta.is_some());
        match &self.tuning {
            Some(tuning) => options.tuning(tuning.clone()),
            None => options,
        }
    }

    pub fn plan(&self, device: &Device) -> Result<Plan, PlanError> {
        match self.statistics {
            Statistics::Batch { .. } => {
                Plan::training(&device.limits, self.shape, &self.training_options())
            }
            Statistics::Given { .. } => {
                Plan::inference(&device.limits, self.shape, &self.inference_options())
            }
        }
    }

    /// The result in f64.
    pub fn exact(&self) -> Exact {
        let parameters = Parameters {
            gamma: self.gamma.as_deref(),
            beta: self.beta.as_deref(),
        };
        match &self.statistics {
            Statistics::Batch { running, saved } => {
                let mut state = running.as_ref().map(|(_, state)| {
                    RunningStatistics::from_f32(&state.mean, &state.variance, &state.batches)
                        .expect("vectors of one length")
                });
                let mut step = || {
                    let options = self.training_options();
                    reference::training(
                        &self.x,
                        None,
                        self.shape,
                        parameters,
                        &options,
                        state.as_mut(),
                    )
                    .expect("a problem that can be computed")
                };
                let forward = (1..self.steps).fold(step(), |_, _| step());
                let deviation = forward.variance.iter().map(|v| v.sqrt()).collect();
                Exact {
                    y: forward.y,
                    saved: saved.then_some([forward.mean, deviation, forward.invstd]),
                    running: state,
                }
            }
            Statistics::Given { state, .. } => Exact {
                y: reference::inference(
                    &self.x,
                    None,
                    self.shape,
                    parameters,
                    &state.mean,
                    &state.variance,
                    &self.inference_options(),
                )
                .expect("a problem that can be computed"),
                saved: None,
                running: None,
            },
        }
    }

    /// Runs the problem on the device, every tensor among guard values.
    pub fn solve(&self, device: &Device) -> Result<Solution, Refusal> {
        let plan = self.plan(device).map_err(Refusal::Plan)?;
        let packed = Packed::new(self.shape.channels());
        let stride = packed.stride() as usize;
        let channels = self.shape.channels() as usize;
        let Placement { vectors, .. } = self.placement;
        let mut arena = Arena::new(self.placement.pooled, self.placement.gap);
        let mut written = vec![];

        let x = arena.place(self.placement.x, bytemuck::cast_slice(&self.x));
        let y = match self.placement.y {
            Target::InPlace => x,
            Target::At(offset) => arena.place(offset, &vec![UNWRITTEN; self.x.len()]),
        };
        written.push(y);
        let pack = |vectors: &[&[u32]]| {
            let mut words = vec![GUARD; stride * vectors.len()];
            for (vector, to) in vectors.iter().zip(words.chunks_mut(stride.max(1))) {
                to[..channels].copy_from_slice(vector);
            }
            words
        };
        let parts = |place: Place| (0..3).map(move |n| place.part(n * stride, channels));
        let bits = bytemuck::cast_slice::<f32, u32>;

        let given = |vector: &Option<Vec<f32>>| vector.as_deref().map(bits).map(<[u32]>::to_vec);
        let (gamma, beta) = (given(&self.gamma), given(&self.beta));
        let absent = || vec![GUARD; channels];
        let mut parameters = None;
        let mut apart = [None, None];
        if self.placement.packed_parameters && (gamma.is_some() || beta.is_some()) {
            let [gamma, beta] = [gamma, beta].map(|vector| vector.unwrap_or_else(absent));
            parameters = Some(arena.place(vectors, &pack(&[&gamma, &beta])));
        } else {
            apart = [gamma, beta].map(|vector| vector.map(|words| arena.place(vectors, &words)));
        }

        let mut saved = None;
        let mut running = None;
        let mut fixed = None;
        match &self.statistics {
            Statistics::Batch {
                running: rule,
                saved: saves,
            } => {
                if let Some((_, state)) = rule {
                    let vectors_of = [bits(&state.mean), bits(&state.variance), &state.batches];
                    running = Some(arena.place(vectors, &pack(&vectors_of)));
                    written.extend(running.into_iter().flat_map(parts));
                }
                if *saves {
                    let unwritten = vec![UNWRITTEN; channels];
                    saved = Some(arena.place(vectors, &pack(&[unwritten.as_slice(); 3])));
                    written.extend(saved.into_iter().flat_map(parts));
                }
            }
            Statistics::Given {
                state,
                packed: true,
            } => {
                let vectors_of = [bits(&state.mean), bits(&state.variance), &state.batches];
                running = Some(arena.place(vectors, &pack(&vectors_of)));
            }
            Statistics::Given {
                state,
                packed: false,
            } => {
                let mean = arena.place(vectors, bits(&state.mean));
                fixed = Some((mean, arena.place(vectors, bits(&state.variance))));
            }
        }
        let workspace = (self.placement.workspace == Workspace::Given).then(|| {
            let words = plan.workspace_bytes() as usize / 4;
            arena.place(256, &vec![GUARD; words])
        });
        written.extend(workspace);

        let buffers = arena.upload(&device.gpu);
        let at = |place| tensor(&buffers, place);
        let mut given = Buffers::new(at(x), at(y)).label("test");
        if let Some(place) = parameters {
            given = given.parameters(at(place));
        }
        if let Some(place) = apart[0] {
            given = given.gamma(at(place));
        }
        if let Some(place) = apart[1] {
            given = given.beta(at(place));
        }
        if let Some(place) = running {
            given = given.running(at(place));
        }
        if let Some((mean, variance)) = fixed {
            given = given.statistics(at(mean), at(variance));
        }
        if let Some(place) = saved {
            given = given.saved(at(place));
        }
        if let Some(place) = workspace {
            given = given.workspace(at(place));
        }
        let step = plan.bind(&device.kernels, given).map_err(Refusal::Bind)?;
        device.gpu.run("test", |pass| {
            for _ in 0..self.steps {
                step.record(pass);
            }
        });
        let after = arena::download(&device.gpu, &buffers);
        messages::assert_quiet();

        let words = |place: Place| &after[place.buffer][place.start..place.start + place.len];
        let floats = |place| bytemuck::cast_slice::<u32, f32>(words(place)).to_vec();
        let updates = matches!(self.statistics, Statistics::Batch { .. });
        Ok(Solution {
            dispatches: step.dispatches().collect(),
            y: floats(y),
            saved: saved.map(|place| [0, 1, 2].map(|n| floats(place.part(n * stride, channels)))),
            running: running.filter(|_| updates).map(|place| State {
                mean: floats(place.part(0, channels)),
                variance: floats(place.part(stride, channels)),
                batches: words(place.part(2 * stride, channels)).to_vec(),
            }),
            touched: arena::touched(&arena.words, &after, &written),
        })
    }

    /// Runs the problem and compares everything that it writes.
    pub fn check(&self, device: &Device) -> Result<Result<Solution, String>, Refusal> {
        self.check_against(device, &self.exact())
    }

    /// The same, for a result in f64 that is known.
    pub fn check_against(
        &self,
        device: &Device,
        exact: &Exact,
    ) -> Result<Result<Solution, String>, Refusal> {
        let solution = self.solve(device)?;
        let wrong = |what| format!("{self}: {what}");
        Ok(match solution.compare(exact) {
            Ok(()) => Ok(solution),
            Err(what) => Err(wrong(what)),
        })
    }

    /// Fails unless the device computes the problem, and that right.
    #[track_caller]
    pub fn assert_right(&self, device: &Device) -> Solution {
        self.assert_right_against(device, &self.exact())
    }

    #[track_caller]
    pub fn assert_right_against(&self, device: &Device, exact: &Exact) -> Solution {
        match self.check_against(device, exact) {
            Ok(Ok(solution)) => solution,
            Ok(Err(wrong)) => panic!("{wrong}"),
            Err(refusal) => panic!("{self}: {refusal:?}"),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            shape,
            epsilon,
            steps,
            tuning,
            placement,
            ..
        } = self;
        write!(
            f,
            "{shape}, epsilon {epsilon}, {steps} steps, {tuning:?}, {placement:?}, "
        )?;
        match &self.statistics {
            Statistics::Batch { running, saved } => {
                let rule = running.as_ref().map(|(rule, _)| rule);
                write!(f, "training, {rule:?}, saved {saved}")
            }
            Statistics::Given { packed, .. } => write!(f, "inference, packed {packed}"),
        }
    }
}

/// How far the rounded mean, its exact value and what follows from them may be off, as shares of the standard deviation
/// (what y is measured in), of the mean and of the value.
const OF_DEVIATION: f64 = 2e-6;
const OF_MEAN: f64 = 1e-12;
const OF_ROUNDED_MEAN: f64 = 6e-8;
const OF_INVSTD: f64 = 2e-6;

impl Solution {
    /// What is wrong, first of all.
    pub fn compare(&self, exact: &Exact) -> Result<(), String> {
        if let Some(touched) = &self.touched {
            return Err(touched.clone());
        }
        if let Some(index) = self.y.iter().position(|y| y.to_bits() == UNWRITTEN) {
            return Err(format!("y[{index}] was not written"));
        }
        let y = Comparison::new(&self.y, &exact.y, Tolerance::PROMISE);
        if !y.is_within() {
            return Err(y.describe("y"));
        }
        match (&self.saved, &exact.saved) {
            // an empty batch has nothing to save
            (Some(saved), Some(_)) if self.y.is_empty() => compare_unwritten(saved)?,
            (Some(saved), Some(exact)) => compare_saved(saved, exact)?,
            (None, None) => {}
            _ => return Err("saved statistics where there should be none, or none".into()),
        }
        match (&self.running, &exact.running) {
            (Some(state), Some(exact)) => compare_running(state, exact),
            (None, None) => Ok(()),
            _ => Err("running statistics where there should be none, or none".into()),
        }
    }
}

/// Whether a statistic is near enough; of a channel that is not finite it must not be either.
fn near(actual: f64, expected: f64, bound: f64) -> bool {
    if expected.is_finite() {
        (actual - expected).abs() <= bound
    } else {
        !actual.is_finite()
    }
}

fn compare_saved(saved: &[Vec<f32>; 3], exact: &[Vec<f64>; 3]) -> Result<(), String> {
    let [means, remainders, invstds] = saved;
    let [exact_means, deviations, exact_invstds] = exact;
    for channel in 0..means.len() {
        let [hi, lo, invstd] = [means, remainders, invstds].map(|v| f64::from(v[channel]));
        let [mean, deviation, exact_invstd] =
            [exact_means, deviations, exact_invstds].map(|v| v[channel]);
        let spread = if deviation.is_finite() {
            OF_DEVIATION * deviation
        } else {
            0.0
        };
        if !near(hi, mean, spread + OF_ROUNDED_MEAN * mean.abs()) {
            return Err(format!("saved mean {channel}: {hi:?} for {mean:?}"));
        }
        if !near(hi + lo, mean, spread + OF_MEAN * mean.abs()) {
            return Err(format!(
                "saved mean {channel}: {hi:?} + {lo:?} for {mean:?}"
            ));
        }
        // where epsilon and the variance are 0 it is infinite
        if !near(invstd, exact_invstd, OF_INVSTD * exact_invstd.abs()) {
            return Err(format!(
                "saved invstd {channel}: {invstd:?} for {exact_invstd:?}"
            ));
        }
    }
    Ok(())
}

fn compare_unwritten(saved: &[Vec<f32>; 3]) -> Result<(), String> {
    let mut values = saved.iter().flatten();
    match values.find(|value| value.to_bits() != UNWRITTEN) {
        Some(value) => Err(format!("{value:?} was saved of an empty batch")),
        None => Ok(()),
    }
}

fn compare_running(state: &State, exact: &RunningStatistics) -> Result<(), String> {
    if state.batches != exact.batches {
        return Err(format!(
            "{:?} batches for {:?}",
            state.batches, exact.batches
        ));
    }
    for (name, actual, exact) in [
        ("running mean", &state.mean, &exact.mean),
        ("running variance", &state.variance, &exact.variance),
    ] {
        for (channel, (&actual, &expected)) in actual.iter().zip(exact).enumerate() {
            if !near(f64::from(actual), expected, 2e-6 * expected.abs().max(1.0)) {
                return Err(format!("{name} {channel}: {actual:?} for {expected:?}"));
            }
        }
    }
    Ok(())
}

/// The rule that a problem of this shape can have: one value has no unbiased variance.
pub fn rule_for(shape: Shape, rule: Running) -> Running {
    match shape.values_per_channel() {
        1 => Running {
            variance: RunningVariance::Biased,
            ..rule
        },
        _ => rule,
    }
}
