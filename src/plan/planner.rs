//! Programs of stages: over which windows, in which splits.

use std::ops::Range;

use super::geometry::{Geometry, Walk, Window};
use super::grid::{Area, Splits, dispatches};
use super::{Access, Dispatch, Lanes, Needs, Pairs, Parameters, Program, Stage};
use crate::element::Element;
use crate::error::PlanError;
use crate::limits::Limits;
use crate::packed::Packed;
use crate::shape::Shape;
use crate::tuning::{Team, Tuning};

/// Storage bindings that a stage may have on every device.
const MOST_BINDINGS: usize = 8;

/// Values that have their bits in one word of a mask.
pub(crate) const MASK_WORD: u64 = 32;

/// Bytes of a page of memory.
const PAGE: u64 = 4096;

/// Turns that a lane's nest of loops may take. Mesa's lavapipe 22 ends a nest after 65535 turns, those of inner loops
/// counted, whatever is left to do; 25 does not. That many turns are more than enough work for a lane anywhere.
const MOST_TURNS: u64 = 65_000;

/// Rows of so many columns, and of so many channels, that a lane may go over one after another.
const fn most_in_a_run(columns: u64, channels: u64) -> u64 {
    // one access a turn or two, and the turns of the loops around them
    MOST_TURNS / (columns + columns / 32 + 2 + 2 * channels)
}

/// Values of a channel in a row from which it has an access of its own, of so many values, wherever it starts.
const fn shortest_shared(width: u64) -> u64 {
    2 * width - 1
}

/// The stages of a program that looks at whole channels before it writes values.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stages {
    /// Partial results of every unit.
    pub gather: Stage,
    /// From the partial results of a channel to its coefficients.
    pub finalize: Stage,
    /// Both in one dispatch.
    pub whole: Option<Stage>,
    /// What writes the values, where any are written.
    pub apply: Option<Stage>,
    /// All in one dispatch.
    pub fused: Option<Stage>,
    /// All in one dispatch, with a unit's values in registers.
    pub resident: Option<Stage>,
}

/// What planning a program goes by.
pub(super) struct Planner<'a> {
    limits: &'a Limits,
    tuning: &'a Tuning,
    needs: &'a Needs,
    shape: Shape,
    geometry: Geometry,
    /// Whether halves are accessed eight at a time, where a row has a multiple of eight.
    wide: bool,
    /// Values that a window may span.
    window: u64,
    /// The widest access of values wherever channels start, in whole words.
    words: u64,
    pub parameters: Parameters,
}

/// The values that one binding holds wherever the tensor starts, in whole words of a mask: so few that four times as many
/// are still counted in 32 bits, as indices a few strides ahead are.
fn window_values(limits: &Limits, element: Element) -> u64 {
    let bytes = limits.binding_bytes.min(element.bytes() << 29) - limits.offset_alignment;
    let values = bytes / element.bytes();
    if values < MASK_WORD {
        values / 4 * 4
    } else {
        values / MASK_WORD * MASK_WORD
    }
}

/// Values that an access may have, the most first, but for eight halves: of tensors that start at multiples of 16 bytes, or of
/// any.
pub(super) const fn widths(element: Element, aligned: bool) -> &'static [u64] {
    match (aligned, element) {
        (true, Element::F32) => &[4, 1],
        (true, Element::F16 | Element::Bf16) => &[4, 2, 1],
        (false, Element::F32) => &[1],
        (false, Element::F16 | Element::Bf16) => &[2, 1],
    }
}

/// Whether halves are accessed eight at a time, where a row has a multiple of eight.
fn takes_eights(tuning: &Tuning, needs: &Needs, aligned: bool) -> bool {
    aligned && tuning.wide_halves && tuning.team == Team::Lane && needs.element != Element::F32
}

