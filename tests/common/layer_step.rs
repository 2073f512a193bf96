//! A layer's forward and backward pass on the device, held against the f64 reference.

use std::fmt;

use wgpu_batchnorm::reference::{self, FixedStatistics, Gradients, Parameters};
use wgpu_batchnorm::{
    Activation, Backward, Buffers, Derivative, DispatchInfo, Element, Gradient, Inference, Packed,
    Plan, PlanError, Shape, Statistics, Tensor, Training, Tuning,
};

use super::arena::{self, Arena, GUARD, Place, UNWRITTEN, tensor};
use super::compare::{Comparison, Tolerance};
use super::inputs::{Distribution, Random};
use super::problem::{Refusal, Workspace};
use super::stored::{self, decode, encode, rounded};
use super::{Device, messages};

/// Inputs, options and memory of both passes.
#[derive(Clone, Debug)]
pub struct LayerStep {
    pub shape: Shape,
    pub x: Vec<f32>,
    pub dy: Vec<f32>,
    pub residual: Vec<f32>,
    pub gamma: Vec<f32>,
    pub beta: Vec<f32>,
    /// Fixed mean and variance.
    pub fixed: [Vec<f32>; 2],
    /// What is in gradients before they are added to.
    pub before: f32,
    /// Of the backward pass; those of the forward pass follow from them.
    pub options: Backward,
    /// How often the backward pass is recorded.
    pub repeats: u32,
    pub memory: Memory,
}

/// Where the tensors are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Memory {
    /// In one buffer, or each in its own.
    pub pooled: bool,
    /// Guard words between the tensors of a pool, at least.
    pub gap: usize,
    /// Byte offset of the tensors of the shape of x, and of the per-channel ones.
    pub offset: u64,
    pub vectors: u64,
    /// gamma and beta, their gradients and fixed statistics in one tensor each, or all in their own.
    pub packed: bool,
    pub input: InPlace,
    /// y over the residual.
    pub y_over_residual: bool,
    pub workspace: Workspace,
}

/// What takes the place of the gradient of y.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InPlace {
    Nothing,
    GradInput,
    GradResidual,
}

impl Default for Memory {
    fn default() -> Self {
        Self {
            pooled: false,
            gap: 0,
            offset: 0,
            vectors: 0,
            packed: true,
            input: InPlace::Nothing,
            y_over_residual: false,
            workspace: Workspace::Own,
        }
    }
}

/// What the device made of it; `None` for gradients that are skipped.
#[derive(Clone, Debug)]
pub struct Outcome {
    pub forward: Vec<DispatchInfo>,
    pub backward: Vec<DispatchInfo>,
    pub y: Vec<f32>,
    pub input: Option<Vec<f32>>,
    pub grad_residual: Option<Vec<f32>>,
    pub gamma: Option<Vec<f32>>,
    pub beta: Option<Vec<f32>>,
    /// Every buffer, to the bit.
    pub words: Vec<Vec<u32>>,
    /// What was written that should not have been.
    pub touched: Option<String>,
}

/// Errors of f32 arithmetic, as shares of the terms: the statistics are right to 2e-6 deviations, and a few roundings each
/// of sums and products add to that.
const OF_TERMS: f64 = 5e-6;

impl LayerStep {
    /// Every gradient, of values of different mean and deviation in each channel.
    pub fn new(shape: Shape, activation: Activation, seed: u64) -> Self {
        let [channels, inner] = [shape.channels(), shape.inner()].map(|size| size as usize);
        let len = shape.len() as usize;
        let mut random = Random::new(seed);
        let gamma = random.vector(channels, 0.5, 1.5);
        let beta = random.vector(channels, -1.0, 1.0);
        let mut normal = |len| -> Vec<f32> { (0..len).map(|_| random.normal() as f32).collect() };
        let (mut x, residual, dy) = (normal(len), normal(len), normal(len));
        for (index, value) in x.iter_mut().enumerate() {
            let channel = index / inner.max(1) % channels.max(1);
            *value = *value * (0.5 + 0.3 * (channel % 7) as f32) + (channel % 11) as f32 - 5.0;
        }
        let forward = Training::default().activation(activation);
        Self {
            shape,
            x,
            dy,
            residual,
            gamma,
            beta,
            fixed: [
                (0..channels).map(|c| (c % 11) as f32 - 4.75).collect(),
                (0..channels)
                    .map(|c| (0.5 + 0.3 * (c % 7) as f32).powi(2))
                    .collect(),
            ],
            before: 0.75,
            options: Backward::from(&forward),
            repeats: 1,
            memory: Memory::default(),
        }
    }

