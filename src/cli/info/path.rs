//! The path that a step takes, and why: read from its plan, and from plans for limits that are a little different.

use serde::Serialize;
use wgpu_batchnorm::{
    Backward, Combine, DispatchInfo, Inference, Limits, Operation, Plan, PlanError, Shape,
    ShapeError, Stage, Team, Training, Tuning, Walk,
};

use super::facts::bytes;
use crate::cli::size::{Layout, Sizes};

/// How a step would run.
#[derive(Debug, Serialize)]
pub struct Path {
    shape: Sizes,
    layout: Layout,
    operation: Operation,
    path: &'static str,
    team: &'static str,
    walk: &'static str,
    /// Parts of the tensor that are bound one after the other.
    windows: usize,
    workspace_bytes: u64,
    dispatches: Vec<Dispatch>,
    /// What made it so.
    pub why: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Dispatch {
    stage: &'static str,
    walk: &'static str,
    width: u64,
    combine: &'static str,
    workgroup_size: u64,
    grid: [u32; 2],
    window_bytes: u64,
}

impl Dispatch {
    fn new(dispatch: DispatchInfo) -> Self {
        Self {
            stage: dispatch.stage.name(),
            walk: dispatch.walk.name(),
            width: dispatch.width,
            combine: combine(dispatch.combine),
            workgroup_size: dispatch.workgroup_size,
            grid: dispatch.grid,
            window_bytes: dispatch.window_bytes,
        }
    }
}

/// Every step, in the order of the table.
const OPERATIONS: [Operation; 3] = [
    Operation::Training,
    Operation::Inference,
    Operation::Backward,
];

fn plan(operation: Operation, limits: &Limits, shape: Shape) -> Result<Plan, PlanError> {
    match operation {
        Operation::Training => Plan::training(limits, shape, &Training::default()),
        Operation::Inference => Plan::inference(limits, shape, &Inference::default()),
        Operation::Backward => Plan::backward(limits, shape, &Backward::default()),
    }
}

impl Path {
    /// Every step of a shape: training, inference and the backward pass.
    pub fn all(limits: &Limits, layout: Layout, sizes: &Sizes) -> Result<[Self; 3], ShapeError> {
        let shape = sizes.shape(layout)?;
        Ok(OPERATIONS.map(|operation| {
            let empty = Self {
                shape: sizes.clone(),
                layout,
                operation,
                path: "none",
                team: "none",
                walk: "none",
                windows: 0,
                workspace_bytes: 0,
                dispatches: Vec::new(),
                why: Vec::new(),
            };
            match plan(operation, limits, shape) {
                Ok(plan) => empty.planned(limits, &plan),
                Err(error) => Self {
                    why: vec![format!("It cannot run: {error}.")],
                    ..empty
                },
            }
        }))
    }

    fn planned(self, limits: &Limits, plan: &Plan) -> Self {
        let Some(first) = plan.dispatches().next() else {
            return Self {
                why: vec!["There is nothing to compute: the tensor is empty.".to_owned()],
                ..self
            };
        };
        let roomy = Limits {
            binding_bytes: u64::MAX,
            ..limits.clone()
        };
        let roomy = self::plan(self.operation, &roomy, plan.shape()).ok();
        Self {
            path: path(plan),
            team: combine(first.combine),
            walk: first.walk.name(),
            windows: windows(plan),
            workspace_bytes: plan.workspace_bytes(),
            dispatches: plan.dispatches().map(Dispatch::new).collect(),
            why: why(limits, plan, &first, roomy.as_ref()),
            ..self
        }
    }

    /// The cells of its row.
    pub fn cells(&self) -> [String; 8] {
        let layout = match self.layout {
            Layout::ChannelsFirst => "first",
            Layout::ChannelsLast => "last",
        };
        let operation = match self.operation {
            Operation::Training => "train",
            Operation::Inference => "infer",
            Operation::Backward => "back",
        };
        [
            self.shape.to_string(),
            layout.to_owned(),
            operation.to_owned(),
            self.path.to_owned(),
            self.team.to_owned(),
            self.walk.to_owned(),
            self.windows.to_string(),
            self.dispatches.len().to_string(),
        ]
    }
}

/// The stages of a plan, in a word.
fn path(plan: &Plan) -> &'static str {
    let first = plan.dispatches().next().map(|dispatch| dispatch.stage);
    match first {
        None => "none",
        Some(Stage::Resident | Stage::GradientResident) => "resident",
        Some(Stage::Fused | Stage::GradientFused) => "fused",
        Some(Stage::Coefficients | Stage::GradientCoefficients) => "whole",
        Some(Stage::NormalizeGiven) => "given",
        Some(_) => "split",
    }
}