impl<'a> Planner<'a> {
    /// For tensors that all start at multiples of 16 bytes, or for any.
    pub fn new(
        limits: &'a Limits,
        tuning: &'a Tuning,
        needs: &'a Needs,
        shape: Shape,
        aligned: bool,
    ) -> Self {
        let window = window_values(limits, needs.element);
        let n = shape.values_per_channel();
        let widths = widths(needs.element, aligned);
        let wide = takes_eights(tuning, needs, aligned) && window >= 8;
        // not rows that are too short for coefficients of their own
        let long = shape.inner() == 1 || shape.inner() / 4 >= u64::from(tuning.shortest_run);
        let fits = widths
            .iter()
            .find(|&&width| shape.len().is_multiple_of(width));
        Self {
            limits,
            tuning,
            needs,
            shape,
            wide,
            geometry: if wide && long {
                Geometry::new(shape, &[8, 4, 2, 1], tuning.team, window)
            } else {
                Geometry::new(shape, widths, tuning.team, window)
            },
            window,
            // of an odd number of halves the last word is shared with what follows
            words: fits.map_or(1, |&width| width.max(needs.element.per_word())),
            parameters: Parameters {
                vector_stride: u32::try_from(Packed::new(shape.channels()).stride())
                    .expect("packed vectors fit into a binding"),
                inner: u32::try_from(shape.inner()).unwrap_or(u32::MAX),
                inverse_count: if n == 0 { 0.0 } else { (1.0 / n as f64) as f32 },
                bessel: 1.0,
                ..Parameters::default()
            },
        }
    }

    fn all(&self) -> Vec<Window> {
        self.geometry.windows(0..self.geometry.groups, self.window)
    }

    fn lanes(&self, window: &Window) -> Lanes {
        Lanes::for_tensor(self.tuning, &self.geometry, window)
    }

    /// Splits of a window that keep the adapter busy.
    fn splits(&self, window: &Window) -> Splits {
        let size = |range: &Range<u64>| range.end - range.start;
        let across = self.lanes(window).units_across;
        let useful = window.len(&self.geometry).saturating_mul(across)
            / u64::from(self.tuning.values_per_workgroup);
        let units = useful.clamp(1, u64::from(self.tuning.workgroups) * across);
        let mut wanted = units.div_ceil(size(&window.groups));
        let (rows, columns) = (size(&window.rows), size(&window.columns));
        loop {
            let (splits, most) = match self.geometry.walk {
                Walk::Rows => (Splits::new(rows, columns, wanted), rows * columns),
                // the channels of a group share its columns
                _ => (Splits::new(rows, 1, wanted).with_all_columns(columns), rows),
            };
            if wanted >= most || self.turns(window, splits) <= MOST_TURNS {
                return splits;
            }
            wanted *= 2;
        }
    }

    /// Splits of a window that a stage leaves a partial for each of: such that each walk down the rows goes through few
    /// pages, too.
    fn parts(&self, window: &Window, stage: Stage) -> Splits {
        let splits = self.splits(window);
        let rows = window.rows.end - window.rows.start;
        if self.gathers_runs(window, stage) {
            return Splits::new(rows, 1, rows).with_all_columns(self.geometry.columns);
        }
        let wanted = rows.div_ceil(self.most_rows(stage));
        if wanted <= splits.count() {
            return splits;
        }
        let columns = window.columns.end - window.columns.start;
        Splits::new(rows, 1, wanted).with_all_columns(columns)
    }

    /// Rows that one walk down channels side by side may go through, so that it touches few pages of the stage's tensors.
    fn most_rows(&self, stage: Stage) -> u64 {
        if self.geometry.walk != Walk::Columns || self.tuning.team != Team::Lane {
            return u64::MAX;
        }
        let stride = self.geometry.row_stride * self.geometry.width * self.needs.element.bytes();
        let touched = stride.clamp(1, PAGE) * self.tensors(stage).count().max(1) as u64;
        (u64::from(self.tuning.walk_pages) * PAGE / touched).max(1)
    }

