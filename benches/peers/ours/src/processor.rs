//! The processor's path, on the threads of rayon's pool (`RAYON_NUM_THREADS`).

use rayon::prelude::*;
use serde_json::{Value, json};
use wgpu_batchnorm::cpu::{
    self, GradientsMut, NormalizedBy, Parameters, RunningMut, Saved, SavedMut,
};
use wgpu_batchnorm::{Backward, Inference, Running, Shape, Training};

use crate::protocol::{EPSILON, MOMENTUM, Operation, Peer, Prepared, Refused, Results, Work};
use crate::{shape, text, versions};

/// Values of a piece that one thread doubles at a time.
const PIECE: usize = 1 << 15;

pub struct Processor;

struct Tensors {
    operation: Operation,
    shape: Shape,
    x: Vec<f32>,
    y: Vec<f32>,
    gamma: Vec<f32>,
    beta: Vec<f32>,
    mean: Vec<f32>,
    variance: Vec<f32>,
    batches: Vec<u32>,
    saved: [Vec<f32>; 3],
    dy: Vec<f32>,
    dx: Vec<f32>,
    dgamma: Vec<f32>,
    dbeta: Vec<f32>,
}

impl Peer for Processor {
    fn about(&self) -> Value {
        json!({
            "versions": versions(),
            "threads": rayon::current_num_threads(),
        })
    }

    fn prepare(&self, work: &Work) -> Result<Box<dyn Prepared>, Refused> {
        let shape = shape(work)?;
        let channels = shape.channels() as usize;
        let step = work.operation == Operation::Step;
        let x = work.input("x")?;
        let dy = if step { work.input("dy")? } else { vec![] };
        Ok(Box::new(Tensors {
            operation: work.operation,
            shape,
            y: vec![0.0; x.len()],
            gamma: work.input("gamma")?,
            beta: work.input("beta")?,
            mean: work.input("mean")?,
            variance: work.input("variance")?,
            batches: vec![0; channels],
            saved: [(); 3].map(|()| vec![0.0; channels]),
            dx: vec![0.0; dy.len()],
            dgamma: vec![0.0; channels],
            dbeta: vec![0.0; channels],
            x,
            dy,
        }))
    }
}

impl Tensors {
    fn run(&mut self) -> Result<(), Refused> {
        let (x, y, shape) = (&self.x, &mut self.y, self.shape);
        let parameters = Parameters::new(&self.gamma, &self.beta);
        match self.operation {
            Operation::Double => {
                let pieces = y.par_chunks_mut(PIECE).zip(x.par_chunks(PIECE));
                pieces.for_each(|(y, x)| y.iter_mut().zip(x).for_each(|(y, x)| *y = 2.0 * x));
                Ok(())
            }
            Operation::Inference => {
                let options = Inference::default().epsilon(EPSILON);
                cpu::inference(
                    x,
                    None,
                    y,
                    shape,
                    parameters,
                    &self.mean,
                    &self.variance,
                    &options,
                )
                .map_err(text)
            }
            Operation::Training | Operation::Step => {
                let rule = Running::pytorch(Some(MOMENTUM));
                let options = Training::default().epsilon(EPSILON).running(Some(rule));
                let running = RunningMut {
                    mean: &mut self.mean,
                    variance: &mut self.variance,
                    batches: &mut self.batches,
                };
                let [mean, remainder, invstd] = &mut self.saved;
                let saved = SavedMut {
                    mean,
                    remainder,
                    invstd,
                };
                cpu::training(
                    x,
                    None,
                    y,
                    shape,
                    parameters,
                    &options,
                    Some(running),
                    Some(saved),
                )
                .map_err(text)?;
                if self.operation == Operation::Training {
                    return Ok(());
                }
                let [mean, remainder, invstd] = &self.saved;
                let saved = Saved {
                    mean,
                    remainder,
                    invstd,
                };
                let gradients = GradientsMut {
                    input: Some(&mut self.dx),
                    gamma: Some(&mut self.dgamma),
                    beta: Some(&mut self.dbeta),
                    residual: None,
                };
                cpu::backward(
                    x,
                    &self.dy,
                    None,
                    shape,
                    parameters,
                    NormalizedBy::Batch(saved),
                    &Backward::from(&options),
                    gradients,
                )
                .map_err(text)
            }
        }
    }
}

impl Prepared for Tensors {
    fn repeat(&mut self, repeats: usize) -> Result<(), Refused> {
        (0..repeats).try_for_each(|_| self.run())
    }

    fn results(&mut self) -> Result<Results, Refused> {
        self.run()?;
        let mut results = vec![("y", self.y.clone())];
        if self.operation == Operation::Step {
            results.push(("dx", self.dx.clone()));
            results.push(("dgamma", self.dgamma.clone()));
            results.push(("dbeta", self.dbeta.clone()));
        }
        if matches!(self.operation, Operation::Training | Operation::Step) {
            results.push(("mean", self.mean.clone()));
            results.push(("variance", self.variance.clone()));
        }
        Ok(results)
    }
}
