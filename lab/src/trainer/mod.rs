//! The trainer: forward, backward and update of a step recorded one after another, nothing read back within.
//!
//! All that waits is a future; nothing blocks.

mod bank;
mod host;
mod kernels;
mod norm;
mod product;
mod recorder;
#[cfg(test)]
mod tests;

use std::future::Future;
use std::pin::Pin;

use wgpu_batchnorm::{Gpu, Kernels, Tensor, TransferError, wgpu};

use crate::Error;
use crate::data::{Split, Table};
use crate::random::{Stream, batches, shuffled};
use crate::spec::{Afterwards, Company, Outcome, Score, Spec};
use crate::statistics::quantile;
use bank::{Bank, Pass};
use kernels::Shaders;
use recorder::{Recorder, Work};

/// What rows are normalized by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Statistics {
    /// The batch's, which move the running ones.
    BatchAndRunning,
    /// The batch's; the running ones stay.
    Batch,
    /// The running ones.
    Running,
}

/// A device, and the pipelines that were made for it.
#[derive(Debug)]
pub struct Trainer {
    gpu: Gpu,
    kernels: Kernels,
    shaders: Shaders,
    on_host: bool,
}

/// Values on their way to the host.
type Download = Pin<Box<dyn Future<Output = Result<Vec<f32>, TransferError>>>>;

/// Pairs of a sum of losses and a number of right rows.
type Sums = Vec<(f32, f32)>;

impl Trainer {
    /// A trainer on a device.
    pub fn new(gpu: &Gpu) -> Self {
        Self {
            gpu: gpu.clone(),
            kernels: Kernels::new(gpu.device()),
            shaders: Shaders::new(gpu),
            on_host: false,
        }
    }

    /// Whether batch normalization is done by the f64 reference on the host instead. Slow: each layer waits.
    #[must_use]
    pub fn normalize_on_host(self, on_host: bool) -> Self {
        Self { on_host, ..self }
    }

    /// Trains a bank. `progress` hears of steps as they are done.
    ///
    /// # Errors
    /// [`Error::Spec`] for what cannot be trained; what the library says of plans and tensors; a device that is lost.
    pub async fn train(&self, spec: &Spec, progress: &dyn Fn(usize)) -> Result<Outcome, Error> {
        let table = Table::read(spec.source)?;
        let run = Run::new(self, spec, &table)?;
        run.train(progress).await
    }

    /// The gradients of a bank's first step, and what they are gradients of: for tests.
    ///
    /// # Errors
    /// As [`Trainer::train`].
    pub async fn first_gradients(&self, spec: &Spec) -> Result<Gradients, Error> {
        let table = Table::read(spec.source)?;
        let run = Run::new(self, spec, &table)?;
        let mut recorder = Recorder::new(&self.gpu);
        recorder.record(&run.gradient_works).await?;
        recorder.submit();
        let read = |buffer| self.gpu.download::<f32>(Tensor::whole(buffer));
        let mut gradients = Gradients {
            batch: batches(
                &run.training_rows(0),
                spec.batch,
                1,
                spec.members[0].seed,
                Stream::Batches,
            ),
            ..Gradients::default()
        };
        for linear in &run.bank.linears {
            gradients
                .weights
                .push([read(&linear.weights).await?, read(&linear.gradients).await?]);
        }
        for norm in run.bank.norms.iter().chain([&run.bank.input_norm]) {
            gradients.norms.push(match norm {
                Some(norm) => read(&norm.gradients).await?,
                None => Vec::new(),
            });
        }
        Ok(gradients)
    }
}

/// What [`Trainer::first_gradients`] gives, of all members.
#[derive(Debug, Default)]
pub struct Gradients {
    /// The first member's first batch.
    pub batch: Vec<u32>,
    /// Weights and their gradients, by layer.
    pub weights: Vec<[Vec<f32>; 2]>,
    /// Gradients of gamma and beta of hidden layers and then of the inputs, packed as
    /// [`Packed`](wgpu_batchnorm::Packed) says; empty without batch norm.
    pub norms: Vec<Vec<f32>>,
}