    /// How a stage accesses each of its tensors that have the shape of x.
    fn tensors(&self, stage: Stage) -> impl Iterator<Item = Access> {
        let roles = stage.roles(self.needs);
        let of_shape = roles.into_iter().filter(|(role, _)| role.has_shape_of_x());
        of_shape.map(|(_, access)| access)
    }

    /// At most so many turns a lane's loops take over one split, statistics or normalize.
    fn turns(&self, window: &Window, splits: Splits) -> u64 {
        let lanes = self.lanes(window);
        let rows = splits.split_rows.div_ceil(lanes.team_rows);
        let columns = splits.split_columns.div_ceil(lanes.team_columns);
        match self.geometry.walk {
            // one access a turn or two, and the turns of the loops around them
            Walk::Rows => rows * (columns + columns / 32 + 4),
            Walk::Quads => rows * (columns + 16),
            _ => rows + rows / 8 + 8,
        }
    }

    fn push(&self, to: &mut Vec<Dispatch>, stage: Stage, area: Area<'_>, parameters: Parameters) {
        let by = (self.limits, self.tuning);
        let pairs = self.pairs(stage, area.geometry);
        let kind = (stage, self.needs.element, pairs);
        to.extend(dispatches(kind, area, by, parameters));
    }

    /// Whether two accesses of each tensor are in flight: of few tensors.
    fn pairs(&self, stage: Stage, geometry: &Geometry) -> Pairs {
        let channels = geometry.channels_per_group;
        let most = match geometry.walk {
            Walk::Columns if self.pairs_are_rows(geometry) => self.tuning.paired_rows,
            Walk::Columns => self.tuning.paired_columns,
            _ => self.tuning.paired_tensors,
        } as usize;
        let read = self.tensors(stage).filter(|access| *access == Access::Read);
        let shared = self.tuning.team == Team::Workgroup;
        // coefficients of four channels, twice as many of them, and what the activation takes, leave a GPU no registers
        let recomputes = self.needs.recomputes();
        let gathered = read.count();
        let broken = match geometry.walk {
            // What one instruction reads at equal distances a processor fetches ahead, from row to row too where they follow
            // each other: unless each row leaves one access to other instructions. Halves are faster in pairs all the same.
            Walk::Runs => {
                geometry.columns % 2 == 1
                    && self.needs.element == Element::F32
                    && self.is_beyond_cache()
            }
            // few accesses are a channel's own
            Walk::SharedRuns => true,
            _ => false,
        };
        // one access of eight halves has as much in flight as two of four
        let few = geometry.width < 8 || 2 * gathered <= most;
        Pairs {
            applied: few
                && self.tensors(stage).count() <= most
                && !broken
                && !(shared && channels > 1 && recomputes),
            summed: stage.sums_gradients()
                && few
                && gathered <= most
                && !(shared && (channels > 1 || gathered > 2 || recomputes)),
        }
    }

    /// Whether two columns of every lane are a whole row, channels contiguous: one of each would leave gaps.
    fn pairs_are_rows(&self, geometry: &Geometry) -> bool {
        let lanes = u64::from(self.tuning.workgroup_size);
        self.tuning.team == Team::Lane
            && geometry.groups == 1
            && geometry.columns > lanes
            && geometry.columns <= 2 * lanes
    }

    /// A window of the tensor as it is.
    fn area<'b>(&'b self, window: &'b Window, splits: Splits) -> Area<'b> {
        Area {
            geometry: &self.geometry,
            window,
            splits,
            lanes: self.lanes(window),
        }
    }

    /// Whether every channel can belong to one workgroup (or lane) without leaving the adapter idle.
    fn keeps_channels_whole(&self, windows: &[Window]) -> bool {
        windows.iter().all(|window| {
            window.has_whole_channels(&self.geometry) && self.splits(window).count() == 1
        })
    }

    /// Whether a unit's values are whole words, so that no two units write one.
    fn stores_by_units(&self) -> bool {
        self.geometry.width >= self.needs.element.per_word()
    }