    /// The same with x of another distribution.
    pub fn distributed(mut self, distribution: Distribution, seed: u64) -> Self {
        let shape = self.shape;
        let [outer, channels, inner] =
            [shape.outer(), shape.channels(), shape.inner()].map(|size| size as usize);
        self.x = distribution.fill(seed, outer, channels, inner);
        self
    }

    pub fn with(mut self, change: impl FnOnce(Backward) -> Backward) -> Self {
        self.options = change(self.options);
        self
    }

    /// With a residual, and its gradient.
    pub fn residual(self) -> Self {
        self.with(|options| options.residual(true).grad_residual(Gradient::Write))
    }

    pub fn tuned(self, tuning: Tuning) -> Self {
        self.with(|options| options.tuning(tuning))
    }

    /// The step that is computed: values as they are stored, and no gradient of y where its activation has a corner within
    /// the rounding of z and y.
    #[must_use]
    pub fn prepared(mut self) -> Self {
        let element = self.options.element;
        for values in [&mut self.x, &mut self.dy, &mut self.residual] {
            *values = rounded(element, values);
        }
        let near = 1e-4 + 6.0 * stored::rounding(element);
        let z = self.preactivations();
        let corners: &[f64] = match self.options.activation {
            Activation::Relu | Activation::LeakyRelu { .. } => &[0.0],
            Activation::Relu6 => &[0.0, 6.0],
            _ => &[],
        };
        for (dy, z) in self.dy.iter_mut().zip(z) {
            if corners
                .iter()
                .any(|corner| (z - corner).abs() < near * corner.max(1.0))
            {
                *dy = 0.0;
            }
        }
        self
    }