/// A bank on the device with everything bound.
struct Run<'a> {
    trainer: &'a Trainer,
    spec: &'a Spec,
    table: &'a Table,
    bank: Bank,
    data: [wgpu::Buffer; 2],
    training: Pass,
    /// Gather, forward and backward.
    gradient_works: Vec<Work>,
    /// Gradient norms, where they are recorded.
    norm_works: Vec<Work>,
    gradient_norms: Option<wgpu::Buffer>,
    /// The optimizer, and the clock.
    update_works: Vec<Work>,
    evaluations: Vec<(Pass, Vec<Work>)>,
    watched: Option<wgpu::Buffer>,
}

fn check(spec: &Spec) -> Result<(), Error> {
    let problem = if spec.members.is_empty() {
        "no members"
    } else if spec.batch == 0 {
        "a batch of no samples"
    } else if spec.architecture.hidden.contains(&0) {
        "a hidden layer of no units"
    } else if spec.evaluate_every == 0 || spec.gradients_every == Some(0) {
        "something every 0 steps"
    } else if spec.training_rows == Some(0) {
        "no training samples"
    } else if spec
        .watch
        .is_some_and(|layer| layer >= spec.architecture.hidden.len() || spec.evaluate.is_empty())
    {
        "a hidden layer to watch that is not there, or no split to watch it on"
    } else {
        return Ok(());
    };
    Err(Error::Spec { problem })
}

impl<'a> Run<'a> {
    fn new(trainer: &'a Trainer, spec: &'a Spec, table: &'a Table) -> Result<Self, Error> {
        check(spec)?;
        let gpu = &trainer.gpu;
        let bank = Bank::new(trainer, spec, table.columns, table.classes)?;
        let data = [
            gpu.upload(&table.values, "table")?,
            gpu.upload(&table.labels, "classes")?,
        ];

        let steps = spec.steps.max(1);
        let by_member: Vec<_> = (0..spec.members.len())
            .map(|member| {
                let rows = training_rows(spec, table, member);
                batches(
                    &rows,
                    spec.batch,
                    steps,
                    spec.members[member].seed,
                    Stream::Batches,
                )
            })
            .collect();
        let schedule = interleaved(&by_member, spec.batch);
        let training = bank.pass(trainer, spec.batch, &schedule, steps as u64)?;
        let mut gradient_works = vec![bank.gather(trainer, &training, [&data[0], &data[1]])?];
        gradient_works.extend(bank.forward(trainer, &training, Statistics::BatchAndRunning)?);
        gradient_works.push(bank.summary(trainer, &training)?);
        gradient_works.extend(bank.backward(trainer, &training)?);
        let mut update_works = bank.update(trainer, &training, spec.optimizer, &spec.members)?;
        update_works.push(Bank::advance(trainer, &training)?);

        let mut norm_works = Vec::new();
        let mut gradient_norms = None;
        if let Some(every) = spec.gradients_every {
            let times = steps.div_ceil(every);
            let len = times * bank.linears.len() * spec.members.len();
            let norms = gpu.zeros(len as u64, "gradient norms")?;
            norm_works = bank.gradient_norms(trainer, &training, every, &norms)?;
            gradient_norms = Some(norms);
        }

        let mut run = Self {
            trainer,
            spec,
            table,
            bank,
            data,
            training,
            gradient_works,
            norm_works,
            gradient_norms,
            update_works,
            evaluations: Vec::new(),
            watched: None,
        };
        for &split in &spec.evaluate {
            run.add_evaluation(split)?;
        }
        if let (Some(layer), Some((pass, _))) = (spec.watch, run.evaluations.first()) {
            let len = pass.before_activation(layer).size() / 4 * spec.evaluations() as u64;
            run.watched = Some(gpu.zeros(len, "watched")?);
        }
        Ok(run)
    }

