//! `--explain`: the dispatches of a plan, what each moves, and what each takes.

use std::fmt::Write;

use anyhow::Result;

use super::clock::{Clock, Stopwatch};
use super::computation::Computation;
use super::loaded::Loaded;
use super::memory;
use super::task::{Input, Task};
use super::text::percent;
use super::timing::{Contender, Effort, measure};
use super::workload::Workload;
use crate::cli::device::Device;
use crate::cli::output::{adapter_lines, digits, lines, row, table};

const LEGEND: &str = "\
walk    how lanes go over the tensor, by how many values at a time
lanes   of a workgroup
grid    workgroups
reads   bytes of tensors (as often as they are gone over), vectors, workspace
+-      half of what lies between the quartiles, of the time before it
share   of the sum of the dispatches, each timed alone";

/// Plans, measures and describes each computation; with the joined shaders where they are asked for.
pub fn run(
    device: &Device,
    stopwatch: &Stopwatch<'_>,
    workload: &Workload,
    computations: &[Computation],
    effort: Effort,
    wgsl: bool,
) -> Result<String> {
    let mut text = format!(
        "wgpu-batchnorm {} on {}",
        env!("CARGO_PKG_VERSION"),
        adapter_lines(&device.info())
    );
    text += "\n\n";
    text += LEGEND;
    for &computation in computations {
        let input = Input::new(workload, computation.layer)?;
        let task = Task::new(&input, computation.operation)?;
        let loaded = Loaded::new(device, &task)?;
        let parts: Vec<_> = loaded.step.parts().collect();

        let mut contenders = vec![Contender::device(|pass| loaded.step.record(pass))];
        for &part in &parts {
            contenders.push(Contender::device(move |pass| part.record(pass)));
        }
        let measured = measure(stopwatch, &mut contenders, effort)?;
        drop(contenders);
        let (step, alone) = measured
            .seconds
            .split_first()
            .expect("the step is a contender");
        let sum: f64 = alone.iter().map(|seconds| seconds.median).sum();

        let plan = &loaded.plan;
        let (sizes, layout) = (&workload.sizes, workload.layout);
        write!(
            text,
            "\n\n{sizes} {layout}, {computation}\n\
             {}, workspace {}, least traffic {}\n\n",
            count(parts.len(), "dispatch", "dispatches"),
            memory::text(plan.workspace_bytes()),
            memory::text(plan.minimum_traffic()),
        )?;
        let titles = [
            "", "stage", "walk", "lanes", "grid", "reads", "writes", "ms", "+-", "share",
        ];
        let mut table = table(&titles, 3);
        for ((number, part), seconds) in (1..).zip(&parts).zip(alone) {
            let info = part.info();
            let cells = [
                format!("{number}"),
                info.stage.name().to_owned(),
                format!("{} by {}", info.walk.name(), info.width),
                info.workgroup_size.to_string(),
                grid(info.grid),
                memory::text(info.bytes_read),
                memory::text(info.bytes_written),
                digits(1e3 * seconds.median),
                percent(*seconds),
                format!("{:.0}%", 100.0 * seconds.median / sum),
            ];
            table.add_row(row(cells, 3));
        }
        text += &lines(table).join("\n");
        write!(
            text,
            "\n\nthe step as one takes {} ms (+- {}), its dispatches alone {} ms,\nby {}",
            digits(1e3 * step.median),
            percent(*step),
            digits(1e3 * sum),
            match measured.clock {
                Clock::Timestamps => "timestamp queries",
                Clock::Wall => "wall time",
            }
        )?;
        if wgsl {
            let mut printed: Vec<&str> = Vec::new();
            for (number, part) in (1..).zip(&parts) {
                let name = part.info().stage.name();
                if let Some(known) = printed.iter().position(|&known| known == part.wgsl()) {
                    write!(
                        text,
                        "\n\n// dispatch {number}, {name}: as text {}",
                        known + 1
                    )?;
                } else {
                    printed.push(part.wgsl());
                    write!(
                        text,
                        "\n\n// dispatch {number}, {name}: text {}\n{}",
                        printed.len(),
                        part.wgsl().trim_end()
                    )?;
                }
            }
        }
    }
    Ok(text)
}

fn count(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

fn grid([x, y]: [u32; 2]) -> String {
    if y == 1 {
        x.to_string()
    } else {
        format!("{x}x{y}")
    }
}