    fn parameters(&self) -> Parameters<'_> {
        Parameters {
            gamma: self.options.gamma.then_some(&self.gamma),
            beta: self.options.beta.then_some(&self.beta),
        }
    }

    fn given_residual(&self) -> Option<&[f32]> {
        self.options.residual.then_some(&self.residual)
    }

    fn is_fixed(&self) -> bool {
        self.options.statistics == Statistics::Fixed
    }

    fn preactivations(&self) -> Vec<f64> {
        self.exact_forward(Activation::None).0
    }

    /// y, and mean and inverse standard deviation where they are the batch's.
    fn exact_forward(&self, activation: Activation) -> (Vec<f64>, [Vec<f64>; 2]) {
        let right = "a problem that can be computed";
        let (residual, parameters) = (self.given_residual(), self.parameters());
        if self.is_fixed() {
            let [mean, variance] = &self.fixed;
            let options = inference_options(&self.options).activation(activation);
            let shape = self.shape;
            let y = reference::inference(
                &self.x, residual, shape, parameters, mean, variance, &options,
            );
            return (y.expect(right), [vec![], vec![]]);
        }
        let options = training_options(&self.options).activation(activation);
        let forward =
            reference::training(&self.x, residual, self.shape, parameters, &options, None);
        let forward = forward.expect(right);
        (forward.y, [forward.mean, forward.invstd])
    }

    /// The gradients in f64.
    pub fn exact(&self) -> Gradients {
        let [mean, variance] = &self.fixed;
        reference::backward(
            &self.x,
            &self.dy,
            self.given_residual(),
            self.shape,
            self.parameters(),
            self.is_fixed()
                .then_some(FixedStatistics { mean, variance }),
            &self.options,
        )
        .expect("a problem that can be computed")
    }

    /// Runs both passes on the device, every tensor among guard values.
    #[allow(clippy::too_many_lines, reason = "one tensor after another")]
    pub fn solve(&self, device: &Device) -> Result<Outcome, Refusal> {
        let plans = plans(device, self.shape, &self.options).map_err(Refusal::Plan)?;
        let [forward, backward] = &plans;
        let options = &self.options;
        let Memory {
            offset, vectors, ..
        } = self.memory;
        let (element, len) = (self.options.element, self.x.len());
        let packed = Packed::new(self.shape.channels());
        let (stride, channels) = (packed.stride() as usize, self.shape.channels() as usize);
        let mut arena = Arena::new(self.memory.pooled, self.memory.gap);
        let mut written: Vec<Place> = vec![];

        let words = len.div_ceil(element_per_word(element));
        let unwritten = vec![UNWRITTEN; words];
        let before = |gradient| match gradient {
            Gradient::Add => encode(element, &vec![self.before; len]),
            _ => unwritten.clone(),
        };
        let x = arena.place(offset, &encode(element, &self.x));
        let dy = arena.place(offset, &encode(element, &self.dy));
        let residual = self
            .given_residual()
            .map(|residual| arena.place(offset, &encode(element, residual)));
        let y = match residual {
            Some(residual) if self.memory.y_over_residual => residual,
            _ => arena.place(offset, &unwritten),
        };
        written.push(y);
        let mut output = |gradient, in_place| {
            if gradient == Gradient::Skip {
                return None;
            }
            let place = if self.memory.input == in_place {
                dy
            } else {
                arena.place(offset, &before(gradient))
            };
            written.push(place);
            Some(place)
        };
        let grad_input = output(self.options.grad_input, InPlace::GradInput);
        let grad_residual = output(self.options.grad_residual, InPlace::GradResidual);
        let mask = has_mask(options).then(|| {
            let words = forward.mask_words() as usize;
            arena.place(vectors, &vec![UNWRITTEN; words])
        });
        written.extend(mask);

        let pack = |vectors: &[&[f32]]| {
            let mut words = vec![GUARD; stride * vectors.len()];
            for (vector, to) in vectors.iter().zip(words.chunks_mut(stride.max(1))) {
                to[..channels].copy_from_slice(bytemuck::cast_slice(vector));
            }
            words
        };
        let words_of = |vector: &[f32]| bytemuck::cast_slice::<f32, u32>(vector).to_vec();
        let has = |there: bool, vector: &[f32]| {
            if there {
                vector.to_vec()
            } else {
                vec![f32::from_bits(GUARD); channels]
            }
        };
        let mut given = Given::default();
        if self.memory.packed {
            if options.gamma || options.beta {
                let gamma = has(options.gamma, &self.gamma);
                let beta = has(options.beta, &self.beta);
                given.parameters = Some(arena.place(vectors, &pack(&[&gamma, &beta])));
            }
        } else {
            let mut apart = |there: bool, vector: &[f32]| {
                there.then(|| arena.place(vectors, &words_of(vector)))
            };
            given.gamma = apart(options.gamma, &self.gamma);
            given.beta = apart(options.beta, &self.beta);
        }
        let channel_before = |gradient| {
            let value = match gradient {
                Gradient::Add => self.before,
                _ => f32::from_bits(UNWRITTEN),
            };
            vec![value; channels]
        };
        let wanted = |gradient: &Gradient| *gradient != Gradient::Skip;
        if self.memory.packed {
            if wanted(&options.grad_gamma) || wanted(&options.grad_beta) {
                let gamma = channel_before(options.grad_gamma);
                let beta = channel_before(options.grad_beta);
                let place = arena.place(vectors, &pack(&[&gamma, &beta]));
                given.grad_parameters = Some(place);
                given.grad_gamma = wanted(&options.grad_gamma).then(|| place.part(0, channels));
                given.grad_beta = wanted(&options.grad_beta).then(|| place.part(stride, channels));
            }
        } else {
            let mut apart = |gradient: Gradient| {
                let words = words_of(&channel_before(gradient));
                wanted(&gradient).then(|| arena.place(vectors, &words))
            };
            given.grad_gamma = apart(options.grad_gamma);
            given.grad_beta = apart(options.grad_beta);
        }
        written.extend([given.grad_gamma, given.grad_beta].into_iter().flatten());
        let [mean, variance] = &self.fixed;
        if !self.is_fixed() {
            let nothing = vec![f32::from_bits(UNWRITTEN); channels];
            let place = arena.place(vectors, &pack(&[&nothing[..]; 3]));
            written.extend((0..3).map(|n| place.part(n * stride, channels)));
            given.saved = Some(place);
        } else if self.memory.packed {
            let batches = vec![0.0; channels];
            given.running = Some(arena.place(vectors, &pack(&[mean, variance, &batches])));
        } else {
            let mean = arena.place(vectors, &words_of(mean));
            given.statistics = Some((mean, arena.place(vectors, &words_of(variance))));
        }
        let workspaces = plans.each_ref().map(|plan| {
            let words = plan.workspace_bytes() as usize / 4;
            (self.memory.workspace == Workspace::Given)
                .then(|| arena.place(256, &vec![GUARD; words]))
        });
        written.extend(workspaces.iter().flatten());

        let buffers = arena.upload(&device.gpu);
        let words_at = |place| tensor(&buffers, place);
        let at = |place: Place| {
            let start = 4 * place.start as u64;
            Tensor::new(&buffers[place.buffer], start, len as u64).stored_as(element)
        };
        let mut to = given.forward(Buffers::new(at(x), at(y)).label("forward"), words_at);
        if let Some(place) = residual {
            to = to.residual(at(place));
        }
        if let Some(place) = mask {
            to = to.mask(words_at(place));
        }
        if let Some(place) = workspaces[0] {
            to = to.workspace(words_at(place));
        }
        let first = forward.bind(&device.kernels, to).map_err(Refusal::Bind)?;

        let mut to = given.backward(Buffers::backward(at(x), at(dy)).label("backward"), words_at);
        if let Some(place) = residual.filter(|_| !self.memory.y_over_residual) {
            to = to.residual(at(place));
        }
        if options.derivative == Derivative::Output && options.activation != Activation::None {
            to = to.output(at(y));
        }
        if let Some(place) = mask {
            to = to.mask(words_at(place));
        }
        if let Some(place) = grad_input {
            to = to.grad_input(at(place));
        }
        if let Some(place) = grad_residual {
            to = to.grad_residual(at(place));
        }
        if let Some(place) = workspaces[1] {
            to = to.workspace(words_at(place));
        }
        let second = backward.bind(&device.kernels, to).map_err(Refusal::Bind)?;

        device.gpu.run("test", |pass| {
            first.record(pass);
            for _ in 0..self.repeats {
                second.record(pass);
            }
        });
        let after = arena::download(&device.gpu, &buffers);
        messages::assert_quiet();

        let part = |place: Place| &after[place.buffer][place.start..place.start + place.len];
        let values = |place: Place| decode(element, part(place), len);
        let vector = |place: Place| bytemuck::cast_slice::<u32, f32>(part(place)).to_vec();
        let mut touched = arena::touched(&arena.words, &after, &written);
        for place in [Some(y), grad_input, grad_residual].into_iter().flatten() {
            if len % element_per_word(element) == 0 {
                continue;
            }
            let last = place.start + place.len - 1;
            let [was, is] = [&arena.words, &after].map(|words| words[place.buffer][last] >> 16);
            if was != is {
                touched = Some(format!("the half behind the last is {is:#x}, was {was:#x}"));
            }
        }
        Ok(Outcome {
            forward: first.dispatches().collect(),
            backward: second.dispatches().collect(),
            y: values(y),
            input: grad_input.map(values),
            grad_residual: grad_residual.map(values),
            gamma: given.grad_gamma.map(vector),
            beta: given.grad_beta.map(vector),
            touched,
            words: after,
        })
    }

    /// Runs both passes and compares everything that they write.
    pub fn check(&self, device: &Device) -> Result<Result<Outcome, String>, Refusal> {
        let outcome = self.solve(device)?;
        Ok(match self.compare(&outcome) {
            Ok(()) => Ok(outcome),
            Err(what) => Err(format!("{self}: {what}")),
        })
    }

    /// Fails unless the device computes both passes, and that right.
    #[track_caller]
    pub fn assert_right(&self, device: &Device) -> Outcome {
        match self.check(device) {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(wrong)) => panic!("{wrong}"),
            Err(refusal) => panic!("{self}: {refusal:?}"),
        }
    }

    /// What is wrong, first of all.
    fn compare(&self, outcome: &Outcome) -> Result<(), String> {
        if let Some(touched) = &outcome.touched {
            return Err(touched.clone());
        }
        let storing = stored::rounding(self.options.element);
        let (y, [means, invstds]) = self.exact_forward(self.options.activation);
        // an activation is applied to sums of terms whose errors are those of the normalized values
        let tolerance = Tolerance::Sum {
            absolute: OF_TERMS,
            relative: OF_TERMS + storing,
        };
        let compared = Comparison::new(&outcome.y, &y, tolerance);
        if !compared.is_within() {
            return Err(compared.describe("y"));
        }

        let gradients = self.exact();
        let [channels, inner] = [self.shape.channels(), self.shape.inner()].map(|n| n as usize);
        let n = self.shape.values_per_channel() as f64;
        let channel_of = |index: usize| index / inner % channels;
        // per channel: the largest |dy| and |xhat|, and the sums of |g| and |g xhat|
        let mut terms = vec![Terms::default(); channels];
        for (index, (g, dy)) in gradients.residual.iter().zip(&self.dy).enumerate() {
            let channel = channel_of(index);
            let (mean, invstd) = if self.is_fixed() {
                let [mean, variance] = &self.fixed;
                let variance = f64::from(variance[channel]) + f64::from(self.options.epsilon);
                (f64::from(mean[channel]), 1.0 / variance.sqrt())
            } else {
                (means[channel], invstds[channel])
            };
            let xhat = (f64::from(self.x[index]) - mean) * invstd;
            let terms = &mut terms[channel];
            terms.scale = invstd;
            terms.dy = terms.dy.max(f64::from(*dy).abs());
            terms.xhat = terms.xhat.max(xhat.abs());
            terms.sum += g.abs();
            terms.products += (g * xhat).abs();
        }
        if self.options.gamma {
            for (terms, gamma) in terms.iter_mut().zip(&self.gamma) {
                terms.scale *= f64::from(*gamma).abs();
            }
        }
        let repeats = f64::from(self.repeats);
        let compare = |name: &str,
                       actual: &Option<Vec<f32>>,
                       exact: &[f64],
                       gradient: Gradient,
                       storing: f64,
                       absolute: &dyn Fn(usize) -> f64| {
            let Some(actual) = actual else {
                return Ok(());
            };
            let adds = gradient == Gradient::Add;
            let before = if adds { f64::from(self.before) } else { 0.0 };
            let times = if adds { repeats } else { 1.0 };
            for (index, (&actual, &exact)) in actual.iter().zip(exact).enumerate() {
                let wanted = before + times * exact;
                // each time a sum is stored it is rounded
                let size = before + times * exact.abs();
                let bound = times * (absolute(index) + (storing + 6e-8) * size);
                let error = (f64::from(actual) - wanted).abs();
                if error.is_nan() || error > bound {
                    return Err(format!(
                        "{name}[{index}]: {actual:?} for {wanted:?}, off by {error:.1e}, {bound:.1e} is allowed"
                    ));
                }
            }
            Ok(())
        };
        let options = &self.options;
        // what dx is a difference of
        let dx = |index: usize| {
            let terms = terms[channel_of(index)];
            let through = if self.is_fixed() {
                0.0
            } else {
                terms.sum / n + terms.xhat * terms.products / n
            };
            // a half that is less than normal is rounded to the grid of the smallest ones
            OF_TERMS * terms.scale * (terms.dy + through) + storing * 2.0f64.powi(-14)
        };
        compare(
            "grad_input",
            &outcome.input,
            &gradients.input,
            options.grad_input,
            storing,
            &dx,
        )?;
        compare(
            "grad_residual",
            &outcome.grad_residual,
            &gradients.residual,
            options.grad_residual,
            storing,
            &|index| OF_TERMS * terms[channel_of(index)].dy + storing * 2.0f64.powi(-14),
        )?;
        // g is right to a share of dy, and its sum to that of the terms; a mean that is off by a share of the deviation
        // moves the products by that of g
        let sum = |channel: usize| {
            let terms = terms[channel];
            OF_TERMS * (terms.sum + 0.2 * n * terms.dy)
        };
        compare(
            "grad_beta",
            &outcome.beta,
            &gradients.beta,
            options.grad_beta,
            0.0,
            &sum,
        )?;
        compare(
            "grad_gamma",
            &outcome.gamma,
            &gradients.gamma,
            options.grad_gamma,
            0.0,
            &|channel| OF_TERMS * terms[channel].products + sum(channel),
        )
    }
}

