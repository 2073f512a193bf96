//! Whatever backward pass is asked for, of whatever activation, storage and memory: both passes are right, or refused by a
//! typed error that has a reason. Needs an adapter.

mod common;

use common::cases::{Branches, Room, combines, each, kind, room, run_any, runner, sizes, tuning};
use common::layer_step::plans;
use common::{Distribution, InPlace, LayerStep, Memory, Outcome, Refusal, Workspace, shape};
use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::ValueTree;
use wgpu_batchnorm::{
    Activation, Backward, Derivative, DispatchInfo, Element, Gradient, Packed, Plan, Shape, Stage,
    Statistics, Tuning,
};

/// A step before its numbers are drawn.
#[derive(Clone, Debug)]
struct Case {
    sizes: (u64, u64, u64),
    /// A hard one, or values that differ by channel.
    distribution: Option<usize>,
    layer: Layer,
    gradients: [Gradient; 4],
    repeats: u32,
    memory: Memory,
    tuning: Option<Tuning>,
    room: Room,
}

#[derive(Clone, Debug)]
struct Layer {
    statistics: Statistics,
    gamma: bool,
    beta: bool,
    epsilon: f32,
    element: Element,
    activation: Activation,
    derivative: Derivative,
    residual: bool,
}

fn layer() -> impl Strategy<Value = Layer> {
    let activation = prop_oneof![
        2 => Just(Activation::None),
        2 => Just(Activation::Relu),
        1 => select(vec![0.2f32, -0.3]).prop_map(|slope| Activation::LeakyRelu { slope }),
        1 => Just(Activation::Relu6),
        1 => select(vec![Activation::Silu, Activation::Gelu, Activation::GeluTanh]),
    ];
    (
        select(vec![
            Statistics::Batch,
            Statistics::Batch,
            Statistics::Batch,
            Statistics::Fixed,
        ]),
        prop::bool::weighted(0.8),
        prop::bool::weighted(0.8),
        select(vec![1e-5f32, 1e-3, 1.0]),
        select(vec![
            Element::F32,
            Element::F32,
            Element::F16,
            Element::Bf16,
        ]),
        activation,
        select(vec![
            Derivative::Input,
            Derivative::Output,
            Derivative::Mask,
        ]),
        any::<bool>(),
    )
        .prop_map(
            |(statistics, gamma, beta, epsilon, element, activation, derivative, residual)| Layer {
                statistics,
                gamma,
                beta,
                epsilon,
                element,
                activation,
                derivative,
                residual,
            },
        )
}

fn memory() -> impl Strategy<Value = Memory> {
    let offset = || {
        prop_oneof![
            2 => Just(0u64),
            1 => select(vec![4u64, 8, 12, 16, 252, 256, 260]),
        ]
    };
    (
        prop::bool::weighted(0.3),
        select(vec![0usize, 0, 1, 64]),
        offset(),
        offset(),
        any::<bool>(),
        select(vec![
            InPlace::Nothing,
            InPlace::Nothing,
            InPlace::GradInput,
            InPlace::GradResidual,
        ]),
        prop::bool::weighted(0.3),
        select(vec![Workspace::Own, Workspace::Given]),
    )
        .prop_map(
            |(pooled, gap, offset, vectors, packed, input, y_over_residual, workspace)| Memory {
                pooled,
                gap,
                offset,
                vectors,
                packed,
                input,
                y_over_residual,
                workspace,
            },
        )
}

fn case(small: bool) -> impl Strategy<Value = Case> {
    let gradient = || {
        select(vec![
            Gradient::Skip,
            Gradient::Write,
            Gradient::Write,
            Gradient::Add,
        ])
    };
    (
        sizes(),
        prop::option::weighted(0.25, 0..Distribution::HARD.len()),
        layer(),
        [gradient(), gradient(), gradient(), gradient()],
        1u32..3,
        memory(),
        tuning(),
        room(small, &[4 << 10, 5000, 16 << 10]),
    )
        .prop_map(
            |(sizes, distribution, layer, gradients, repeats, memory, tuning, room)| Case {
                sizes,
                distribution,
                layer,
                gradients,
                repeats,
                memory,
                tuning,
                room,
            },
        )
}