    fn training_rows(&self, member: usize) -> Vec<u32> {
        training_rows(self.spec, self.table, member)
    }

    fn add_evaluation(&mut self, split: Split) -> Result<(), Error> {
        let (trainer, members) = (self.trainer, self.spec.members.len());
        let rows = |member| match split {
            Split::Training => self.training_rows(member),
            _ => self.table.split(split),
        };
        let schedule: Vec<u32> = (0..members).flat_map(rows).collect();
        let rows = schedule.len() / members;
        let evaluations = self.spec.evaluations() as u64;
        let pass = self.bank.pass(trainer, rows, &schedule, evaluations)?;
        let mut works = vec![
            self.bank
                .gather(trainer, &pass, [&self.data[0], &self.data[1]])?,
        ];
        works.extend(self.bank.forward(trainer, &pass, Statistics::Running)?);
        works.push(self.bank.summary(trainer, &pass)?);
        works.push(Bank::advance(trainer, &pass)?);
        self.evaluations.push((pass, works));
        Ok(())
    }

    async fn evaluate(&self, recorder: &mut Recorder<'_>, index: usize) -> Result<(), Error> {
        for (_, works) in &self.evaluations {
            recorder.record(works).await?;
        }
        if let (Some(watched), Some(layer)) = (&self.watched, self.spec.watch) {
            let from = self.evaluations[0].0.before_activation(layer);
            recorder.copy(from, watched, from.size() * index as u64, from.size());
        }
        Ok(())
    }

    /// Starts to read the losses of some steps.
    fn losses(&self, steps: std::ops::Range<usize>) -> Download {
        let of_a_step = 2 * self.spec.members.len();
        let [start, len] = [steps.start, steps.len()].map(|count| (count * of_a_step) as u64);
        let tensor = Tensor::new(&self.training.history, 4 * start, len);
        Box::pin(self.trainer.gpu.download(tensor))
    }

    async fn train(&self, progress: &dyn Fn(usize)) -> Result<Outcome, Error> {
        let spec = self.spec;
        let mut recorder = Recorder::new(&self.trainer.gpu);
        self.evaluate(&mut recorder, 0).await?;
        let mut losses = Vec::new();
        // While the device works on some steps, those after them are recorded.
        let mut under_way: Option<(usize, Download)> = None;
        let mut step = 0;
        while step < spec.steps {
            let start = step;
            let end = spec.steps.min(start + spec.evaluate_every);
            while step < end {
                recorder.record(&self.gradient_works).await?;
                if spec.gradients_every.is_some_and(|every| step % every == 0) {
                    recorder.record(&self.norm_works).await?;
                }
                recorder.record(&self.update_works).await?;
                step += 1;
            }
            if step % spec.evaluate_every == 0 {
                self.evaluate(&mut recorder, step / spec.evaluate_every)
                    .await?;
            }
            recorder.submit();
            let next = self.losses(start..end);
            if let Some((steps, download)) = under_way.replace((end - start, next)) {
                losses.extend(download.await?);
                progress(steps);
            }
        }
        recorder.submit();
        if let Some((steps, download)) = under_way {
            losses.extend(download.await?);
            progress(steps);
        }
        self.outcome(&losses).await
    }