const fn combine(combine: Combine) -> &'static str {
    match combine {
        Combine::Lane => "lane",
        Combine::Workgroup => "workgroup",
        Combine::Subgroups => "subgroups",
        Combine::Subgroup => "subgroup",
        _ => "other",
    }
}

/// How many windows the last stage, which writes the result, goes through.
fn windows(plan: &Plan) -> usize {
    let mut count = 0;
    let last = plan.dispatches().last().map(|dispatch| dispatch.stage);
    for dispatch in plan.dispatches() {
        count += usize::from(Some(dispatch.stage) == last && dispatch.first_workgroup == 0);
    }
    count
}

fn why(limits: &Limits, plan: &Plan, first: &DispatchInfo, roomy: Option<&Plan>) -> Vec<String> {
    let tuning = Tuning::for_limits(limits);
    let size = 4 * plan.shape().len();
    let mut why = Vec::new();

    let binding = bytes(limits.binding_bytes);
    let roomy_path = roomy.map(path);
    if windows(plan) > roomy.map_or(1, windows) {
        why.push(format!(
            "One binding holds {binding}: larger tensors are bound and walked window by window."
        ));
    }
    match path(plan) {
        "resident" => why.push(format!(
            "A workgroup's registers hold whole channels, {} for each lane: every tensor is read once.",
            match first.held {
                1 => "an access".to_owned(),
                held => format!("{held} accesses"),
            }
        )),
        "fused" => why.push(format!(
            "{}: each {}, which goes over it again right after the first time.",
            whole_channels(&tuning, plan, first),
            match tuning.team {
                Team::Lane => "belongs to a lane",
                Team::Workgroup => "belongs to a workgroup or a part of one",
            }
        )),
        "whole" => why.push(format!(
            "{}. But going down one column of {} twice is slow: the result is a dispatch of its own, along memory.",
            whole_channels(&tuning, plan, first),
            bytes(size)
        )),
        "split" if roomy_path.is_some_and(|roomy| roomy != "split") => why.push(format!(
            "No binding of {binding} has whole channels: what is gathered of each is merged from the windows'."
        )),
        "split" if matches!(first.walk, Walk::Runs | Walk::SharedRuns) => why.push(format!(
            "The pass goes over more than the {} that a cache holds: what is gathered of each row is merged by finalize, so that \
             nothing jumps from row to row.",
            bytes(tuning.cache_bytes)
        )),
        "split" if keep_busy(&tuning, plan, first) && (first.walk, tuning.team) == (Walk::Columns, Team::Lane) => why.push(format!(
            "There are channels enough to keep the adapter busy, but so many rows that one walk down them would touch more than \
             {} pages of memory. Finalize merges the parts.",
            tuning.walk_pages
        )),
        "split" if keep_busy(&tuning, plan, first) => why.push(
            "There are channels enough to keep the adapter busy, but more values in each than a lane should walk: drivers \
             end very long loops. Finalize merges the parts."
                .to_owned(),
        ),
        "split" => why.push(format!(
            "Fewer channels than keep the adapter busy ({} workgroups of at least {} values): each is split, and finalize \
             merges the parts.",
            tuning.workgroups, tuning.values_per_workgroup
        )),
        _ => {}
    }
    why.extend(team(limits, first));
    why.extend(walk(first, &tuning));
    why
}

/// Why channels stay whole.
fn whole_channels(tuning: &Tuning, plan: &Plan, first: &DispatchInfo) -> &'static str {
    if keep_busy(tuning, plan, first) {
        "There are channels enough to keep the adapter busy"
    } else {
        "There are too few values for splitting channels to be worth it"
    }
}

