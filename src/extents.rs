//! A guard before the `safetensors` crate reads a file that may lie.

use thiserror::Error;

/// A tensor of a `.safetensors` file that ends after the file.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("not a whole .safetensors file: {tensor} ends at byte {end} of {len}")]
pub struct ExtentError {
    /// Which tensor.
    pub tensor: String,
    /// Where its values are said to end.
    pub end: u64,
    /// The file's length.
    pub len: usize,
}

/// Whether the tensors of a `.safetensors` file end within it. The `safetensors` crate adds their offsets up before it
/// compares them with the file: sums near 2^64 would wrap. Not part
/// of the API.
///
/// # Errors
/// Where one does not.
pub fn check_extents(bytes: &[u8]) -> Result<(), ExtentError> {
    let header = bytes.first_chunk().and_then(|len| {
        let end = u64::from_le_bytes(*len).checked_add(8)?;
        bytes.get(8..usize::try_from(end).ok()?)
    });
    // What is not a header is reported by the crate itself.
    let Some(Ok(serde_json::Value::Object(header))) = header.map(serde_json::from_slice) else {
        return Ok(());
    };
    for (tensor, entry) in header {
        let end = entry["data_offsets"][1].as_u64().unwrap_or(0);
        if end > bytes.len() as u64 {
            return Err(ExtentError {
                tensor,
                end,
                len: bytes.len(),
            });
        }
    }
    Ok(())
}
