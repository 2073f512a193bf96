//! What wgpu says of an adapter, as far as it matters here.

use std::collections::BTreeMap;

use serde::Serialize;
use wgpu_batchnorm::{AdapterKind, Limits, Team, Tuning, wgpu};

use crate::cli::output::{lines, row, table, wrapped};

/// Features that shaders of the crate use or may use.
const FEATURES: [(wgpu::Features, &str); 4] = [
    (wgpu::Features::SUBGROUP, "subgroups"),
    (wgpu::Features::SHADER_F16, "f16 in shaders"),
    (wgpu::Features::TIMESTAMP_QUERY, "timestamps"),
    (wgpu::Features::IMMEDIATES, "immediates"),
];

/// An adapter's limits and features, and what follows from them.
#[derive(Debug, Serialize)]
pub struct Facts {
    /// Every feature, by wgpu's name.
    features: Vec<String>,
    /// The limits that compute shaders meet, by wgpu's names.
    limits: BTreeMap<&'static str, u64>,
    /// The sizes of a subgroup, where there are subgroups.
    subgroup_sizes: Option<[u32; 2]>,
    /// Why no step can run on it, where none can.
    shortcomings: Vec<String>,
    /// The geometry of the kernels by default.
    geometry: String,
    #[serde(skip)]
    plan: Limits,
    #[serde(skip)]
    known: Vec<&'static str>,
}

/// A limit: its name in wgpu, its name for people, whether it counts bytes.
type Limit = (&'static str, &'static str, bool, fn(&wgpu::Limits) -> u64);

const LIMITS: [Limit; 10] = [
    (
        "max_storage_buffer_binding_size",
        "a storage binding",
        true,
        |limits| limits.max_storage_buffer_binding_size,
    ),
    ("max_buffer_size", "a buffer", true, |limits| {
        limits.max_buffer_size
    }),
    (
        "max_compute_workgroup_storage_size",
        "workgroup memory",
        true,
        |limits| limits.max_compute_workgroup_storage_size.into(),
    ),
    (
        "max_compute_invocations_per_workgroup",
        "lanes of a workgroup",
        false,
        |limits| limits.max_compute_invocations_per_workgroup.into(),
    ),
    (
        "max_compute_workgroup_size_x",
        "of them in x",
        false,
        |limits| limits.max_compute_workgroup_size_x.into(),
    ),
    (
        "max_compute_workgroups_per_dimension",
        "workgroups in a dimension",
        false,
        |limits| limits.max_compute_workgroups_per_dimension.into(),
    ),
    (
        "max_storage_buffers_per_shader_stage",
        "storage buffers of a stage",
        false,
        |limits| limits.max_storage_buffers_per_shader_stage.into(),
    ),
    (
        "max_uniform_buffers_per_shader_stage",
        "uniform buffers of a stage",
        false,
        |limits| limits.max_uniform_buffers_per_shader_stage.into(),
    ),
    (
        "min_storage_buffer_offset_alignment",
        "storage offsets, multiples of",
        true,
        |limits| limits.min_storage_buffer_offset_alignment.into(),
    ),
    (
        "min_uniform_buffer_offset_alignment",
        "uniform offsets, multiples of",
        true,
        |limits| limits.min_uniform_buffer_offset_alignment.into(),
    ),
];

impl Facts {
    /// Of an adapter.
    pub fn new(adapter: &wgpu::Adapter) -> Self {
        let (info, limits, features) = (adapter.get_info(), adapter.limits(), adapter.features());
        let plan = Limits::of(&limits, features & wgpu::Features::SUBGROUP, &info);
        let mut shortcomings = Vec::new();
        let flags = adapter.get_downlevel_capabilities().flags;
        if !flags.contains(wgpu::DownlevelFlags::COMPUTE_SHADERS) {
            shortcomings.push("it has no compute shaders".to_owned());
        }
        // Devices are made with no less.
        wgpu::Limits::default().check_limits_with_fail_fn(&limits, false, |name, needed, given| {
            shortcomings.push(format!("its {name} is {given}: {needed} is needed"));
        });
        Self {
            features: features
                .iter_names()
                .map(|(name, _)| name.to_owned())
                .collect(),
            limits: LIMITS
                .into_iter()
                .map(|(name, _, _, value)| (name, value(&limits)))
                .collect(),
            subgroup_sizes: plan.subgroups.map(|sizes| [sizes.min, sizes.max]),
            shortcomings,
            geometry: geometry(&plan),
            known: FEATURES
                .into_iter()
                .filter(|(feature, _)| features.contains(*feature))
                .map(|(_, name)| name)
                .collect(),
            plan,
        }
    }

    /// The limits that plans for it are made with, where steps can run on it at all.
    pub fn plan_limits(&self) -> Option<&Limits> {
        self.shortcomings.is_empty().then_some(&self.plan)
    }

    /// All of it for people.
    pub fn text(&self) -> String {
        let mut table = table(&["limit", "here", "everywhere"], 1);
        for (name, title, is_bytes, everywhere) in LIMITS {
            let show = |value| {
                if is_bytes {
                    bytes(value)
                } else {
                    value.to_string()
                }
            };
            let everywhere = everywhere(&wgpu::Limits::default());
            table.add_row(row(
                [title.to_owned(), show(self.limits[name]), show(everywhere)],
                1,
            ));
        }
        let subgroups = match self.subgroup_sizes {
            Some([min, max]) if min == max => format!("Subgroups have {min} lanes."),
            Some([min, max]) => format!("Subgroups have {min} to {max} lanes."),
            None => "There are no subgroups.".to_owned(),
        };
        let features = match self.known[..] {
            [] => "Features that matter here: none.".to_owned(),
            _ => format!("Features that matter here: {}.", self.known.join(", ")),
        };
        let mut said = vec![features, subgroups];
        if self.shortcomings.is_empty() {
            said.push(self.geometry.clone());
        } else {
            said.push(format!(
                "No step can run on it: {}.",
                self.shortcomings.join("; ")
            ));
        }
        format!("\n{}\n\n{}", lines(table).join("\n"), wrapped(&said))
    }
}

fn geometry(limits: &Limits) -> String {
    let tuning = Tuning::for_limits(limits);
    let kind = match limits.adapter {
        AdapterKind::Cpu => "a software adapter",
        AdapterKind::Integrated => "a GPU that shares the host's memory",
        AdapterKind::Discrete => "a GPU with memory of its own",
    };
    let team = match tuning.team {
        Team::Lane => "each lane walks channels of its own",
        Team::Workgroup => "a workgroup walks each channel",
    };
    format!(
        "By default, as {kind}: {} lanes in a workgroup, {team}, and {} workgroups keep it busy.",
        tuning.workgroup_size, tuning.workgroups
    )
}

/// A number of bytes in the largest unit that it is a multiple of.
pub fn bytes(count: u64) -> String {
    match count {
        0 => "0".to_owned(),
        _ if count >= 1 << 30 && count.is_multiple_of(1 << 30) => format!("{} GiB", count >> 30),
        _ if count >= 1 << 20 && count.is_multiple_of(1 << 20) => format!("{} MiB", count >> 20),
        _ if count >= 1 << 10 && count.is_multiple_of(1 << 10) => format!("{} KiB", count >> 10),
        _ => format!("{count} B"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_have_the_unit_that_fits() {
        for (count, text) in [
            (0, "0"),
            (256, "256 B"),
            (48 << 10, "48 KiB"),
            (128 << 20, "128 MiB"),
            (2 << 30, "2 GiB"),
            ((2 << 30) - 1, "2147483647 B"),
        ] {
            assert_eq!(bytes(count), text);
        }
    }
}