/// Whether whole channels are as many units of work as keep the adapter busy.
fn keep_busy(tuning: &Tuning, plan: &Plan, first: &DispatchInfo) -> bool {
    let per_unit = match first.walk {
        Walk::Columns | Walk::Quads => first.width,
        _ => 1,
    };
    let units = plan.shape().channels() / per_unit;
    let across = match (tuning.team, first.walk) {
        (Team::Lane, _) => u64::from(tuning.workgroup_size),
        (Team::Workgroup, Walk::Columns) => units
            .next_power_of_two()
            .min(u64::from(tuning.workgroup_size)),
        (Team::Workgroup, _) => 1,
    };
    units >= across * u64::from(tuning.workgroups)
}

/// Why lanes combine as they do; nothing where there is nothing to combine.
fn team(limits: &Limits, first: &DispatchInfo) -> Option<String> {
    let tuning = Tuning::for_limits(limits);
    Some(match first.combine {
        Combine::Lane if first.stage == Stage::NormalizeGiven => return None,
        Combine::Lane if tuning.team == Team::Lane => {
            "On a software adapter lanes are those of a vector unit: nothing crosses them, no barrier is needed.".to_owned()
        }
        Combine::Lane => "Neighbouring channels fill the lanes of a workgroup: each lane has its own.".to_owned(),
        Combine::Workgroup => match limits.subgroups {
            None => "There are no subgroups: lanes combine through workgroup memory.".to_owned(),
            Some(_) => "Several channels share a workgroup: the lanes of each combine through workgroup memory.".to_owned(),
        },
        Combine::Subgroups => {
            let sizes = limits
                .subgroups
                .map_or_else(String::new, |sizes| if sizes.min == sizes.max {
                    sizes.min.to_string()
                } else {
                    format!("{} to {}", sizes.min, sizes.max)
                });
            format!(
                "A workgroup of {} lanes has several subgroups (of {sizes} lanes): each combines its own lanes, then they \
                 combine through workgroup memory.",
                first.workgroup_size
            )
        }
        Combine::Subgroup => format!(
            "Subgroups have {} lanes, as many as a workgroup: no barrier is needed.",
            first.workgroup_size
        ),
        _ => return None,
    })
}

/// Why a tensor is walked as it is.
fn walk(first: &DispatchInfo, tuning: &Tuning) -> Vec<String> {
    let mut why = vec![
        match first.walk {
            Walk::Rows => "A channel's values lie in rows: they are walked along memory.",
            Walk::Columns => "Channels lie side by side: a lane walks down the rows with one access of each.",
            Walk::Quads => {
                "A channel's rows are no multiple of 4 values, but four channels' planes are: they are walked together."
            }
            Walk::Runs => "A channel's rows are short: rows are walked one after another, whatever channel they are of.",
            Walk::SharedRuns => {
                "A channel's rows are short and no whole accesses, but a few channels' are: those are walked one after another."
            }
            Walk::Planes => {
                "A channel's rows are short and the tensors larger than the cache: rows of all channels are walked."
            }
            Walk::Words => "Values are walked word by word, wherever channels start.",
            _ => "Another walk serves.",
        }
        .to_owned(),
    ];
    if first.walk == Walk::Planes {
        why.push(format!(
            "The tensors of the pass have more than the {} up to which channels are normalized one by one.",
            bytes(tuning.cache_bytes)
        ));
    }
    if first.width == 1 {
        why.push("Its runs are no multiple of 4 values: values are read one by one.".to_owned());
    }
    why
}

#[cfg(test)]
mod tests {
    use wgpu_batchnorm::{AdapterKind, SubgroupSizes};

    use super::*;

    fn gpu(subgroups: Option<(u32, u32)>) -> Limits {
        Limits {
            subgroups: subgroups.map(|(min, max)| SubgroupSizes { min, max }),
            ..Limits::default()
        }
    }

    fn software() -> Limits {
        Limits {
            adapter: AdapterKind::Cpu,
            processors: 4,
            ..gpu(Some((8, 8)))
        }
    }

    fn training(limits: &Limits, sizes: &str, layout: Layout) -> Path {
        let [training, _, _] =
            Path::all(limits, layout, &sizes.parse().expect("sizes")).expect("a shape");
        training
    }

    #[track_caller]
    fn says(path: &Path, word: &str, team: &str, reason: &str) {
        assert_eq!((path.path, path.team), (word, team), "{:?}", path.why);
        assert!(
            path.why.iter().any(|why| why.contains(reason)),
            "{:?}",
            path.why
        );
    }

