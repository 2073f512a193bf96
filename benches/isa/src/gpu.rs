//! What the compiler makes of every kernel for one GPU, and what can be said of it.

use std::collections::{HashMap, HashSet};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use wgpu_batchnorm::SubgroupSizes;

use crate::assembly::{Loop, innermost_loops, whole};
use crate::kernels::{About, Kernel, copies, kernels};
use crate::radv::{Compiled, Radv};
use crate::spirv::{Source, compile};

/// A GPU that is compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Family {
    /// As the driver calls it.
    pub name: &'static str,
    /// As users do.
    pub generation: &'static str,
    /// As wgpu describes it.
    pub subgroups: SubgroupSizes,
}

pub const FAMILIES: [Family; 3] = [
    Family {
        name: "navi31",
        generation: "RDNA3",
        subgroups: SubgroupSizes { min: 32, max: 64 },
    },
    Family {
        name: "navi21",
        generation: "RDNA2",
        subgroups: SubgroupSizes { min: 32, max: 64 },
    },
    Family {
        name: "vega10",
        generation: "GCN5",
        subgroups: SubgroupSizes { min: 64, max: 64 },
    },
];

/// Everything that was compiled for one GPU.
#[derive(Debug, Serialize, Deserialize)]
pub struct Gpu {
    pub name: String,
    pub driver: String,
    /// Subgroups that a SIMD unit holds at most.
    pub most_subgroups: u64,
    /// Texts that were planned, before those that differ in nothing that is compiled were left out.
    pub texts: usize,
    pub copies: Vec<Measured>,
    pub kernels: Vec<Measured>,
}

/// A kernel as compiled.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Measured {
    pub about: About,
    pub vector_registers: u64,
    pub spilled_registers: u64,
    pub scratch_bytes: u64,
    pub subgroups_per_simd: u64,
    pub loops: Vec<Loop>,
    /// The whole code as if it were one turn.
    pub whole: Loop,
}

/// The main loop of one of the two things that a kernel does: gathering and applying.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Main {
    pub vector_per_value: f64,
    /// Loads of a lane that are on their way at once.
    pub in_flight: u32,
}

impl Measured {
    fn new(about: &About, compiled: &Compiled) -> Result<Self> {
        let statistic = |name| statistic(&compiled.statistics, name);
        Ok(Self {
            about: about.clone(),
            vector_registers: statistic("VGPRs")?,
            spilled_registers: statistic("Spilled VGPRs")? + statistic("Spilled SGPRs")?,
            scratch_bytes: statistic("Scratch size")?,
            subgroups_per_simd: statistic("Subgroups per SIMD")?,
            loops: innermost_loops(&compiled.listing),
            whole: whole(&compiled.listing),
        })
    }

    /// The main loop that reads tensors and writes none.
    pub fn gather(&self) -> Option<Main> {
        let tensors = self.about.tensors;
        let access = self.about.access_bytes();
        // the mask's words are as long as single values
        let gathered = tensors.gathered + u32::from(tensors.mask && access == 4);
        self.main(|turn| {
            if tensors.gathered == 0 || !turn.stores.is_empty() {
                return 0.0;
            }
            let loads = turn.loads.iter().filter(|&&bytes| bytes == access);
            self.values(loads.count()) / f64::from(gathered)
        })
    }

    /// The main loop that writes tensors.
    pub fn apply(&self) -> Option<Main> {
        let written = self.about.tensors.written;
        let access = self.about.access_bytes();
        self.main(|turn| {
            if written == 0 {
                return 0.0;
            }
            let stores = turn.stores.iter().filter(|&&bytes| bytes == access);
            self.values(stores.count()) / f64::from(written)
        })
    }

    fn values(&self, accesses: usize) -> f64 {
        accesses as f64 * f64::from(self.about.width)
    }

    /// Of the loops that go over values, the one with the most of them in a turn.
    fn main(&self, values: impl Fn(&Loop) -> f64) -> Option<Main> {
        let counted = self.loops.iter().map(|turn| (turn, values(turn)));
        let (turn, values) = counted
            .filter(|(_, values)| *values > 0.0)
            .max_by(|(_, a), (_, b)| a.total_cmp(b))?;
        Some(Main {
            vector_per_value: f64::from(turn.vector) / values,
            in_flight: turn.in_flight,
        })
    }

