//! The backward pass, and what is fused into both passes: right whatever is asked for. Needs an adapter.

mod common;

use common::{
    Device, InPlace, LayerStep, Memory, bare, lanes, shape, split, teams, whole, with_subgroups,
};
use wgpu_batchnorm::{Activation, Backward, Derivative, Element, Gradient, Statistics, Tuning};

const ACTIVATIONS: [Activation; 8] = [
    Activation::None,
    Activation::Relu,
    Activation::LeakyRelu { slope: 0.1 },
    Activation::LeakyRelu { slope: -0.5 },
    Activation::Relu6,
    Activation::Silu,
    Activation::Gelu,
    Activation::GeluTanh,
];

#[test]
fn every_activation_from_everything_that_tells_its_gradient() {
    let small = shape(4, 3, 10);
    for activation in ACTIVATIONS {
        for derivative in [Derivative::Input, Derivative::Output, Derivative::Mask] {
            // a mask is made from the output
            let tells = activation.gradient_from(derivative)
                && (derivative != Derivative::Mask || activation.gradient_from(Derivative::Output));
            if !tells || (activation == Activation::None && derivative != Derivative::Input) {
                continue;
            }
            let step =
                LayerStep::new(small, activation, 1).with(|options| options.derivative(derivative));
            step.clone().prepared().assert_right(bare());
            step.residual().prepared().assert_right(bare());
        }
    }
}