    #[test]
    fn each_path_has_its_reason() {
        use Layout::{ChannelsFirst, ChannelsLast};
        let many = "8x4096x7x7";
        says(
            &training(&gpu(None), many, ChannelsFirst),
            "resident",
            "workgroup",
            "no subgroups",
        );
        says(
            &training(&gpu(None), many, ChannelsFirst),
            "resident",
            "workgroup",
            "2 accesses for each lane",
        );
        says(
            &training(&gpu(Some((32, 32))), "8x1024x56x56", ChannelsFirst),
            "fused",
            "subgroups",
            "right after the first time",
        );
        says(
            &training(&gpu(Some((32, 32))), many, ChannelsFirst),
            "resident",
            "subgroups",
            "(of 32 lanes)",
        );
        says(
            &training(&gpu(Some((32, 64))), many, ChannelsFirst),
            "resident",
            "subgroups",
            "(of 32 to 64 lanes)",
        );
        let whole = gpu(Some((256, 256)));
        says(
            &training(&whole, many, ChannelsFirst),
            "resident",
            "subgroup",
            "no barrier",
        );
        says(
            &training(&software(), "8x1024x7x7", ChannelsFirst),
            "fused",
            "lane",
            "vector unit",
        );
        says(
            &training(&software(), many, ChannelsFirst),
            "split",
            "lane",
            "nothing jumps from row to row",
        );

        let few = training(&gpu(None), "32x3x512x512", ChannelsFirst);
        says(&few, "split", "workgroup", "keep the adapter busy");
        assert_eq!(few.windows, 1);
        assert!(few.workspace_bytes > 0 && few.dispatches.len() == 3);

        let windowed = training(&gpu(None), "256x2048x14x14", ChannelsFirst);
        says(
            &windowed,
            "split",
            "workgroup",
            "No binding of 128 MiB has whole channels",
        );
        assert!(windowed.windows > 1);
        assert!(windowed.why[0].contains("window by window"));

        let long = training(&software(), "256x128x64x64", ChannelsFirst);
        says(&long, "split", "lane", "very long loops");

        let last = |sizes| training(&software(), sizes, ChannelsLast);
        says(&last("512x4092"), "fused", "lane", "right after");
        says(&last("512x40000"), "whole", "lane", "down one column");
        says(&last("20000x1024"), "split", "lane", "1024 pages");
        says(
            &training(&software(), "9x12x7x7", ChannelsFirst),
            "split",
            "lane",
            "four channels' planes",
        );
        assert_eq!(
            training(&gpu(None), "2x3x5x5", ChannelsFirst).dispatches[0].width,
            1
        );
    }

    #[test]
    fn inference_needs_no_statistics() {
        let [_, inference, _] = Path::all(
            &gpu(None),
            Layout::ChannelsFirst,
            &"32x64x56x56".parse().expect("sizes"),
        )
        .expect("a shape");
        assert_eq!((inference.path, inference.dispatches.len()), ("given", 1));
        assert!(!inference.why.iter().any(|why| why.contains("combine")));
    }

    #[test]
    fn the_backward_pass_has_its_path_too() {
        let backward = |sizes: &str, layout| {
            let sizes = sizes.parse().expect("sizes");
            let [_, _, backward] = Path::all(&software(), layout, &sizes).expect("a shape");
            backward
        };
        let fused = backward("8x1024x7x7", Layout::ChannelsFirst);
        says(&fused, "fused", "lane", "right after the first time");
        assert_eq!(fused.dispatches[0].stage, "backward/fused");
        says(
            &backward("512x40000", Layout::ChannelsLast),
            "whole",
            "lane",
            "down one column",
        );
        let split = backward("32x3x512x512", Layout::ChannelsFirst);
        says(&split, "split", "lane", "keep the adapter busy");
        assert_eq!(split.dispatches.len(), 3);
    }

    #[test]
    fn what_cannot_run_and_what_need_not_say_so() {
        let path = training(&gpu(None), "1x5", Layout::ChannelsLast);
        says(
            &path,
            "none",
            "none",
            "It cannot run: one value per channel",
        );
        let path = training(&gpu(None), "0x5", Layout::ChannelsLast);
        says(&path, "none", "none", "the tensor is empty");
    }
}