impl Case {
    fn shape(&self) -> Shape {
        let (outer, channels, inner) = self.sizes;
        shape(outer, channels, inner)
    }

    fn options(&self) -> Backward {
        let Layer {
            statistics,
            gamma,
            beta,
            epsilon,
            element,
            activation,
            mut derivative,
            residual,
        } = self.layer;
        // what cannot be told from it is told from the input; a mask is made from the output
        let from_output = activation.gradient_from(Derivative::Output);
        if !activation.gradient_from(derivative) || !from_output {
            derivative = Derivative::Input;
        }
        let [mut grad_input, grad_gamma, grad_beta, mut grad_residual] = self.gradients;
        if self.gradients[..3].iter().all(|g| *g == Gradient::Skip) {
            grad_input = Gradient::Write;
        }
        if !residual {
            grad_residual = Gradient::Skip;
        }
        // what is over the gradient of y is written
        let over = match self.memory.input {
            InPlace::Nothing => None,
            InPlace::GradInput => Some(&mut grad_input),
            InPlace::GradResidual => Some(&mut grad_residual),
        };
        if let Some(gradient @ Gradient::Add) = over {
            *gradient = Gradient::Write;
        }
        let options = Backward::default()
            .statistics(statistics)
            .gamma(gamma)
            .beta(beta)
            .epsilon(epsilon)
            .element(element)
            .activation(activation)
            .derivative(derivative)
            .residual(residual)
            .grad_input(grad_input)
            .grad_gamma(grad_gamma)
            .grad_beta(grad_beta)
            .grad_residual(grad_residual);
        match &self.tuning {
            Some(tuning) => options.tuning(tuning.clone()),
            None => options,
        }
    }

    fn step(&self) -> LayerStep {
        let (outer, channels, inner) = self.sizes;
        let seed = outer + channels + inner;
        let options = self.options();
        let mut step = LayerStep::new(self.shape(), options.activation, seed);
        // fixed statistics fit the usual values, and halves hold no others
        if let Some(index) = self.distribution
            && options.statistics == Statistics::Batch
            && options.element == Element::F32
        {
            step = step.distributed(Distribution::HARD[index].1, index as u64);
        }
        step.memory = self.memory;
        step.repeats = self.repeats;
        if step.memory.input != InPlace::Nothing {
            step.repeats = 1;
        }
        if options.derivative == Derivative::Input && options.activation != Activation::None {
            step.memory.y_over_residual = false;
        }
        step.options = options;
        step.prepared()
    }

    /// Whether a refusal is one that the documentation promises for this case.
    fn has_reason(&self, refusal: &Refusal) -> bool {
        let vectors = 20 * Packed::new(self.sizes.1).stride();
        self.room.explains(refusal, vectors, self.memory.pooled)
    }
}

fn branches<'a>(case: &Case, dispatches: impl Iterator<Item = &'a DispatchInfo>) -> Branches {
    let mut branches = Branches::new();
    let options = case.options();
    let (outer, channels, inner) = case.sizes;
    let bytes = case.layer.element.bytes() * outer * channels * inner;
    for dispatch in dispatches {
        branches.extend(case.room.branches(dispatch, bytes));
        let stage = dispatch.stage;
        let name = format!("{stage:?} by {:?}", dispatch.walk);
        branches.insert(format!("{name}, {:?}", dispatch.element));
        let of_gradients = matches!(
            stage,
            Stage::GradientSums
                | Stage::GradientInput
                | Stage::GradientFused
                | Stage::GradientResident
        );
        if of_gradients && options.activation != Activation::None {
            branches.insert(format!("{name}, from {:?}", options.derivative));
            if dispatch.width == 8 {
                branches.insert(format!("{stage:?}, eight from {:?}", options.derivative));
            }
            if case.room.is_window(dispatch, bytes) {
                branches.insert(format!(
                    "{stage:?}, from a part of {:?}",
                    options.derivative
                ));
            }
        }
        if of_gradients && options.grad_input == Gradient::Add {
            branches.insert(format!("{name}, adds"));
            if dispatch.width == 8 {
                branches.insert(format!("{stage:?}, adds eight"));
            }
        }
    }
    branches
}

