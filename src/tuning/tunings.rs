//! What a search for tunings has found on one adapter, and its file.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{Tuning, TuningKey};
use crate::element::Element;
use crate::error::PlanError;
use crate::limits::Limits;
use crate::operation::Operation;
use crate::plan::access_pattern;
use crate::shape::Shape;

/// The fastest tuning that a search found for one pass over one shape.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TunedPass {
    /// What was computed.
    pub operation: Operation,
    /// How the tensors of the shape were stored.
    pub element: Element,
    /// The shape.
    pub shape: Shape,
    /// The tuning.
    pub tuning: Tuning,
    /// The time of the default over that of this tuning: 1 where it is the default, because no other was faster.
    pub gain: f64,
    /// The pass's speed over that of a copy ([`yardstick`](mod@crate::yardstick)), by the least traffic of each. `None`
    /// where the search was interrupted.
    pub copy_fraction: Option<f64>,
}

impl TunedPass {
    /// Whether the search was not interrupted.
    pub const fn is_finished(&self) -> bool {
        self.copy_fraction.is_some()
    }

    fn is_of(&self, operation: Operation, shape: Shape, element: Element) -> bool {
        (self.operation, self.shape, self.element) == (operation, shape, element)
    }
}

/// What a search found on one adapter: a [`Tuning`] for each pass over each shape that was searched.
///
/// `wgpu-batchnorm tune` measures, checks what it finds against the f64 reference and saves it in the user's
/// configuration folder. No plan looks there by itself: load it and give it to the options, which each plan then
/// chooses its tuning from.
///
/// ```no_run
/// use wgpu_batchnorm::{Backward, Gpu, GpuOptions, Kernels, Plan, Shape, Training, Tunings};
///
/// let gpu = Gpu::blocking(&GpuOptions::default())?;
/// let kernels = Kernels::new(gpu.device());
/// // None where nothing was saved for this adapter, driver and version of the crate.
/// let tunings = Tunings::saved(&kernels)?;
///
/// let options = Training::default().tunings(tunings);
/// let shape = Shape::channels_first(&[32, 64, 56, 56])?;
/// let forward = Plan::training(kernels.limits(), shape, &options)?;
/// let backward = Plan::backward(kernels.limits(), shape, &Backward::from(&options))?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// A [`Layer`](crate::Layer) takes them once, in its [`LayerOptions`](crate::LayerOptions).
///
/// # Shapes that were not searched
///
/// [`Tunings::get`] gives the pass that was searched, else the nearest: of the same operation and element, of shapes whose
/// values lie alike (channels contiguous or not, in accesses as wide), the one at the least distance
/// `|log2(outer / outer')| + |log2(channels / channels')| + |log2(inner / inner')|`, and none beyond
/// [`Tunings::FARTHEST`]. Activations, residuals and frozen statistics make no difference to what is chosen.
///
/// ```
/// use wgpu_batchnorm::{Element, Limits, Operation, Plan, Shape, Training, TunedPass, Tuning, TuningKey, Tunings};
///
/// let limits = Limits::default();
/// # let key = || TuningKey {
/// #     adapter: "an adapter".into(),
/// #     backend: "vulkan".into(),
/// #     driver: "a driver".into(),
/// #     driver_info: "1.0".into(),
/// #     version: "0.1.0".into(),
/// # };
/// let mut tunings = Tunings::new(key()); // of an adapter
/// tunings.insert(TunedPass {
///     operation: Operation::Training,
///     element: Element::F32,
///     shape: Shape::channels_first(&[8, 64, 56, 56])?,
///     tuning: Tuning { workgroup_size: 64, ..Tuning::for_limits(&limits) },
///     gain: 1.25,
///     copy_fraction: Some(0.9),
/// });
///
/// // The batch is four times as large: near enough.
/// let shape = Shape::channels_first(&[32, 64, 56, 56])?;
/// let options = Training::default().tunings(Some(tunings));
/// let plan = Plan::training(&limits, shape, &options)?;
/// assert!(plan.dispatches().all(|dispatch| dispatch.workgroup_size == 64));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Cheap to clone: clones share what was found until one of them is added to.
#[derive(Clone, PartialEq)]
pub struct Tunings {
    found: Arc<Found>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Found {
    key: TuningKey,
    passes: Vec<TunedPass>,
}

/// The part of a file that says whether the rest is of use.
#[derive(Deserialize)]
struct Header {
    key: TuningKey,
}

impl fmt::Debug for Tunings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tunings")
            .field("key", &self.found.key)
            .field("passes", &self.found.passes.len())
            .finish_non_exhaustive()
    }
}