    /// What is wrong with it, on a GPU whose SIMD units hold so many subgroups at most.
    pub fn faults(&self, most_subgroups: u64) -> Vec<String> {
        let mut faults = vec![];
        if self.spilled_registers > 0 {
            faults.push(format!("spills {} registers", self.spilled_registers));
        }
        if self.scratch_bytes > 0 {
            faults.push(format!(
                "takes {} bytes of scratch memory",
                self.scratch_bytes
            ));
        }
        if 2 * self.subgroups_per_simd < most_subgroups && !self.about.is_resident() {
            faults.push(format!(
                "lets only {} of {most_subgroups} subgroups onto a SIMD unit, by {} vector registers",
                self.subgroups_per_simd, self.vector_registers
            ));
        }
        let tensors = self.about.tensors;
        if self.about.element == "f32" && self.about.width == 4 {
            // what is not in a loop, as in resident kernels, counts wherever it is
            let unrolled = |accesses: &[u32]| self.loops.is_empty() && accesses.contains(&16);
            if tensors.gathered > 0 && self.gather().is_none() && !unrolled(&self.whole.loads) {
                faults.push("gathers by no loads of 16 bytes".to_owned());
            }
            if tensors.written > 0 && self.apply().is_none() && !unrolled(&self.whole.stores) {
                faults.push("applies by no stores of 16 bytes".to_owned());
            }
        }
        faults
    }
}

fn statistic(statistics: &HashMap<String, u64>, name: &str) -> Result<u64> {
    let value = statistics.get(name).copied();
    value.with_context(|| format!("the driver does not say \"{name}\" of a shader"))
}

/// Compiles everything for the GPU that `RADV_FORCE_FAMILY` names.
pub fn measure(family: Family) -> Result<Gpu> {
    let radv = Radv::new()?;
    let empty = Source {
        wgsl: "@compute @workgroup_size(64) fn main() {}".to_owned(),
        entry_point: "main".to_owned(),
        constants: vec![],
        subgroups: false,
    };
    let empty = radv.compile(&compile(&empty)?, "main", false)?;
    let mut seen = HashSet::new();
    let mut measured = |kernel: &Kernel| -> Result<Option<Measured>> {
        let Kernel { about, source } = kernel;
        let module = compile(source).with_context(|| about.name())?;
        if seen.contains(&module.words) {
            return Ok(None);
        }
        let compiled = radv
            .compile(&module, &source.entry_point, source.subgroups)
            .with_context(|| about.name())?;
        seen.insert(module.words);
        Measured::new(about, &compiled).map(Some)
    };
    let mut all = |kernels: &[Kernel]| -> Result<Vec<Measured>> {
        let measured = kernels.iter().map(|kernel| measured(kernel).transpose());
        measured.flatten().collect()
    };
    let planned = kernels(family.subgroups)?;
    Ok(Gpu {
        name: radv.name.clone(),
        driver: radv.driver.clone(),
        most_subgroups: statistic(&empty.statistics, "Subgroups per SIMD")?,
        texts: planned.len(),
        copies: all(&copies())?,
        kernels: all(&planned)?,
    })
}

/// Prints the text and the machine code of the kernels whose names have these words in them.
pub fn show(family: Family, words: &[String]) -> Result<String> {
    let radv = Radv::new()?;
    let mut text = String::new();
    for kernel in copies().into_iter().chain(kernels(family.subgroups)?) {
        let name = kernel.about.name();
        if !words.iter().all(|word| name.contains(word.as_str())) {
            continue;
        }
        let source = &kernel.source;
        let compiled = radv.compile(&compile(source)?, &source.entry_point, source.subgroups)?;
        text += &listing(&name, &source.wgsl, &compiled);
    }
    if text.is_empty() {
        bail!(
            "no kernel has all of these words in its name: {}",
            words.join(" ")
        );
    }
    Ok(text)
}

fn listing(name: &str, wgsl: &str, compiled: &Compiled) -> String {
    let mut statistics: Vec<_> = compiled.statistics.iter().collect();
    statistics.sort();
    let mut text = format!("==== {name}\n\n{}\n\n", wgsl.trim_end());
    for (name, value) in statistics {
        text += &format!("{name}: {value}\n");
    }
    for turn in innermost_loops(&compiled.listing) {
        text += &format!("{turn:?}\n");
    }
    text + "\n" + compiled.listing.trim_end() + "\n\n"
}

/// Of a file: its own text and machine code.
pub fn show_file(source: &Source) -> Result<String> {
    let radv = Radv::new()?;
    let compiled = radv.compile(&compile(source)?, &source.entry_point, source.subgroups)?;
    Ok(listing(&radv.name, &source.wgsl, &compiled))
}