/// Checks a case; the branches that it took, or what is wrong.
fn check(case: &Case) -> Result<Branches, String> {
    let step = case.step();
    match step.check(&case.room.device()) {
        Ok(outcome) => {
            let Outcome {
                forward, backward, ..
            } = outcome?;
            Ok(branches(case, forward.iter().chain(&backward)))
        }
        Err(refusal) if case.has_reason(&refusal) => Ok([kind(&refusal)].into()),
        Err(refusal) => Err(format!("{step}: {refusal:?}")),
    }
}

/// The branches that a case takes where its tensors are aligned.
fn planned(case: &Case) -> Branches {
    match plans(&case.room.device(), case.shape(), &case.options()) {
        Ok(plans) => {
            let dispatches: Vec<_> = plans.iter().flat_map(Plan::dispatches).collect();
            branches(case, dispatches.iter())
        }
        Err(error) => [kind(&Refusal::Plan(error))].into(),
    }
}

/// Few cases that take all of these branches, as far as there are any.
fn aimed(left: &Branches) -> Vec<Case> {
    let mut candidates = vec![];
    for small in [false, true] {
        let mut runner = runner(6 + u8::from(small), 0);
        let strategy = case(small);
        for _ in 0..20_000 {
            let tree = strategy.new_tree(&mut runner).expect("nothing is filtered");
            let mut case = tree.current();
            (case.memory.pooled, case.memory.offset) = (false, 0);
            candidates.push((planned(&case), case));
        }
    }
    let mut left = left.clone();
    let mut aimed = vec![];
    while let Some((branches, case)) = candidates
        .iter()
        .max_by_key(|(branches, _)| branches.intersection(&left).count())
        .filter(|(branches, _)| !branches.is_disjoint(&left))
    {
        left.retain(|branch| !branches.contains(branch));
        aimed.push(case.clone());
    }
    aimed
}

fn run_aimed<'a>(cases: impl Iterator<Item = &'a Case>) -> Branches {
    cases
        .flat_map(|case| check(case).unwrap_or_else(|wrong| panic!("{wrong}")))
        .collect()
}

/// What two threads took.
fn together(work: impl Fn(bool) -> Branches + Sync) -> Branches {
    let work = &work;
    std::thread::scope(|scope| {
        let halves = [false, true].map(|half| scope.spawn(move || work(half)));
        let taken = halves.map(|half| half.join().expect("right or refused with a reason"));
        taken.into_iter().flatten().collect()
    })
}