/// The forward and the backward plan.
pub fn plans(device: &Device, shape: Shape, options: &Backward) -> Result<[Plan; 2], PlanError> {
    let limits = &device.limits;
    let forward = match options.statistics {
        Statistics::Fixed => Plan::inference(limits, shape, &inference_options(options))?,
        Statistics::Batch => Plan::training(limits, shape, &training_options(options))?,
    };
    Ok([forward, Plan::backward(limits, shape, options)?])
}

fn has_mask(options: &Backward) -> bool {
    options.derivative == Derivative::Mask && options.activation != Activation::None
}

fn training_options(backward: &Backward) -> Training {
    let options = Training::default()
        .epsilon(backward.epsilon)
        .gamma(backward.gamma)
        .beta(backward.beta)
        .running(None)
        .element(backward.element)
        .activation(backward.activation)
        .residual(backward.residual)
        .mask(has_mask(backward));
    match &backward.tuning {
        Some(tuning) => options.tuning(tuning.clone()),
        None => options,
    }
}

fn inference_options(backward: &Backward) -> Inference {
    let options = Inference::default()
        .epsilon(backward.epsilon)
        .gamma(backward.gamma)
        .beta(backward.beta)
        .element(backward.element)
        .activation(backward.activation)
        .residual(backward.residual)
        .mask(has_mask(backward));
    match &backward.tuning {
        Some(tuning) => options.tuning(tuning.clone()),
        None => options,
    }
}

