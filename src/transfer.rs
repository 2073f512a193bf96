//! Values between host and device, for the conveniences around the core: upload at creation, read back through staging.

use std::future::{Future, poll_fn};
use std::marker::PhantomData;
use std::pin::pin;
use std::task::Poll;

use bytemuck::{NoUninit, Pod};
use futures_intrusive::channel::shared::{OneshotReceiver, oneshot_channel};
use thiserror::Error;

use crate::element::Element;
use crate::tensor::Tensor;

/// A buffer that could not be created, or values that could not be read back.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TransferError {
    /// More bytes than a buffer of this device may have.
    #[error("{given} bytes are asked for, a buffer of this device holds {limit}")]
    Size {
        /// Bytes asked for.
        given: u64,
        /// The device's `max_buffer_size`.
        limit: u64,
    },
    /// A tensor that ends after its buffer.
    #[error("the tensor ends at byte {end}, its buffer has {size}")]
    Range {
        /// One past the last byte of the tensor's last word.
        end: u64,
        /// The buffer's size.
        size: u64,
    },
    /// A byte offset that no value can start at.
    #[error("the tensor starts at byte {given}: a multiple of {needed} is needed")]
    Offset {
        /// The offset given.
        given: u64,
        /// What it must be a multiple of.
        needed: u64,
    },
    /// A buffer that cannot be copied from.
    #[error("the tensor is in a buffer with the usages {given:?}: COPY_SRC is needed")]
    Usage {
        /// The usages of the buffer.
        given: wgpu::BufferUsages,
    },
    /// Values of another size than those of a tensor of halves.
    #[error(
        "the tensor is stored as {}, values of {} bytes: they cannot be read as values of {value} bytes",
        element.name(),
        element.bytes()
    )]
    Element {
        /// How the tensor is stored.
        element: Element,
        /// Bytes of one value that was asked for.
        value: usize,
    },
    /// A tensor that is not a whole number of the values asked for.
    #[error("the tensor has {bytes} bytes, which is no whole number of values of {value} bytes")]
    Value {
        /// Bytes of the tensor.
        bytes: u64,
        /// Bytes of one value.
        value: usize,
    },
    /// The buffer could not be mapped: the device is lost or out of memory.
    #[error("the buffer could not be mapped (is the device lost, or out of memory?): {message}")]
    Map {
        /// What wgpu said.
        message: String,
    },
    /// The device could not be waited for.
    #[error("waiting for the device failed")]
    Poll(#[from] wgpu::PollError),
}

impl TransferError {
    fn map(error: impl std::fmt::Display) -> Self {
        Self::Map {
            message: error.to_string(),
        }
    }
}

/// What every buffer made here is for: kernels, copies from it and to it.
const USAGES: wgpu::BufferUsages = wgpu::BufferUsages::STORAGE
    .union(wgpu::BufferUsages::COPY_SRC)
    .union(wgpu::BufferUsages::COPY_DST);

pub(crate) fn check_size(device: &wgpu::Device, bytes: u64) -> Result<(), TransferError> {
    let limit = device.limits().max_buffer_size;
    if bytes > limit {
        return Err(TransferError::Size {
            given: bytes,
            limit,
        });
    }
    Ok(())
}

/// A storage buffer of `values` zeros of 4 bytes. Submits nothing: wgpu clears it before its first use.
pub(crate) fn zeros(
    device: &wgpu::Device,
    values: u64,
    label: &str,
) -> Result<wgpu::Buffer, TransferError> {
    let size = values.saturating_mul(4);
    check_size(device, size)?;
    Ok(device.create_buffer(&wgpu::BufferDescriptor {
        label: Some(label),
        size,
        usage: USAGES,
        mapped_at_creation: false,
    }))
}

