//! Which adapter to run on: `--adapter` and `--backend`, which every command has.

mod fix;

use clap::Args;
use clap::builder::{
    NonEmptyStringValueParser, PossibleValue, PossibleValuesParser, TypedValueParser,
};
use thiserror::Error;
use wgpu_batchnorm::{GpuError, wgpu};

/// The exit code where there is nothing to run on.
pub const NO_DEVICE: u8 = 3;

const NAME_VARIABLE: &str = "WGPU_ADAPTER_NAME";

/// Which adapter to run on.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Adapter")]
pub struct AdapterChoice {
    /// The adapter to run on: a part of its name, in any case of letters, or its PCI address. By default the one that
    /// wgpu holds for the fastest
    #[arg(long, value_name = "NAME", global = true, value_parser = NonEmptyStringValueParser::new())]
    adapter: Option<String>,
    /// The graphics API to reach it by, of those in this build. By default all of them
    #[arg(long, value_name = "API", global = true, value_parser = backend_parser())]
    backend: Option<wgpu::Backends>,
}

/// Why there is no adapter to run on.
#[derive(Debug, Error)]
pub enum AdapterError {
    /// There is none.
    #[error("no GPU adapter was found{}: {fix}", through(*backends))]
    None {
        /// Where it was looked for.
        backends: wgpu::Backends,
        /// What to do about it.
        fix: String,
    },
    /// There is none of this name.
    #[error("no GPU adapter has `{wanted}` in its name; there are: {}", found.join(", "))]
    NoMatch {
        /// The part of a name that was asked for.
        wanted: String,
        /// What there is.
        found: Vec<String>,
    },
    /// There are several of this name.
    #[error(
        "`{wanted}` is in the names of {} GPU adapters: {}. Give more of the name, a PCI address or --backend",
        found.len(),
        found.join(", ")
    )]
    Ambiguous {
        /// The part of a name that was asked for.
        wanted: String,
        /// Which have it.
        found: Vec<String>,
    },
}

impl AdapterError {
    /// Whether there is something to run on, and more had to be said about which.
    pub const fn is_usage(&self) -> bool {
        matches!(self, Self::Ambiguous { .. })
    }
}

/// Whether a command could not run because there is nothing to run on.
pub fn is_missing(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        let usage = cause
            .downcast_ref::<AdapterError>()
            .map(AdapterError::is_usage);
        usage == Some(false) || cause.is::<GpuError>()
    })
}

fn through(backends: wgpu::Backends) -> String {
    if backends.contains(enabled()) {
        return String::new();
    }
    let names: Vec<_> = backends_in(backends).map(wgpu::Backend::to_str).collect();
    match names[..] {
        [] => " (WGPU_BACKEND names no backend)".to_owned(),
        _ => format!(" through {}", names.join(" or ")),
    }
}

fn backends_in(backends: wgpu::Backends) -> impl Iterator<Item = wgpu::Backend> {
    let is_in = move |backend: &wgpu::Backend| backends.contains((*backend).into());
    wgpu::Backend::ALL.into_iter().filter(is_in)
}

/// The backends in this build that can have an adapter.
fn enabled() -> wgpu::Backends {
    wgpu::Instance::enabled_backend_features() - wgpu::Backends::NOOP
}

fn backend_parser() -> impl TypedValueParser<Value = wgpu::Backends> {
    let values = backends_in(enabled()).map(|backend| {
        let value = PossibleValue::new(backend.to_str());
        match backend {
            wgpu::Backend::Vulkan => value.alias("vk"),
            wgpu::Backend::Metal => value.alias("mtl"),
            wgpu::Backend::Dx12 => value.alias("d3d12"),
            wgpu::Backend::Gl => value.aliases(["gles", "opengl"]),
            wgpu::Backend::Noop | wgpu::Backend::BrowserWebGpu => value,
        }
    });
    PossibleValuesParser::new(values).map(|name| wgpu::Backends::from_comma_list(&name))
}

/// An adapter as people tell it from others.
pub fn name(info: &wgpu::AdapterInfo) -> String {
    let address = match info.device_pci_bus_id.as_str() {
        "" => String::new(),
        address => format!(", {address}"),
    };
    format!("{} ({}{address})", info.name, info.backend)
}