/// What the errors of a channel are measured in.
#[derive(Clone, Copy, Debug, Default)]
struct Terms {
    /// |gamma| times the inverse standard deviation.
    scale: f64,
    dy: f64,
    xhat: f64,
    sum: f64,
    products: f64,
}

const fn element_per_word(element: Element) -> usize {
    4 / element.bytes() as usize
}

/// The per-channel tensors.
#[derive(Clone, Copy, Debug, Default)]
struct Given {
    parameters: Option<Place>,
    gamma: Option<Place>,
    beta: Option<Place>,
    saved: Option<Place>,
    running: Option<Place>,
    statistics: Option<(Place, Place)>,
    grad_parameters: Option<Place>,
    grad_gamma: Option<Place>,
    grad_beta: Option<Place>,
}

impl Given {
    fn forward<'a>(&self, mut to: Buffers<'a>, at: impl Fn(Place) -> Tensor<'a>) -> Buffers<'a> {
        if let Some(place) = self.parameters {
            to = to.parameters(at(place));
        }
        if let Some(place) = self.gamma {
            to = to.gamma(at(place));
        }
        if let Some(place) = self.beta {
            to = to.beta(at(place));
        }
        if let Some(place) = self.saved {
            to = to.saved(at(place));
        }
        if let Some(place) = self.running {
            to = to.running(at(place));
        }
        if let Some((mean, variance)) = self.statistics {
            to = to.statistics(at(mean), at(variance));
        }
        to
    }

    fn backward<'a>(&self, to: Buffers<'a>, at: impl Fn(Place) -> Tensor<'a>) -> Buffers<'a> {
        let mut to = self.forward(to, &at);
        if let Some(place) = self.grad_parameters {
            return to.grad_parameters(at(place));
        }
        if let Some(place) = self.grad_gamma {
            to = to.grad_gamma(at(place));
        }
        if let Some(place) = self.grad_beta {
            to = to.grad_beta(at(place));
        }
        to
    }
}

impl fmt::Display for LayerStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            shape,
            options,
            repeats,
            memory,
            ..
        } = self;
        write!(f, "{shape}, {options:?}, {repeats} times, {memory:?}")
    }
}