    async fn outcome(&self, losses: &[f32]) -> Result<Outcome, Error> {
        let (spec, gpu) = (self.spec, &self.trainer.gpu);
        let members = spec.members.len();
        let losses: Sums = losses.chunks(2).map(|pair| (pair[0], pair[1])).collect();
        let mut outcome = Outcome {
            losses: by_member(&losses, members, |(loss, _)| {
                finite(loss / spec.batch as f32)
            }),
            ..Outcome::default()
        };
        for (pass, _) in &self.evaluations {
            let sums = self.sums(pass).await?;
            let rows = pass.rows as f64;
            outcome
                .scores
                .push(by_member(&sums, members, |(loss, right)| Score {
                    accuracy: f64::from(right) / rows,
                    loss: finite(loss).map(|loss| f64::from(loss) / rows),
                }));
        }
        if let Some(norms) = &self.gradient_norms {
            let norms: Vec<f32> = gpu.download(Tensor::whole(norms)).await?;
            let layers = self.bank.linears.len();
            outcome.gradients = (0..layers)
                .map(|layer| {
                    let times = norms.chunks(layers * members);
                    let of_layer: Vec<f32> = times
                        .flat_map(|time| &time[layer * members..(layer + 1) * members])
                        .copied()
                        .collect();
                    by_member(&of_layer, members, finite)
                })
                .collect();
        }
        if let (Some(watched), Some(layer)) = (&self.watched, spec.watch) {
            let values: Vec<f32> = gpu.download(Tensor::whole(watched)).await?;
            let rows = self.evaluations[0].0.rows as usize;
            let across = spec.architecture.hidden[layer] as usize * members;
            outcome.quantiles = values
                .chunks(rows * across)
                .map(|time| {
                    let of_unit: Vec<f64> = time
                        .iter()
                        .step_by(across)
                        .copied()
                        .map(f64::from)
                        .collect();
                    [0.05, 0.25, 0.5, 0.75, 0.95].map(|share| quantile(&of_unit, share))
                })
                .collect();
        }
        for &company in &spec.afterwards {
            outcome.afterwards.push(self.afterwards(company).await?);
        }
        Ok(outcome)
    }

    async fn sums(&self, pass: &Pass) -> Result<Sums, Error> {
        let pairs: Vec<f32> = self
            .trainer
            .gpu
            .download(Tensor::whole(&pass.history))
            .await?;
        Ok(pairs.chunks(2).map(|pair| (pair[0], pair[1])).collect())
    }

    /// The test split by the statistics of batches.
    async fn afterwards(&self, company: Company) -> Result<Vec<Afterwards>, Error> {
        let (trainer, spec) = (self.trainer, self.spec);
        let test = self.table.split(Split::Test);
        let members = spec.members.len();
        let (size, draws) = match company {
            Company::Mixed(size) | Company::Sorted(size) => (size, None),
            Company::Draws { size, draws } => (size, Some(draws)),
        };
        let turns = draws.unwrap_or(test.len() / size.max(1));
        if size == 0 || turns == 0 {
            let problem = "a batch of test samples that has none, or more than there are";
            return Err(Error::Spec { problem });
        }
        let of_member = |member: usize| {
            let seed = spec.members[member].seed;
            match company {
                Company::Mixed(_) => shuffled(test.clone(), seed, Stream::Company),
                Company::Sorted(_) => {
                    let mut rows = shuffled(test.clone(), seed, Stream::Company);
                    rows.sort_by_key(|&row| self.table.labels[row as usize]);
                    rows
                }
                Company::Draws { .. } => {
                    let others = batches(&test[1..], size - 1, turns, seed, Stream::Company);
                    let mut rows = Vec::with_capacity(size * turns);
                    for turn in 0..turns {
                        rows.push(test[0]);
                        rows.extend(&others[turn * (size - 1)..(turn + 1) * (size - 1)]);
                    }
                    rows
                }
            }
        };
        let by_member: Vec<Vec<u32>> = (0..members)
            .map(|member| {
                let mut rows = of_member(member);
                rows.truncate(turns * size);
                rows
            })
            .collect();
        let schedule = interleaved(&by_member, size);
        let pass = self.bank.pass(trainer, size, &schedule, 1)?;
        let mut works = vec![
            self.bank
                .gather(trainer, &pass, [&self.data[0], &self.data[1]])?,
        ];
        works.extend(self.bank.forward(trainer, &pass, Statistics::Batch)?);
        works.push(self.bank.summary(trainer, &pass)?);
        works.push(Bank::advance(trainer, &pass)?);
        let classes = self.table.classes;
        // The outputs of the first row of each batch, of all members.
        let first_rows = trainer
            .gpu
            .zeros((turns * members * classes) as u64, "outputs")?;
        let bytes = 4 * (members * classes) as u64;
        let mut recorder = Recorder::new(&trainer.gpu);
        for turn in 0..turns {
            recorder.record(&works).await?;
            recorder.copy(pass.outputs(), &first_rows, bytes * turn as u64, bytes);
        }
        recorder.submit();
        if draws.is_none() {
            let sums = self.sums(&pass).await?;
            let rows = (turns * size) as f64;
            let accuracy = sums.iter().map(|(_, right)| f64::from(*right) / rows);
            return Ok(accuracy
                .map(|accuracy| Afterwards {
                    accuracy,
                    deviation: None,
                })
                .collect());
        }
        let outputs: Vec<f32> = trainer.gpu.download(Tensor::whole(&first_rows)).await?;
        let label = self.table.labels[test[0] as usize] as usize;
        let draws_of = |member: usize| -> Vec<&[f32]> {
            outputs
                .chunks(classes)
                .skip(member)
                .step_by(members)
                .collect()
        };
        Ok((0..members)
            .map(|member| company_of(&draws_of(member), label))
            .collect())
    }
}