impl AdapterChoice {
    /// The adapter to run on.
    pub fn find(&self) -> Result<wgpu::Adapter, AdapterError> {
        let backends = self.backends();
        let instance = instance(backends)?;
        match self.wanted() {
            Some(wanted) => {
                let mut adapters = enumerate(&instance, backends)?;
                let infos: Vec<_> = adapters.iter().map(wgpu::Adapter::get_info).collect();
                let chosen = choose(&infos, &wanted)?;
                Ok(adapters.swap_remove(chosen))
            }
            None => pollster::block_on(instance.request_adapter(&wgpu::RequestAdapterOptions {
                power_preference: wgpu::PowerPreference::HighPerformance,
                ..Default::default()
            }))
            .map_err(|_| none(backends)),
        }
    }

    /// All adapters that fit the choice, at least one.
    pub fn list(&self) -> Result<Vec<wgpu::Adapter>, AdapterError> {
        let backends = self.backends();
        let mut adapters = enumerate(&instance(backends)?, backends)?;
        let infos: Vec<_> = adapters.iter().map(wgpu::Adapter::get_info).collect();
        if let Some(wanted) = self.wanted() {
            if !infos.iter().any(|info| fits(info, &wanted)) {
                return Err(no_match(&infos, wanted));
            }
            adapters.retain(|adapter| fits(&adapter.get_info(), &wanted));
        }
        Ok(adapters)
    }

    fn backends(&self) -> wgpu::Backends {
        self.backend
            .unwrap_or_else(|| wgpu::Backends::all().with_env())
    }

    fn wanted(&self) -> Option<String> {
        let from_env = || std::env::var(NAME_VARIABLE).ok();
        self.adapter
            .clone()
            .or_else(from_env)
            .filter(|name| !name.is_empty())
    }
}

fn instance(backends: wgpu::Backends) -> Result<wgpu::Instance, AdapterError> {
    // wgpu panics where no backend is compiled in.
    if enabled().is_empty() {
        return Err(AdapterError::None {
            backends,
            fix:
                "this build has no backend: build it with `--features vulkan`, metal, dx12 or gles"
                    .to_owned(),
        });
    }
    let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle();
    descriptor.backends = backends;
    descriptor.flags = wgpu::InstanceFlags::from_env_or_default();
    Ok(wgpu::Instance::new(descriptor))
}

fn enumerate(
    instance: &wgpu::Instance,
    backends: wgpu::Backends,
) -> Result<Vec<wgpu::Adapter>, AdapterError> {
    let adapters = pollster::block_on(instance.enumerate_adapters(backends));
    if adapters.is_empty() {
        Err(none(backends))
    } else {
        Ok(adapters)
    }
}

/// The error of backends without an adapter: what to install, and what others there are.
fn none(backends: wgpu::Backends) -> AdapterError {
    let mut fix = if backends.intersects(enabled()) {
        fix::here()
    } else {
        let names: Vec<_> = backends_in(enabled()).map(wgpu::Backend::to_str).collect();
        format!("this build is for {}", names.join(" and "))
    };
    let others = enabled() - backends;
    if !others.is_empty()
        && let Ok(instance) = instance(others)
    {
        let found = pollster::block_on(instance.enumerate_adapters(others));
        let names: Vec<_> = found
            .iter()
            .map(|adapter| name(&adapter.get_info()))
            .collect();
        if !names.is_empty() {
            fix = format!("{fix}; or take another: {}", names.join(", "));
        }
    }
    AdapterError::None { backends, fix }
}

fn no_match(infos: &[wgpu::AdapterInfo], wanted: String) -> AdapterError {
    AdapterError::NoMatch {
        wanted,
        found: infos.iter().map(name).collect(),
    }
}

/// Whether an adapter has this in its name, or this address.
fn fits(info: &wgpu::AdapterInfo, wanted: &str) -> bool {
    info.name.to_lowercase().contains(&wanted.to_lowercase())
        || info.device_pci_bus_id.eq_ignore_ascii_case(wanted)
}