/// Every branch that plans have beside those of a plain forward pass.
fn all_branches() -> Branches {
    let combines = combines();
    let elements = ["F32", "F16", "Bf16"];
    let mut all = vec![];
    for stage in ["GradientSums", "GradientFused"] {
        all.extend(each(&format!("{stage} by Rows"), &combines));
        all.extend(each(&format!("{stage} by Columns"), &combines));
        all.extend(each(&format!("{stage} by Quads"), &["Lane"]));
    }
    for walk in ["Rows", "Columns"] {
        let name = format!("GradientResident by {walk}");
        all.extend(each(&name, &combines));
        all.extend(each(&name, &elements));
        all.extend(each(
            &name,
            &["width 2", "width 4", "one held", "several held"],
        ));
        all.extend(each(
            &name,
            &["from Input", "from Output", "from Mask", "adds"],
        ));
        all.extend(each(&format!("Resident by {walk}"), &elements));
    }
    all.extend(each(
        "GradientResident by Rows",
        &["width 1", "a folded grid"],
    ));
    all.extend(each("GradientFinalize by Rows", &combines));
    all.extend(each("GradientFinalize by Rows", &["a folded grid"]));
    // halves that share words, and channels-last: coefficients apart from what uses them
    for walk in ["Rows", "Columns"] {
        all.extend(each(&format!("GradientCoefficients by {walk}"), &combines));
        all.extend(each(&format!("Coefficients by {walk}"), &["F16", "Bf16"]));
    }
    // eight halves, which f32 has nothing like
    let wide = ["width 8"];
    for stage in ["Statistics", "Fused", "GradientSums", "GradientFused"] {
        for walk in ["Rows", "Columns"] {
            all.extend(each(&format!("{stage} by {walk}"), &wide));
        }
    }
    for stage in ["Normalize", "NormalizeGiven", "GradientInput"] {
        for walk in ["Rows", "Columns", "Runs"] {
            all.extend(each(&format!("{stage} by {walk}"), &wide));
        }
        let name = format!("{stage} by SharedRuns");
        all.extend(each(&name, &wide));
        all.extend(each(&name, &["a window", "a folded grid"]));
    }
    for stage in ["Statistics", "GradientSums"] {
        for walk in ["Runs", "SharedRuns"] {
            all.extend(each(&format!("{stage} by {walk}"), &wide));
        }
    }
    for stage in ["Coefficients", "GradientCoefficients"] {
        all.extend(each(&format!("{stage} by Columns"), &wide));
    }
    for derivative in ["Input", "Output", "Mask"] {
        let from = format!("eight from {derivative}");
        for stage in ["GradientSums", "GradientInput"] {
            all.extend(each(stage, &[&from]));
        }
    }
    all.extend(each("GradientInput", &["adds eight"]));
    for walk in ["Rows", "Columns", "Quads"] {
        for stage in ["GradientSums", "GradientFused", "GradientInput"] {
            let name = format!("{stage} by {walk}");
            all.extend(each(&name, &elements));
            all.extend(each(&name, &["width 4", "a folded grid"]));
            if walk != "Quads" {
                all.extend(each(&name, &["width 2"]));
            }
            if stage != "GradientFused" {
                all.extend(each(&name, &["a window"]));
            }
            if walk != "Quads" && stage == "GradientSums" {
                all.extend(each(&name, &["width 1"]));
            }
        }
    }
    all.extend(each("GradientInput by Planes", &elements));
    for stage in ["GradientSums", "GradientInput"] {
        let name = format!("{stage} by Runs");
        all.extend(each(&name, &elements));
        let branches = ["width 2", "width 4", "a window", "a folded grid"];
        all.extend(each(&name, &branches));
    }
    all.extend(each("GradientSums by Runs", &["width 1"]));
    for stage in ["Statistics", "GradientSums", "GradientInput"] {
        let name = format!("{stage} by SharedRuns");
        all.extend(each(&name, &elements));
        all.extend(each(&name, &["width 4", "a window", "a folded grid"]));
    }
    for derivative in ["Input", "Output", "Mask"] {
        let from = format!("from {derivative}");
        for walk in ["Rows", "Columns", "Quads"] {
            all.extend(each(&format!("GradientFused by {walk}"), &[&from]));
        }
        for walk in ["Planes", "Runs", "SharedRuns", "Words"] {
            all.extend(each(&format!("GradientInput by {walk}"), &[&from, "adds"]));
        }
        for walk in ["Runs", "SharedRuns"] {
            all.extend(each(&format!("GradientSums by {walk}"), &[&from]));
        }
        for stage in ["GradientSums", "GradientInput"] {
            all.extend(each(stage, &[&format!("from a part of {derivative}")]));
        }
    }
    for stage in ["Normalize", "NormalizeGiven", "GradientInput", "Mask"] {
        let name = format!("{stage} by Words");
        all.extend(each(
            &name,
            &["F16", "Bf16", "width 2", "a window", "a folded grid"],
        ));
        all.extend(each(stage, &["a cut grid"]));
    }
    all.extend(each("Mask by Words", &["F32", "width 1", "width 4"]));
    all.extend(each("GradientSums", &["a cut grid"]));
    all.extend(["Plan(Channels", "Plan(Limit"].map(String::from));
    all.into_iter().collect()
}

#[test]
fn any_backward_pass_is_right_or_refused_with_a_reason_and_every_branch_is_taken() {
    let mut left = all_branches();
    let taken = together(|small| run_any(runner(4 + u8::from(small), 16), &case(small), check));
    left.retain(|branch| !taken.contains(branch));
    let cases = aimed(&left);
    println!("{} cases for {left:#?}", cases.len());
    let taken = together(|odd| run_aimed(cases.iter().skip(usize::from(odd)).step_by(2)));
    left.retain(|branch| !taken.contains(branch));
    assert!(left.is_empty(), "never taken: {left:#?}");
}
