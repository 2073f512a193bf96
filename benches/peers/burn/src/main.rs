//! Burn's `nn::BatchNorm` on its wgpu backend, with fusion and autotune, as a peer.

#[path = "../../protocol.rs"]
mod protocol;

use std::io;

use burn::module::{Param, RunningState};
use burn::nn::{BatchNorm, BatchNormConfig};
use burn::tensor::{Device, Tensor, TensorData};
use protocol::{EPSILON, MOMENTUM, Operation, Peer, Prepared, Refused, Results, Work};
use serde_json::{Value, json};

struct Burn;

impl Peer for Burn {
    fn about(&self) -> Value {
        let lock = include_str!("../Cargo.lock");
        let versions = protocol::locked_versions(lock, &["burn", "cubecl", "wgpu"]);
        json!({ "versions": versions })
    }

    fn prepare(&self, work: &Work) -> Result<Box<dyn Prepared>, Refused> {
        if work.channels_last && work.shape.len() > 2 {
            return Err(
                "nn::BatchNorm has no channels-last layout: its input is [batch, channels, ...]"
                    .into(),
            );
        }
        match work.shape.len() {
            2 => prepare::<2>(work),
            3 => prepare::<3>(work),
            4 => prepare::<4>(work),
            5 => prepare::<5>(work),
            rank => Err(format!("rank {rank} is not compiled into this peer")),
        }
    }
}

struct Layer<const D: usize> {
    operation: Operation,
    device: Device,
    layer: BatchNorm,
    x: Tensor<D>,
    dy: Option<Tensor<D>>,
}

fn prepare<const D: usize>(work: &Work) -> Result<Box<dyn Prepared>, Refused> {
    let operation = work.operation;
    let training = matches!(operation, Operation::Training | Operation::Step);
    let plain = Device::wgpu(Default::default());
    let device = if training {
        plain.clone().autodiff()
    } else {
        plain
    };
    let tensor = |name: &str| -> Result<Tensor<D>, Refused> {
        let data = TensorData::new(work.input(name)?, work.shape.clone());
        Ok(Tensor::from_data(data, &device))
    };
    let vector = |name: &str| -> Result<Tensor<1>, Refused> {
        let values = work.input(name)?;
        let channels = values.len();
        Ok(Tensor::from_data(
            TensorData::new(values, [channels]),
            &device,
        ))
    };
    let gamma = vector("gamma")?;
    let [channels] = gamma.dims();
    let mut layer = BatchNormConfig::new(channels)
        .with_epsilon(f64::from(EPSILON))
        .with_momentum(f64::from(MOMENTUM))
        .init(&device);
    layer.gamma = Param::from_tensor(gamma);
    layer.beta = Param::from_tensor(vector("beta")?);
    layer.running_mean = RunningState::new(vector("mean")?);
    layer.running_var = RunningState::new(vector("variance")?);
    let x = tensor("x")?;
    let step = operation == Operation::Step;
    let prepared = Layer {
        operation,
        layer,
        x: if step { x.require_grad() } else { x },
        dy: if step { Some(tensor("dy")?) } else { None },
        device,
    };
    prepared.wait()?;
    Ok(Box::new(prepared))
}

fn values<const D: usize>(tensor: Tensor<D>) -> Result<Vec<f32>, Refused> {
    (tensor.try_into_data().map_err(|error| error.to_string())?)
        .try_into_vec()
        .map_err(|error| format!("{error:?}"))
}

impl<const D: usize> Layer<D> {
    fn wait(&self) -> Result<(), Refused> {
        self.device.sync().map_err(|error| error.to_string())
    }

    fn forward(&self) -> Tensor<D> {
        match self.operation {
            Operation::Double => self.x.clone().mul_scalar(2.0),
            _ => self.layer.forward(self.x.clone()),
        }
    }

    /// The gradients of x, and of gamma and beta.
    fn gradients<const R: usize>(
        &self,
        loss: &Tensor<R>,
    ) -> Result<(Tensor<D>, [Tensor<1>; 2]), Refused> {
        let mut gradients = loss.backward();
        let layer = &self.layer;
        let found = (
            self.x.grad_remove(&mut gradients),
            layer.gamma.val().grad_remove(&mut gradients),
            layer.beta.val().grad_remove(&mut gradients),
        );
        match found {
            (Some(dx), Some(dgamma), Some(dbeta)) => Ok((dx, [dgamma, dbeta])),
            _ => Err("a gradient is missing".into()),
        }
    }
}

impl<const D: usize> Prepared for Layer<D> {
    fn repeat(&mut self, repeats: usize) -> Result<(), Refused> {
        for _ in 0..repeats {
            let y = self.forward();
            let gradients = match self.operation {
                // From a gradient of ones, which costs Burn one fill. Another one takes a product and a sum more.
                Operation::Step => Some(self.gradients(&y)?),
                _ => None,
            };
            // Fusion leaves out what is dropped before it is computed: hand it over first, as a reader of it would.
            self.device.flush().map_err(|error| error.to_string())?;
            drop((y, gradients));
        }
        self.wait()
    }

    fn results(&mut self) -> Result<Results, Refused> {
        let y = self.forward();
        let mut results = vec![];
        if let Some(dy) = &self.dy {
            let (dx, [dgamma, dbeta]) = self.gradients(&(y.clone() * dy.clone()).sum())?;
            results.push(("dx", values(dx)?));
            results.push(("dgamma", values(dgamma)?));
            results.push(("dbeta", values(dbeta)?));
        }
        results.push(("y", values(y)?));
        if matches!(self.operation, Operation::Training | Operation::Step) {
            results.push(("mean", values(self.layer.running_mean.value_sync())?));
            results.push(("variance", values(self.layer.running_var.value_sync())?));
        }
        Ok(results)
    }
}

fn main() -> io::Result<()> {
    protocol::serve(&Burn)
}