/// Tunings that cannot be used or saved.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TuningsError {
    /// The file cannot be read or written.
    #[error("{path}")]
    Io {
        /// The file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not one of tunings.
    #[error("not the tunings of `wgpu-batchnorm tune`: {message}")]
    Format {
        /// What is wrong with it.
        message: String,
    },
    /// The tunings are those of another adapter, driver or version.
    #[error(
        "the tunings were found on {found}, not on {needed}: `wgpu-batchnorm tune` finds new ones"
    )]
    Key {
        /// What they were found on.
        found: Box<TuningKey>,
        /// What they are needed for.
        needed: Box<TuningKey>,
    },
    /// A tuning is beyond the limits of the device.
    #[error("the tuning of {operation} {} of {shape} does not fit this device", element.name())]
    Limits {
        /// What it was found for.
        operation: Operation,
        /// What it was found for.
        element: Element,
        /// What it was found for.
        shape: Shape,
        /// What does not fit.
        source: PlanError,
    },
}

impl Tunings {
    /// How far a shape may be from the nearest that was searched: 3, which is 8 times the values.
    pub const FARTHEST: f64 = 3.0;

    /// None yet.
    pub fn new(key: TuningKey) -> Self {
        let passes = Vec::new();
        Self {
            found: Arc::new(Found { key, passes }),
        }
    }

    /// What they were found on.
    pub fn key(&self) -> &TuningKey {
        &self.found.key
    }

    /// Every pass that was searched.
    pub fn passes(&self) -> &[TunedPass] {
        &self.found.passes
    }

    /// The pass that was searched for exactly these; none where the search was of others.
    pub fn exact(
        &self,
        operation: Operation,
        shape: Shape,
        element: Element,
    ) -> Option<&TunedPass> {
        let mut passes = self.passes().iter();
        passes.find(|pass| pass.is_of(operation, shape, element))
    }

    /// The pass that was searched for these or, where none was, the nearest of those that were: see
    /// [above](Tunings#shapes-that-were-not-searched). Of several as near, the one that was searched first. Empty tensors
    /// are near nothing.
    pub fn get(&self, operation: Operation, shape: Shape, element: Element) -> Option<&TunedPass> {
        if let Some(exact) = self.exact(operation, shape, element) {
            return Some(exact);
        }
        let pattern = access_pattern(shape, element)?;
        let alike = self.passes().iter().filter(|pass| {
            (pass.operation, pass.element) == (operation, element)
                && access_pattern(pass.shape, element) == Some(pattern)
        });
        let far = alike.map(|pass| (distance(pass.shape, shape), pass));
        let near = far.filter(|(distance, _)| *distance <= Self::FARTHEST);
        let nearest = near.min_by(|(a, _), (b, _)| a.total_cmp(b));
        nearest.map(|(_, pass)| pass)
    }

    /// Adds a pass, in the place of what was found for it before.
    pub fn insert(&mut self, pass: TunedPass) {
        let passes = &mut Arc::make_mut(&mut self.found).passes;
        let known = passes
            .iter_mut()
            .find(|known| known.is_of(pass.operation, pass.shape, pass.element));
        match known {
            Some(known) => *known = pass,
            None => passes.push(pass),
        }
    }