/// A storage buffer with these values, padded with zeros to a multiple of 4 bytes. Submits nothing: the buffer is mapped
/// at its creation.
pub(crate) fn upload<T: NoUninit>(
    device: &wgpu::Device,
    values: &[T],
    label: &str,
) -> Result<wgpu::Buffer, TransferError> {
    let bytes: &[u8] = bytemuck::cast_slice(values);
    let size = (bytes.len() as u64).next_multiple_of(wgpu::COPY_BUFFER_ALIGNMENT);
    check_size(device, size)?;
    let buffer = device.create_buffer(&wgpu::BufferDescriptor {
        label: Some(label),
        size,
        usage: USAGES,
        // No range of an empty buffer can be mapped.
        mapped_at_creation: size > 0,
    });
    if size > 0 {
        let mut view = buffer
            .get_mapped_range_mut(..)
            .map_err(TransferError::map)?;
        view.slice(..bytes.len()).copy_from_slice(bytes);
        drop(view);
        buffer.unmap();
    }
    Ok(buffer)
}

/// A copy on its way from tensors to the host, as values of type `T`: submitted, not waited for.
pub(crate) struct Readback<T> {
    device: wgpu::Device,
    #[cfg_attr(
        target_family = "wasm",
        expect(dead_code, reason = "no thread may wait in a browser")
    )]
    submission: Option<wgpu::SubmissionIndex>,
    parts: Vec<Part>,
    values: PhantomData<fn() -> T>,
}

/// One tensor's staging buffer; an empty tensor has none.
type Part = Option<Staged>;
type MapResult = Result<(), wgpu::BufferAsyncError>;

/// A tensor's bytes on their way: as many of the buffer as the tensor has, which need not fill its last word.
struct Staged {
    buffer: wgpu::Buffer,
    bytes: u64,
    mapped: OneshotReceiver<MapResult>,
}

impl<T: Pod> Readback<T> {
    /// Creates one staging buffer per tensor, submits the copies and asks for the mappings.
    pub(crate) fn start(
        device: &wgpu::Device,
        queue: &wgpu::Queue,
        tensors: &[Tensor<'_>],
    ) -> Result<Self, TransferError> {
        for tensor in tensors {
            check_source::<T>(tensor)?;
        }
        let staging: Vec<Option<wgpu::Buffer>> = tensors
            .iter()
            .map(|tensor| {
                (!tensor.is_empty()).then(|| {
                    device.create_buffer(&wgpu::BufferDescriptor {
                        label: Some("read back"),
                        size: tensor.bytes().next_multiple_of(wgpu::COPY_BUFFER_ALIGNMENT),
                        usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
                        mapped_at_creation: false,
                    })
                })
            })
            .collect();
        let submission = staging.iter().any(Option::is_some).then(|| {
            let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor {
                label: Some("read back"),
            });
            for (tensor, staging) in tensors.iter().zip(&staging) {
                if let Some(staging) = staging {
                    encoder.copy_buffer_to_buffer(
                        tensor.buffer(),
                        tensor.offset(),
                        staging,
                        0,
                        Some(staging.size()),
                    );
                }
            }
            queue.submit([encoder.finish()])
        });
        let parts = staging
            .into_iter()
            .zip(tensors)
            .map(|(staging, tensor)| {
                staging.map(|buffer| {
                    let (sender, mapped) = oneshot_channel();
                    buffer.map_async(wgpu::MapMode::Read, .., move |result| {
                        // Sending fails only where the receiver is gone: nobody waits any more.
                        let _ = sender.send(result);
                    });
                    Staged {
                        buffer,
                        bytes: tensor.bytes(),
                        mapped,
                    }
                })
            })
            .collect();
        Ok(Self {
            device: device.clone(),
            submission,
            parts,
            values: PhantomData,
        })
    }

    /// The bytes of each tensor as values. Natively a thread waits for the copies, so that nothing keeps the executor busy.
    pub(crate) async fn finish(self) -> Result<Vec<Vec<T>>, TransferError> {
        #[cfg(not(target_family = "wasm"))]
        if let Some(submission) = self.submission.clone() {
            done(&self.device, submission).await?;
        }
        let mut values = Vec::with_capacity(self.parts.len());
        for part in &self.parts {
            values.push(match part {
                Some(staged) => {
                    mapped(&self.device, &staged.mapped).await?;
                    take(staged)?
                }
                None => Vec::new(),
            });
        }
        Ok(values)
    }

