//! Reading a file that may be anything: what its header says comes first, and no more is read than belongs to a case.

use std::io::Read;

use wgpu_batchnorm::{Extents, header_bytes};

use super::{CaseFileError, check_tensor_names};

/// The bytes of the length of the header.
const LENGTH_BYTES: u64 = 8;
/// The longest header of a case: ten times what all keys and a page of text take.
const MOST_HEADER_BYTES: u64 = 1 << 20;

/// Reads the bytes of a file as far as they are those of a case: its tensors have a case's names, and memory is taken for
/// bytes that are there, not for those that a header promises. What is missing or too much shows when the bytes are parsed.
pub fn read(mut source: impl Read) -> Result<Vec<u8>, CaseFileError> {
    let mut bytes = Vec::new();
    let mut extend = |bytes: &mut Vec<u8>, len: u64| (&mut source).take(len).read_to_end(bytes);
    extend(&mut bytes, LENGTH_BYTES)?;
    let header = header_bytes(&bytes, MOST_HEADER_BYTES)?;
    if (extend(&mut bytes, header)? as u64) < header {
        return Ok(bytes);
    }
    let extents = Extents::parse(&bytes[LENGTH_BYTES as usize..])?;
    check_tensor_names(extents.names())?;
    // One byte more tells a file that goes on.
    extend(&mut bytes, extents.data_bytes().saturating_add(1))?;
    Ok(bytes)
}