    /// Out of the bytes of a file, for an adapter and the limits of a device on it.
    ///
    /// # Errors
    /// [`TuningsError::Format`], [`TuningsError::Key`], [`TuningsError::Limits`].
    pub fn from_json(bytes: &[u8], key: &TuningKey, limits: &Limits) -> Result<Self, TuningsError> {
        let format = |message: String| TuningsError::Format { message };
        // First: files of other versions may differ in the rest.
        let header: Header =
            serde_json::from_slice(bytes).map_err(|error| format(error.to_string()))?;
        if header.key != *key {
            return Err(TuningsError::Key {
                found: Box::new(header.key),
                needed: Box::new(key.clone()),
            });
        }
        let found: Found =
            serde_json::from_slice(bytes).map_err(|error| format(error.to_string()))?;
        for (index, pass) in found.passes.iter().enumerate() {
            let &TunedPass {
                operation,
                element,
                shape,
                ref tuning,
                gain,
                copy_fraction,
            } = pass;
            let numbers = [Some(gain), copy_fraction];
            let possible = |number: f64| number.is_finite() && number > 0.0;
            if !numbers.into_iter().flatten().all(possible) {
                return Err(format(format!(
                    "pass {index} has a gain or copy_fraction that is not above zero"
                )));
            }
            let mut before = found.passes[..index].iter();
            if before.any(|other| other.is_of(operation, shape, element)) {
                let name = element.name();
                return Err(format(format!(
                    "it has {operation} {name} of {shape} twice"
                )));
            }
            tuning
                .check(limits)
                .map_err(|source| TuningsError::Limits {
                    operation,
                    element,
                    shape,
                    source,
                })?;
        }
        Ok(Self {
            found: Arc::new(found),
        })
    }

    /// The bytes of a file.
    #[allow(
        clippy::missing_panics_doc,
        reason = "plain data can always be written"
    )]
    pub fn to_json(&self) -> Vec<u8> {
        let mut json =
            serde_json::to_vec_pretty(&*self.found).expect("plain data with text for keys");
        json.push(b'\n');
        json
    }
}

#[cfg(not(target_family = "wasm"))]
mod file {
    use std::io::Write;
    use std::path::Path;

    use super::{Tunings, TuningsError};
    use crate::kernels::Kernels;
    use crate::replace::replace;
    use crate::tuning::TuningKey;

    fn io_error(path: &Path, source: std::io::Error) -> TuningsError {
        TuningsError::Io {
            path: path.display().to_string(),
            source,
        }
    }

    impl Tunings {
        /// Reads a file of tunings for a device. Each is checked against the adapter and the limits of the device.
        ///
        /// # Errors
        /// [`TuningsError::Io`], and as [`Tunings::from_json`].
        pub fn load(path: impl AsRef<Path>, kernels: &Kernels) -> Result<Self, TuningsError> {
            let path = path.as_ref();
            let bytes = std::fs::read(path).map_err(|source| io_error(path, source))?;
            let key = TuningKey::new(&kernels.device().adapter_info());
            Self::from_json(&bytes, &key, kernels.limits())
        }

        /// What `wgpu-batchnorm tune` has saved for the adapter of a device ([`TuningKey::path`]); `None` where there is
        /// no such file.
        ///
        /// # Errors
        /// As [`Tunings::load`].
        pub fn saved(kernels: &Kernels) -> Result<Option<Self>, TuningsError> {
            let key = TuningKey::new(&kernels.device().adapter_info());
            let Some(path) = key.path() else {
                return Ok(None);
            };
            match Self::load(path, kernels) {
                Err(TuningsError::Io { source, .. })
                    if source.kind() == std::io::ErrorKind::NotFound =>
                {
                    Ok(None)
                }
                loaded => loaded.map(Some),
            }
        }

        /// Writes a file. The bytes go to a temporary file in the same folder, which is synchronized with the disk and then
        /// takes the place of the old file. Makes no folder.
        ///
        /// # Errors
        /// [`TuningsError::Io`].
        pub fn save(&self, path: impl AsRef<Path>) -> Result<(), TuningsError> {
            let (path, bytes) = (path.as_ref(), self.to_json());
            replace(path, |file| file.write_all(&bytes)).map_err(|source| io_error(path, source))
        }
    }
}