    /// Whether such channels are also best gone over again right where they were gathered.
    fn fuses(&self) -> bool {
        match self.geometry.walk {
            _ if !self.stores_by_units() => false,
            Walk::Rows | Walk::Quads => true,
            _ => self.bytes() <= self.tuning.fused_bytes,
        }
    }

    /// The lanes that hold each window's units in registers, where they can, and without leaving the adapter idle: where
    /// channels are kept whole anyway, or where there are enough workgroups that have so much in flight.
    fn holds(&self, windows: &[Window], whole: bool) -> Option<Vec<Lanes>> {
        let most = u64::from(self.tuning.resident_accesses) / self.needs.held_tensors();
        let has_whole_channels = |window: &Window| window.has_whole_channels(&self.geometry);
        if most == 0
            || self.tuning.team != Team::Workgroup
            || !self.stores_by_units()
            || !windows.iter().all(has_whole_channels)
        {
            return None;
        }
        let access = self.geometry.width * self.needs.element.bytes();
        let lanes: Option<Vec<_>> = windows
            .iter()
            .map(|window| Lanes::holding(self.tuning, &self.geometry, window, access, most))
            .collect();
        let lanes = lanes?;
        let workgroups = windows.iter().zip(&lanes).map(|(window, lanes)| {
            let groups = window.groups.end - window.groups.start;
            groups.div_ceil(lanes.units_across)
        });
        let busy = workgroups.sum::<u64>() >= u64::from(self.tuning.resident_workgroups);
        (whole || busy).then_some(lanes)
    }

    /// Whether the pass goes over more, each tensor counted once, than what the tuning takes for a cache.
    fn is_beyond_cache(&self) -> bool {
        let once = self.needs.minimum_traffic(self.geometry.values(), true);
        once > self.tuning.cache_bytes
    }

    /// Bytes of a tensor.
    fn bytes(&self) -> u64 {
        self.needs.element.bytes() * self.geometry.values()
    }

    /// A stage that writes values from coefficients that are there, over the whole tensor.
    pub fn elementwise(&self, to: &mut Vec<Dispatch>, stage: Stage) -> Result<(), PlanError> {
        if self.shape.is_empty() {
            return Ok(());
        }
        if !self.stores_by_units() {
            return self.by_words(to, stage);
        }
        for window in &self.all() {
            if self.has_runs(window) {
                self.push_runs(to, stage, window, self.parameters);
            } else if self.has_short_runs() {
                self.normalize_planes(to, stage, window);
            } else if self.geometry.walk == Walk::Columns {
                self.normalize_columns(to, stage, window);
            } else {
                let area = self.area(window, self.splits(window));
                self.push(to, stage, area, self.parameters);
            }
        }
        Ok(())
    }

    /// Values word by word, wherever channels start.
    fn by_words(&self, to: &mut Vec<Dispatch>, stage: Stage) -> Result<(), PlanError> {
        let (channels, inner) = (self.shape.channels(), self.shape.inner());
        // positions from the start of a channel's row to the end of a window are counted in 32 bits
        if inner > 1 << 31 {
            return Err(PlanError::HalfRow { given: inner });
        }
        for values in self.spans() {
            let parameters = Parameters {
                channels: channels as u32,
                first_channel: (values.start / inner % channels) as u32,
                first_value: (values.start % inner) as u32,
                ..self.parameters
            };
            let word = self.needs.element.per_word();
            self.push_words(to, stage, values, (word, word), 1, parameters);
        }
        Ok(())
    }

    /// The mask, made of the output.
    pub fn mask(&self, to: &mut Vec<Dispatch>) {
        for values in self.spans() {
            let turns = MASK_WORD / self.words + 2;
            let columns = (MASK_WORD, self.words);
            self.push_words(to, Stage::Mask, values, columns, turns, self.parameters);
        }
    }