/// The one adapter that fits. Of several the one whose whole name it is; of one through several backends the one that
/// wgpu prefers, OpenGL last; the first where nothing tells them apart.
fn choose(infos: &[wgpu::AdapterInfo], wanted: &str) -> Result<usize, AdapterError> {
    let mut fitting: Vec<usize> = (0..infos.len())
        .filter(|&index| fits(&infos[index], wanted))
        .collect();
    let mut narrow = |condition: &dyn Fn(&wgpu::AdapterInfo) -> bool| {
        if fitting.iter().any(|&index| condition(&infos[index])) {
            fitting.retain(|&index| condition(&infos[index]));
        }
    };
    narrow(&|info| info.name.eq_ignore_ascii_case(wanted));
    // Its names of the same adapters are others.
    narrow(&|info| info.backend != wgpu::Backend::Gl);
    let Some(&first) = fitting.first() else {
        return Err(no_match(infos, wanted.to_owned()));
    };
    if fitting
        .iter()
        .all(|&index| infos[index].name == infos[first].name)
    {
        let preferred = wgpu::Backend::ALL.into_iter().find(|backend| {
            fitting
                .iter()
                .any(|&index| infos[index].backend == *backend)
        });
        fitting.retain(|&index| Some(infos[index].backend) == preferred);
    }
    let mut names: Vec<_> = fitting.iter().map(|&index| name(&infos[index])).collect();
    names.dedup();
    if names.len() == 1 {
        return Ok(fitting[0]);
    }
    Err(AdapterError::Ambiguous {
        wanted: wanted.to_owned(),
        found: names,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(name: &str, backend: wgpu::Backend, address: &str) -> wgpu::AdapterInfo {
        wgpu::AdapterInfo {
            name: name.to_owned(),
            device_pci_bus_id: address.to_owned(),
            ..wgpu::AdapterInfo::new(wgpu::DeviceType::DiscreteGpu, backend)
        }
    }

    fn machine() -> Vec<wgpu::AdapterInfo> {
        use wgpu::Backend::{Gl, Vulkan};
        vec![
            info("GeForce RTX 3080", Vulkan, "0000:01:00.0"),
            info("GeForce RTX 3080 Ti", Vulkan, "0000:02:00.0"),
            info("llvmpipe (LLVM 15)", Vulkan, ""),
            info("llvmpipe (LLVM 15)", Gl, ""),
            info("Radeon", Vulkan, "0000:03:00.0"),
            info("Radeon", Vulkan, "0000:04:00.0"),
            info("twin", Vulkan, ""),
            info("twin", Vulkan, ""),
            info("Mesa Intel (UHD)", Gl, ""),
            info("Intel UHD", Vulkan, ""),
        ]
    }

    #[test]
    fn a_part_of_one_name_chooses_it() {
        for (wanted, index) in [
            ("3080 TI", 1),
            ("geforce rtx 3080", 0),
            ("0000:04:00.0", 5),
            ("twin", 6),
            ("LLVMPIPE", 2),
            ("intel", 9),
        ] {
            assert_eq!(choose(&machine(), wanted).expect(wanted), index, "{wanted}");
        }
    }

    #[test]
    fn a_part_of_several_names_lists_them() {
        for (wanted, found) in [
            (
                "geforce",
                "GeForce RTX 3080 (vulkan, 0000:01:00.0), GeForce RTX 3080 Ti (vulkan",
            ),
            (
                "radeon",
                "Radeon (vulkan, 0000:03:00.0), Radeon (vulkan, 0000:04:00.0)",
            ),
        ] {
            let error = choose(&machine(), wanted).expect_err(wanted);
            assert!(matches!(error, AdapterError::Ambiguous { .. }));
            let message = error.to_string();
            assert!(
                message.contains("of 2 GPU adapters") && message.contains(found),
                "{message}"
            );
        }
    }

    #[test]
    fn a_part_of_no_name_lists_all() {
        let message = choose(&machine(), "arc").expect_err("no such").to_string();
        assert!(
            message.starts_with("no GPU adapter has `arc` in its name; there are: GeForce"),
            "{message}"
        );
        assert!(message.ends_with("Intel UHD (vulkan)"), "{message}");
    }

    #[test]
    fn every_backend_of_the_build_can_be_asked_for_and_no_other() {
        use clap::Parser;
        #[derive(Debug, Parser)]
        struct Line {
            #[command(flatten)]
            choice: AdapterChoice,
        }
        let parse = |backend: &str| Line::try_parse_from(["line", "--backend", backend]);
        for backend in wgpu::Backend::ALL {
            let is_there = enabled().contains(backend.into());
            match parse(backend.to_str()) {
                Ok(line) => assert_eq!(line.choice.backend, Some(backend.into())),
                Err(error) => assert!(!is_there && error.to_string().contains("possible values")),
            }
            assert_eq!(parse(backend.to_str()).is_ok(), is_there, "{backend}");
        }
        assert!(parse("directx").is_err());
        assert!(Line::try_parse_from(["line", "--adapter", ""]).is_err());
    }
}