/// How many doublings lie between two shapes that are not empty.
fn distance(a: Shape, b: Shape) -> f64 {
    let doublings = |a: u64, b: u64| (a as f64 / b as f64).log2().abs();
    doublings(a.outer(), b.outer())
        + doublings(a.channels(), b.channels())
        + doublings(a.inner(), b.inner())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> TuningKey {
        TuningKey {
            adapter: "adapter".into(),
            backend: "vulkan".into(),
            driver: "driver".into(),
            driver_info: "1".into(),
            version: "0.1.0".into(),
        }
    }

    fn shape((outer, channels, inner): (u64, u64, u64)) -> Shape {
        Shape::from_geometry(outer, channels, inner).expect("small")
    }

    /// A training pass of f32, told by its workgroup size.
    fn pass(of: (u64, u64, u64), workgroup_size: u32) -> TunedPass {
        TunedPass {
            operation: Operation::Training,
            element: Element::F32,
            shape: shape(of),
            tuning: Tuning {
                workgroup_size,
                ..Tuning::for_limits(&Limits::default())
            },
            gain: 1.5,
            copy_fraction: Some(0.75),
        }
    }

    fn tunings(passes: impl IntoIterator<Item = TunedPass>) -> Tunings {
        let mut tunings = Tunings::new(key());
        for pass in passes {
            tunings.insert(pass);
        }
        tunings
    }

    fn read(tunings: &Tunings) -> Result<Tunings, TuningsError> {
        Tunings::from_json(&tunings.to_json(), &key(), &Limits::default())
    }

    #[test]
    fn a_file_reads_back_as_written() {
        let interrupted = TunedPass {
            operation: Operation::Backward,
            element: Element::Bf16,
            copy_fraction: None,
            tuning: Tuning {
                cache_bytes: u64::MAX,
                ..Tuning::for_limits(&Limits::default())
            },
            ..pass((4096, 1024, 1), 8)
        };
        let tunings = tunings([pass((8, 64, 3136), 64), interrupted]);
        let back = read(&tunings).expect("a file");
        assert_eq!(back, tunings);
        assert!(back.passes()[0].is_finished() && !back.passes()[1].is_finished());
        let empty = Tunings::new(key());
        assert_eq!(read(&empty).expect("a file"), empty);
    }

    #[test]
    fn a_pass_is_replaced_by_a_later_one_and_clones_are_not() {
        let mut tunings = tunings([pass((8, 64, 49), 64), pass((8, 32, 49), 32)]);
        let before = tunings.clone();
        tunings.insert(pass((8, 64, 49), 16));
        let sizes = |tunings: &Tunings| -> Vec<u32> {
            let passes = tunings.passes().iter();
            passes.map(|pass| pass.tuning.workgroup_size).collect()
        };
        assert_eq!(sizes(&tunings), [16, 32]);
        assert_eq!(sizes(&before), [64, 32]);
    }

    #[test]
    fn what_is_no_file_of_tunings_says_why() {
        let good = tunings([pass((8, 64, 49), 64)]);
        let good = String::from_utf8(good.to_json()).expect("UTF-8");
        let fails = |text: &str| {
            let read = Tunings::from_json(text.as_bytes(), &key(), &Limits::default());
            read.expect_err("a wrong file").to_string()
        };
        for (from, to, said) in [
            ("{", "", "invalid type"),
            ("\"key\"", "\"keys\"", "missing field `key`"),
            ("\"passes\"", "\"rows\"", "unknown field `rows`"),
            ("\"block\"", "\"blocks\"", "unknown field `blocks`"),
            ("\"gain\": 1.5,", "", "missing field `gain`"),
            ("\"gain\": 1.5,", "\"gain\": -1,", "pass 0 has a gain"),
            (
                "\"training\"",
                "\"trainings\"",
                "unknown variant `trainings`",
            ),
            ("\"f32\"", "\"f64\"", "unknown variant `f64`"),
            ("\"outer\": 8", "\"outer\": -8", "-8"),
            (
                "\"outer\": 8",
                "\"outer\": 18446744073709551615",
                "overflow",
            ),
        ] {
            assert!(good.contains(from), "{from}");
            let error = fails(&good.replacen(from, to, 1));
            assert!(error.contains(said), "{from}: {error}");
            assert!(error.starts_with("not the tunings of"), "{error}");
        }
        assert!(fails("").contains("EOF"));
        assert!(fails("[1]").contains("not the tunings"));
        let (head, passes) = good.split_once('[').expect("a list");
        let (pass, tail) = passes.rsplit_once(']').expect("a list");
        let twice = fails(&format!("{head}[{pass},{pass}]{tail}"));
        assert!(
            twice.contains("training f32 of (8, 64, 49) twice"),
            "{twice}"
        );
    }

    #[test]
    fn tunings_are_of_one_adapter_driver_and_version() {
        let file = tunings([pass((8, 64, 49), 64)]).to_json();
        let changes: [fn(&mut TuningKey); 5] = [
            |key| key.adapter.push('2'),
            |key| key.backend = "gl".into(),
            |key| key.driver.clear(),
            |key| key.driver_info = "2".into(),
            |key| key.version = "0.2.0".into(),
        ];
        for change in changes {
            let mut other = key();
            change(&mut other);
            let error = Tunings::from_json(&file, &other, &Limits::default());
            let Err(TuningsError::Key { found, needed }) = error else {
                panic!("{error:?}");
            };
            assert_eq!((*found, *needed), (key(), other));
        }
        // Also where the rest is another version's.
        let text = String::from_utf8(file).expect("UTF-8");
        let text = text
            .replace("0.1.0", "0.9.0")
            .replace("\"block\"", "\"blocks\"");
        let error = Tunings::from_json(text.as_bytes(), &key(), &Limits::default());
        assert!(matches!(error, Err(TuningsError::Key { .. })), "{error:?}");
    }

    #[test]
    fn a_tuning_beyond_the_limits_is_an_error_and_names_its_pass() {
        let error = read(&tunings([pass((8, 64, 49), 64), pass((8, 32, 49), 512)]));
        let error = error.expect_err("too many lanes");
        assert_eq!(
            error.to_string(),
            "the tuning of training f32 of (8, 32, 49) does not fit this device"
        );
        let TuningsError::Limits { source, .. } = error else {
            panic!("{error:?}");
        };
        assert!(matches!(
            source,
            PlanError::Tuning {
                what: "workgroup_size",
                given: 512,
                ..
            }
        ));
    }

    #[test]
    fn the_nearest_shape_that_is_walked_alike_lends_its_tuning() {
        let tunings = tunings([
            pass((8, 64, 3136), 1),
            pass((8, 512, 784), 2),
            pass((8, 512, 49), 4),
            pass((4096, 1024, 1), 8),
            pass((178, 13, 1), 16),
            TunedPass {
                element: Element::F16,
                ..pass((64, 64, 3136), 32)
            },
            TunedPass {
                operation: Operation::Backward,
                ..pass((64, 64, 3136), 64)
            },
        ]);
        let found = |of| {
            let pass = tunings.get(Operation::Training, shape(of), Element::F32);
            pass.map(|pass| pass.tuning.workgroup_size)
        };
        for (of, expected) in [
            ((8, 64, 3136), Some(1)),
            // 3 doublings, and one more value
            ((64, 64, 3136), Some(1)),
            ((64, 65, 3136), None),
            // (8, 64, 3136) is 3 away, (8, 512, 784) 2
            ((8, 256, 1568), Some(2)),
            // not of whole accesses
            ((8, 512, 52), None),
            ((8, 512, 51), Some(4)),
            // channels last
            ((2048, 1024, 1), Some(8)),
            ((178, 16, 1), None),
            ((178, 15, 1), Some(16)),
            ((8, 64, 1), None),
            ((0, 64, 3136), None),
            ((8, 0, 3136), None),
        ] {
            assert_eq!(found(of), expected, "{of:?}");
        }
        let halves = tunings.get(Operation::Training, shape((32, 64, 3136)), Element::F16);
        assert_eq!(halves.map(|pass| pass.tuning.workgroup_size), Some(32));
        assert_eq!(
            tunings.get(Operation::Inference, shape((8, 64, 3136)), Element::F32),
            None
        );
    }

    #[test]
    fn files_are_saved_whole_and_missing_folders_are_errors() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("tunings.json");
        let first = tunings([pass((8, 64, 49), 64)]);
        first.save(&path).expect("writable");
        tunings([]).save(&path).expect("writable");
        let bytes = std::fs::read(&path).expect("readable");
        let back = Tunings::from_json(&bytes, &key(), &Limits::default());
        assert_eq!(back.expect("a file").passes(), []);
        assert_eq!(
            std::fs::read_dir(folder.path()).expect("a folder").count(),
            1
        );
        let nowhere = folder.path().join("no").join("tunings.json");
        let error = first.save(&nowhere).expect_err("no such folder");
        assert!(
            matches!(&error, TuningsError::Io { path, .. } if path.contains("no")),
            "{error:?}"
        );
    }
}