    /// The bytes of each tensor as values; blocks the thread until the copy is done.
    #[cfg(not(target_family = "wasm"))]
    pub(crate) fn wait(mut self) -> Result<Vec<Vec<T>>, TransferError> {
        if let Some(submission) = self.submission.take() {
            self.device.poll(until(submission))?;
        }
        pollster::block_on(self.finish())
    }
}

/// Whether a tensor can be copied from, and is a whole number of `T`s.
fn check_source<T>(tensor: &Tensor<'_>) -> Result<(), TransferError> {
    let (offset, size) = (tensor.offset(), tensor.buffer().size());
    if offset % wgpu::COPY_BUFFER_ALIGNMENT != 0 {
        return Err(TransferError::Offset {
            given: offset,
            needed: wgpu::COPY_BUFFER_ALIGNMENT,
        });
    }
    if tensor.end() > size {
        return Err(TransferError::Range {
            end: tensor.end(),
            size,
        });
    }
    let usages = tensor.buffer().usage();
    if !usages.contains(wgpu::BufferUsages::COPY_SRC) {
        return Err(TransferError::Usage { given: usages });
    }
    let (bytes, value, element) = (tensor.bytes(), size_of::<T>(), tensor.element());
    // What is stored in words of 4 bytes may be counts, vectors or anything else of the caller's.
    if element != Element::F32 && value as u64 != element.bytes() {
        return Err(TransferError::Element { element, value });
    }
    if value == 0 || !bytes.is_multiple_of(value as u64) {
        return Err(TransferError::Value { bytes, value });
    }
    Ok(())
}

#[cfg(not(target_family = "wasm"))]
const fn until(submission: wgpu::SubmissionIndex) -> wgpu::PollType {
    wgpu::PollType::Wait {
        submission_index: Some(submission),
        timeout: None,
    }
}

/// Waits until a submission is done and wgpu has called back, on a thread that ends with it.
#[cfg(not(target_family = "wasm"))]
async fn done(
    device: &wgpu::Device,
    submission: wgpu::SubmissionIndex,
) -> Result<(), TransferError> {
    let (sender, receiver) = oneshot_channel();
    let device = device.clone();
    let wait = move || {
        // Sending fails only where the receiver is gone: nobody waits any more.
        let _ = sender.send(device.poll(until(submission)));
    };
    let thread = std::thread::Builder::new().name("wgpu-batchnorm".into());
    // Where no thread can be had, [`mapped`] polls.
    if thread.spawn(wait).is_ok()
        && let Some(result) = receiver.receive().await
    {
        result?;
    }
    Ok(())
}

/// Waits for the answer to `map_async`.
async fn mapped(
    device: &wgpu::Device,
    receiver: &OneshotReceiver<MapResult>,
) -> Result<(), TransferError> {
    let mut answer = pin!(receiver.receive());
    let answer = poll_fn(|context| {
        if let Poll::Ready(answer) = answer.as_mut().poll(context) {
            return Poll::Ready(Ok(answer));
        }
        // Natively wgpu calls back only out of a poll, and a future that relies on somebody else's would hang where
        // there is none. In a browser the page's own loop calls back, and must be left in peace to do so.
        if cfg!(not(target_family = "wasm")) {
            if let Err(error) = device.poll(wgpu::PollType::Poll) {
                return Poll::Ready(Err(error));
            }
            context.waker().wake_by_ref();
        }
        Poll::Pending
    })
    .await?;
    match answer {
        Some(result) => result.map_err(TransferError::map),
        // wgpu dropped the callback without calling it.
        None => Err(TransferError::map("the device gave no answer")),
    }
}

fn take<T: Pod>(staged: &Staged) -> Result<Vec<T>, TransferError> {
    let buffer = &staged.buffer;
    let view = buffer.get_mapped_range(..).map_err(TransferError::map)?;
    let values = bytemuck::pod_collect_to_vec(&view[..staged.bytes as usize]);
    drop(view);
    buffer.unmap();
    Ok(values)
}
