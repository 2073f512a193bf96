//! How the adapter's subgroups add.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use bytemuck::{Pod, Zeroable};
use serde::Serialize;
use wgpu_batchnorm::{Gpu, wgpu};

use super::probe::{self, Input};
use crate::cli::inputs::Random;

const WORKGROUP: usize = 256;
const WORKGROUPS: usize = 16;

/// What a lane answers: the fields of the shader's `Lane`.
#[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable)]
#[repr(C)]
struct Lane {
    sum: f32,
    subgroup: u32,
    subgroup_lane: u32,
    subgroup_size: u32,
}

/// What `subgroupAdd` does.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Subgroups {
    /// The sizes that the adapter says a subgroup may have.
    pub smallest: u32,
    /// The largest of them.
    pub largest: u32,
    /// The sizes that were met.
    pub sizes: BTreeSet<u32>,
    /// Whether a subgroup is as many neighbouring lanes of the workgroup, in their order.
    pub lanes_in_order: bool,
    /// In which order lanes are added.
    pub order: Order,
    /// Whether all lanes get the same sum.
    pub lanes_agree: bool,
    /// Whether a second run gives the same bits.
    pub repeats: bool,
    /// The largest error of a sum, over the sum of the values' magnitudes.
    pub relative_error: f64,
}

/// In which order the lanes of a subgroup are added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Order {
    /// The first lane, the second and so on.
    OneByOne,
    /// Neighbours in pairs, then pairs, and so on.
    Neighbours,
    /// Each lane of one half with one of the other, then the quarters of the sums, and so on.
    Halves,
    /// None of these on all inputs.
    Other,
}

impl Order {
    const KNOWN: [Self; 3] = [Self::OneByOne, Self::Neighbours, Self::Halves];

    /// The sum of some values in this order.
    fn sum(self, values: &[f32]) -> f32 {
        match (self, values) {
            (_, []) => 0.0,
            (_, [value]) => *value,
            (Self::Neighbours, _) => {
                let pairs: Vec<f32> = values.chunks(2).map(|pair| pair.iter().sum()).collect();
                self.sum(&pairs)
            }
            (Self::Halves, _) => {
                let (low, high) = values.split_at(values.len().div_ceil(2));
                let mut sums = low.to_vec();
                sums.iter_mut()
                    .zip(high)
                    .for_each(|(sum, value)| *sum += value);
                self.sum(&sums)
            }
            (Self::OneByOne | Self::Other, _) => values.iter().sum(),
        }
    }
}

impl Subgroups {
    /// Asks the adapter, where the device was made with subgroups.
    pub fn probe(gpu: &Gpu) -> Result<Option<Self>> {
        if !gpu.device().features().contains(wgpu::Features::SUBGROUP) {
            return Ok(None);
        }
        let values = values();
        let run = || -> Result<Vec<Lane>> {
            probe::run(
                gpu,
                include_str!("../../../shaders/probes/subgroups.wgsl"),
                &[Input::Storage(bytemuck::cast_slice(&values))],
                WORKGROUPS as u32,
                values.len(),
            )
        };
        let (first, second) = (run()?, run()?);
        let info = gpu.adapter().get_info();
        Ok(Some(Self {
            smallest: info.subgroup_min_size,
            largest: info.subgroup_max_size,
            repeats: first == second,
            ..Self::judge(&values, &first)
        }))
    }

    /// What the lanes' answers to these values say.
    fn judge(values: &[f32], lanes: &[Lane]) -> Self {
        let mut subgroups: BTreeMap<(usize, u32), Vec<(Lane, usize)>> = BTreeMap::new();
        for (index, lane) in lanes.iter().enumerate() {
            let key = (index / WORKGROUP, lane.subgroup);
            subgroups.entry(key).or_default().push((*lane, index));
        }
        let mut found = Self {
            smallest: 0,
            largest: 0,
            sizes: lanes.iter().map(|lane| lane.subgroup_size).collect(),
            lanes_in_order: true,
            order: Order::Other,
            lanes_agree: true,
            repeats: true,
            relative_error: 0.0,
        };
        let mut orders = Order::KNOWN.to_vec();
        for mut members in subgroups.into_values() {
            found.lanes_in_order &= members.windows(2).all(|pair| {
                pair[1].0.subgroup_lane == pair[0].0.subgroup_lane + 1 && pair[1].1 == pair[0].1 + 1
            });
            members.sort_by_key(|(lane, _)| lane.subgroup_lane);
            let sum = members[0].0.sum;
            found.lanes_agree &= members.iter().all(|(lane, _)| lane.sum == sum);
            let values: Vec<f32> = members.iter().map(|(_, index)| values[*index]).collect();
            orders.retain(|order| order.sum(&values) == sum);
            let exact: f64 = values.iter().map(|&value| f64::from(value)).sum();
            let magnitude: f64 = values.iter().map(|&value| f64::from(value.abs())).sum();
            let error = (f64::from(sum) - exact).abs() / magnitude;
            found.relative_error = found.relative_error.max(error);
        }
        found.order = orders.first().copied().unwrap_or(Order::Other);
        found
    }
}

/// Values of all sizes and both signs: any other order of adding gives other bits.
fn values() -> Vec<f32> {
    let mut random = Random::new(5);
    (0..WORKGROUP * WORKGROUPS)
        .map(|_| random.normal() as f32)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: usize = 32;

    fn lanes(sum: impl Fn(&[f32]) -> f32) -> Vec<Lane> {
        let subgroup = |(index, values): (usize, &[f32])| {
            let sum = sum(values);
            (0..SIZE as u32)
                .map(move |subgroup_lane| Lane {
                    sum,
                    subgroup: (index % (WORKGROUP / SIZE)) as u32,
                    subgroup_lane,
                    subgroup_size: SIZE as u32,
                })
                .collect::<Vec<_>>()
        };
        values()
            .chunks(SIZE)
            .enumerate()
            .flat_map(subgroup)
            .collect()
    }

    #[test]
    fn each_order_is_told_from_the_others() {
        for order in Order::KNOWN {
            let found = Subgroups::judge(&values(), &lanes(|values| order.sum(values)));
            assert_eq!(found.order, order);
            assert!(found.lanes_agree && found.lanes_in_order);
            assert_eq!(found.sizes, BTreeSet::from([SIZE as u32]));
            assert!(found.relative_error > 0.0 && found.relative_error < 3e-7);
        }
        let exact =
            |values: &[f32]| values.iter().map(|&value| f64::from(value)).sum::<f64>() as f32;
        assert_eq!(
            Subgroups::judge(&values(), &lanes(exact)).order,
            Order::Other
        );
    }

    #[test]
    fn wrong_and_moved_lanes_are_found() {
        let mut answers = lanes(|values| Order::Halves.sum(values));
        answers[40].sum += 1.0;
        assert!(!Subgroups::judge(&values(), &answers).lanes_agree);

        let mut answers = lanes(|values| Order::Halves.sum(values));
        answers[0].subgroup_lane = 1;
        answers[1].subgroup_lane = 0;
        let found = Subgroups::judge(&values(), &answers);
        assert!(!found.lanes_in_order && found.lanes_agree);

        let found = Subgroups::judge(&values(), &lanes(|_| 0.0));
        assert!(found.relative_error > 0.1 && found.order == Order::Other);
    }
}