/// How one sample's outputs vary over draws.
fn company_of(draws: &[&[f32]], label: usize) -> Afterwards {
    let count = draws.len() as f64;
    let right = draws.iter().filter(|outputs| {
        let wanted = outputs[label];
        outputs
            .iter()
            .enumerate()
            .all(|(class, &other)| class == label || other < wanted)
    });
    let accuracy = right.count() as f64 / count;
    // Softmax does not see what all outputs have in common.
    let relative: Vec<Vec<f64>> = draws
        .iter()
        .map(|outputs| {
            let mean = outputs.iter().copied().map(f64::from).sum::<f64>() / outputs.len() as f64;
            outputs
                .iter()
                .map(|&output| f64::from(output) - mean)
                .collect()
        })
        .collect();
    let classes = relative.first().map_or(0, Vec::len);
    let variance = |class: usize| {
        let mean = relative.iter().map(|outputs| outputs[class]).sum::<f64>() / count;
        relative
            .iter()
            .map(|outputs| (outputs[class] - mean).powi(2))
            .sum::<f64>()
            / count
    };
    let mean = (0..classes).map(variance).sum::<f64>() / classes.max(1) as f64;
    Afterwards {
        accuracy,
        deviation: Some(mean.sqrt()).filter(|deviation| deviation.is_finite()),
    }
}

fn training_rows(spec: &Spec, table: &Table, member: usize) -> Vec<u32> {
    match spec.training_rows {
        Some(count) => table.training_subset(count, spec.members[member].seed),
        None => table.split(Split::Training),
    }
}

/// Batches of each member as one schedule: `[turns, members, size]`.
fn interleaved(by_member: &[Vec<u32>], size: usize) -> Vec<u32> {
    let turns = by_member.first().map_or(0, |rows| rows.len() / size);
    (0..turns)
        .flat_map(|turn| {
            by_member
                .iter()
                .flat_map(move |rows| &rows[turn * size..(turn + 1) * size])
        })
        .copied()
        .collect()
}

fn finite(value: f32) -> Option<f32> {
    Some(value).filter(|value| value.is_finite())
}

/// Values of `[times, members]` by member.
fn by_member<T: Copy, U>(values: &[T], members: usize, of: impl Fn(T) -> U) -> Vec<Vec<U>> {
    let of_member = |member| {
        values
            .iter()
            .skip(member)
            .step_by(members)
            .map(|&value| of(value))
            .collect()
    };
    (0..members).map(of_member).collect()
}