    /// The tensor in windows, wherever channels start.
    fn spans(&self) -> impl Iterator<Item = Range<u64>> + '_ {
        let starts = (0..self.shape.len()).step_by(self.window as usize);
        starts.map(|start| start..self.shape.len().min(start + self.window))
    }

    /// A window as one row of columns that have so many values each, in accesses of so many, and take a lane so many turns.
    fn push_words(
        &self,
        to: &mut Vec<Dispatch>,
        stage: Stage,
        values: Range<u64>,
        (per_column, width): (u64, u64),
        turns: u64,
        parameters: Parameters,
    ) {
        let columns = (values.end - values.start).div_ceil(per_column);
        let geometry = Geometry {
            walk: Walk::Words,
            width,
            rows: 1,
            groups: 1,
            columns,
            row_stride: columns,
            group_stride: 0,
            channels_per_group: 1,
        };
        let lanes = Lanes::for_columns(self.tuning, columns);
        let useful = (values.end - values.start) / u64::from(self.tuning.values_per_workgroup);
        let longest = MOST_TURNS / turns * lanes.team_columns;
        let wanted = useful
            .clamp(1, u64::from(self.tuning.workgroups))
            .max(columns.div_ceil(longest));
        let window = Window {
            rows: 0..1,
            groups: 0..1,
            columns: 0..columns,
            values,
        };
        let area = Area {
            geometry: &geometry,
            window: &window,
            splits: Splits::new(1, columns, wanted),
            lanes,
        };
        self.push(to, stage, area, parameters);
    }

    /// Whether a channel's runs are so short, in a tensor so large, that walking one channel from row to row is slow.
    fn has_short_runs(&self) -> bool {
        let shortest = u64::from(self.tuning.shortest_run);
        let short = match self.geometry.walk {
            Walk::Rows => self.geometry.width == 4 && self.geometry.columns < shortest,
            Walk::Quads => self.geometry.columns < shortest,
            _ => false,
        };
        short && self.tuning.team == Team::Lane && self.geometry.rows > 1 && self.is_beyond_cache()
    }

    /// Whether rows are so short that walking one channel's is slow, but long enough to be worth coefficients of their own.
    fn has_runs(&self, window: &Window) -> bool {
        let columns = self.geometry.columns;
        // the shortest only where the cache does not hold the tensors
        let least = u64::from(self.tuning.shortest_run) + u64::from(!self.is_beyond_cache());
        let fours = columns * self.geometry.width.div_ceil(4);
        let walks = match self.geometry.walk {
            Walk::Rows => true,
            Walk::Quads => self.shape.inner() >= shortest_shared(4),
            _ => false,
        };
        walks
            && fours >= least
            && columns * self.geometry.width * self.needs.element.bytes() < self.tuning.run_bytes
            && most_in_a_run(columns, self.channels_in_a_row()) > 0
            && self.tuning.team == Team::Lane
            && window.groups == (0..self.geometry.groups)
            && window.columns == (0..columns)
    }

    /// Whether a stage gathers from a window as it lies in memory, and leaves a partial for each row of each channel.
    fn gathers_runs(&self, window: &Window, stage: Stage) -> bool {
        let read = self.tensors(stage).count() as u64;
        read >= u64::from(self.tuning.run_tensors)
            && self.is_beyond_cache()
            && self.has_runs(window)
    }

    /// Workgroups for so many values that are gone over as they lie in memory: so many that those which run at once are
    /// neighbours, as rows a power of two apart compete for the same cache sets.
    fn workgroups_along_memory(&self, values: u64) -> u64 {
        let useful = values / (4 * u64::from(self.tuning.values_per_workgroup));
        useful.clamp(1, 8 * u64::from(self.tuning.workgroups))
    }

    /// Rows one after another, whose channels follow each other.
    fn push_runs(
        &self,
        to: &mut Vec<Dispatch>,
        stage: Stage,
        window: &Window,
        parameters: Parameters,
    ) {
        // two rows of fours are as many eights
        let columns = self.geometry.columns;
        let groups = self.groups_in_a_row();
        let channels = self.channels_in_a_row();
        let runs = (window.rows.end - window.rows.start) * (self.geometry.groups / groups);
        let geometry = Geometry {
            walk: if channels > 1 {
                Walk::SharedRuns
            } else {
                Walk::Runs
            },
            width: groups * self.geometry.width,
            rows: runs,
            groups: 1,
            row_stride: columns,
            group_stride: 0,
            channels_per_group: channels,
            ..self.geometry
        };
        let window = Window {
            rows: 0..runs,
            groups: 0..1,
            ..window.clone()
        };
        let lanes = Lanes::for_tensor(self.tuning, &geometry, &window);
        let workgroups = self.workgroups_along_memory(window.len(&geometry));
        let wanted =
            (workgroups * lanes.units_across).max(runs.div_ceil(most_in_a_run(columns, channels)));
        let area = Area {
            geometry: &geometry,
            window: &window,
            splits: Splits::new(runs, 1, wanted).with_all_columns(columns),
            lanes,
        };
        let parameters = Parameters {
            channels: self.shape.channels() as u32,
            row_channels: channels as u32,
            ..parameters
        };
        self.push(to, stage, area, parameters);
    }

    /// Groups whose rows are one where rows go one after another: two of halves, eight at a time, where the row of one has an odd
    /// number of fours.
    fn groups_in_a_row(&self) -> u64 {
        let joins = self.wide
            && self.geometry.width == 4
            && self.geometry.groups.is_multiple_of(2)
            && self.shape.inner() >= shortest_shared(8);
        if joins { 2 } else { 1 }
    }

    /// Channels of such a row.
    fn channels_in_a_row(&self) -> u64 {
        self.groups_in_a_row() * self.geometry.channels_per_group
    }

    /// Rows that go through all channels are the columns of one group.
    fn normalize_planes(&self, to: &mut Vec<Dispatch>, stage: Stage, window: &Window) {
        let per_group = self.geometry.columns;
        let columns = window.groups.start * per_group..window.groups.end * per_group;
        let geometry = Geometry {
            walk: Walk::Planes,
            channels_per_group: 1,
            groups: 1,
            columns: self.geometry.groups * per_group,
            ..self.geometry
        };
        let window = Window {
            groups: 0..1,
            columns,
            ..window.clone()
        };
        let rows = window.rows.end - window.rows.start;
        let columns = window.columns.end - window.columns.start;
        let row_splits = rows.div_ceil(4).min(u64::from(self.tuning.workgroups));
        let mut split_rows = rows.div_ceil(row_splits).next_multiple_of(4);
        let lanes = Lanes::for_columns(self.tuning, columns);
        // four rows a turn, and the last ones one by one
        let column_turns = columns.div_ceil(lanes.team_columns) + 2;
        while split_rows > 4 && (split_rows / 4 + 3) * column_turns > MOST_TURNS {
            split_rows = (split_rows / 2).next_multiple_of(4);
        }
        let split_rows = split_rows.min(rows);
        let row_splits = rows.div_ceil(split_rows);
        let splits = Splits::new(
            1,
            columns,
            u64::from(self.tuning.workgroups).div_ceil(row_splits),
        );
        let splits = Splits {
            split_rows,
            row_splits,
            ..splits
        };
        let area = Area {
            geometry: &geometry,
            window: &window,
            splits,
            lanes,
        };
        self.push(to, stage, area, self.parameters);
    }

    /// Channels-last: the groups of channels are the columns of one group.
    fn normalize_columns(&self, to: &mut Vec<Dispatch>, stage: Stage, window: &Window) {
        let geometry = Geometry {
            groups: 1,
            columns: self.geometry.groups,
            ..self.geometry
        };
        let window = Window {
            groups: 0..1,
            columns: window.groups.clone(),
            ..window.clone()
        };
        let (rows, columns) = (
            window.rows.end - window.rows.start,
            window.columns.end - window.columns.start,
        );
        let lanes = Lanes::for_columns(self.tuning, columns);
        // long walks down the rows first: each pays for its coefficients once
        let most_rows = rows.div_ceil(u64::from(self.tuning.tile_rows) * lanes.team_rows);
        let wanted = self.workgroups_along_memory(window.len(&geometry));
        let row_splits = wanted.min(most_rows);
        let tile_columns = 2 * lanes.team_columns;
        let column_splits = wanted
            .div_ceil(row_splits)
            .min(columns.div_ceil(tile_columns));
        let split_columns = columns
            .div_ceil(column_splits)
            .next_multiple_of(tile_columns)
            .min(columns);
        let mut split_rows = rows.div_ceil(row_splits).min(self.most_rows(stage));
        // two columns a turn, and the last one apart
        let column_turns = split_columns.div_ceil(tile_columns) + 1;
        while split_rows > 1
            && column_turns * (split_rows.div_ceil(lanes.team_rows) + 2) > MOST_TURNS
        {
            split_rows = split_rows.div_ceil(2);
        }
        let splits = Splits {
            split_rows,
            split_columns,
            row_splits: rows.div_ceil(split_rows),
            column_splits: columns.div_ceil(split_columns),
        };
        let area = Area {
            geometry: &geometry,
            window: &window,
            splits,
            lanes,
        };
        self.push(to, stage, area, self.parameters);
    }

    /// A program of these stages: in one dispatch where a channel belongs to one workgroup (or lane), else in parts.
    pub fn program(&self, stages: Stages) -> Result<Program, PlanError> {
        let mut program = Program {
            coefficients: self.coefficients(),
            ..Program::default()
        };
        let to = &mut program.dispatches;
        if self.shape.is_empty() {
            self.finalize(to, stages.finalize, 0..self.shape.channels(), 0);
            // of no rows, but a binding is never empty
            program.partials = self.needs.partial_bytes() * self.shape.channels();
            return Ok(program);
        }
        let windows = self.all();
        let whole = self.keeps_channels_whole(&windows)
            && !windows
                .iter()
                .any(|window| self.gathers_runs(window, stages.gather));
        let is_bindable = |stage: &Stage| stage.roles(self.needs).len() <= MOST_BINDINGS;
        if let Some(resident) = stages.resident.filter(is_bindable)
            && let Some(lanes) = self.holds(&windows, whole)
        {
            for (window, lanes) in windows.iter().zip(lanes) {
                let area = Area {
                    geometry: &self.geometry,
                    window,
                    splits: Splits::new(self.geometry.rows, self.geometry.columns, 1),
                    lanes,
                };
                self.push(to, resident, area, self.parameters);
            }
            program.coefficients = 0;
            return Ok(program);
        }
        let fused = stages.fused.filter(is_bindable);
        if let Some(fused) = fused.filter(|_| whole && self.fuses()) {
            for window in &windows {
                let area = self.area(window, self.splits(window));
                self.push(to, fused, area, self.parameters);
            }
            program.coefficients = 0;
            return Ok(program);
        }
        let is_short = |stage: &Stage| {
            let few_pages = |window| self.parts(window, *stage).count() == 1;
            whole && windows.iter().all(few_pages)
        };
        if let Some(stage) = stages.whole.filter(is_bindable).filter(is_short) {
            for window in &windows {
                let area = self.area(window, self.splits(window));
                self.push(to, stage, area, self.parameters);
            }
        } else {
            let in_parts = self.in_parts(stages, 0..self.geometry.groups)?;
            program.dispatches = in_parts.dispatches;
            program.partials = in_parts.partials;
        }
        if let Some(apply) = stages.apply {
            self.elementwise(&mut program.dispatches, apply)?;
        }
        Ok(program)
    }

    /// Gather and finalize over some of the groups, whose partials fit into one binding.
    fn in_parts(&self, stages: Stages, groups: Range<u64>) -> Result<Program, PlanError> {
        let windows = self.geometry.windows(groups.clone(), self.window);
        let splits: Vec<_> = windows
            .iter()
            .map(|window| self.parts(window, stages.gather))
            .collect();
        let per_group = self.geometry.channels_per_group;
        let channels = (groups.end - groups.start) * per_group;

        // windows over different groups number their splits alike; what a window's groups have before it counts
        let mut first_splits = Vec::with_capacity(windows.len());
        let mut seen = vec![0u64; (groups.end - groups.start) as usize];
        for (window, splits) in windows.iter().zip(&splits) {
            let range = (window.groups.start - groups.start) as usize
                ..(window.groups.end - groups.start) as usize;
            first_splits.push(seen[range.start]);
            seen[range].iter_mut().for_each(|n| *n += splits.count());
        }
        let partials_per_channel = seen.iter().copied().max().unwrap_or(0);
        let even = seen.iter().all(|&n| n == partials_per_channel);
        let partials = partials_per_channel * channels;
        let bytes = partials * self.needs.partial_bytes();
        if !even || bytes > self.limits.binding_bytes {
            let count = groups.end - groups.start;
            if count == 1 {
                return Err(PlanError::Limit {
                    what: "the size of a storage binding",
                    given: self.limits.binding_bytes,
                    needed: bytes,
                });
            }
            let middle = groups.start + count / 2;
            let mut first = self.in_parts(stages, groups.start..middle)?;
            let second = self.in_parts(stages, middle..groups.end)?;
            first.dispatches.extend(second.dispatches);
            first.partials = first.partials.max(second.partials);
            return Ok(first);
        }

        let parameters = Parameters {
            channels: channels as u32,
            first_channel: (groups.start * per_group) as u32,
            ..self.parameters
        };
        let mut dispatches = vec![];
        for ((window, splits), first_split) in windows.iter().zip(splits).zip(first_splits) {
            let parameters = Parameters {
                first_split: first_split as u32,
                ..parameters
            };
            if self.gathers_runs(window, stages.gather) {
                self.push_runs(&mut dispatches, stages.gather, window, parameters);
            } else {
                let area = self.area(window, splits);
                self.push(&mut dispatches, stages.gather, area, parameters);
            }
        }
        let first = groups.start * per_group;
        let range = first..first + channels;
        self.finalize(
            &mut dispatches,
            stages.finalize,
            range,
            partials_per_channel,
        );
        Ok(Program {
            dispatches,
            partials: bytes,
            ..Program::default()
        })
    }

    /// Values of the packed coefficients.
    pub fn coefficients(&self) -> u64 {
        if self.needs.writes_values() {
            self.needs.coefficients() * u64::from(self.parameters.vector_stride)
        } else {
            0
        }
    }

    /// The finalize stage of some channels, each with so many partials.
    pub fn finalize(
        &self,
        to: &mut Vec<Dispatch>,
        stage: Stage,
        channels: Range<u64>,
        partials: u64,
    ) {
        let count = channels.end - channels.start;
        let parameters = Parameters {
            channels: count as u32,
            first_channel: channels.start as u32,
            ..self.parameters
        };
        let geometry = Geometry {
            walk: Walk::Rows,
            width: 1,
            rows: partials,
            groups: count,
            columns: 1,
            row_stride: count,
            group_stride: 1,
            channels_per_group: 1,
        };
        let window = Window {
            rows: 0..partials,
            groups: channels,
            columns: 0..1,
            values: 0..0,
        };
        let area = Area {
            geometry: &geometry,
            window: &window,
            splits: Splits::new(partials.max(1), 1, 1),
            lanes: Lanes::for_partials(self.tuning, partials),
        };
        self.push(to, stage, area, parameters);
    }
}
