//! Which tensors of a dispatch share a binding.
//!
//! A binding starts at a multiple of the device's alignment, so that tensors which stand close together in one buffer
//! have overlapping bindings. WebGPU forbids that where one of them is written: such tensors share one binding, each
//! with a start of its own in it. In-place is the case of two tensors with the same start.

use std::ops::Range;

use crate::kernels::{Bound, Slot};
use crate::plan::Role;

/// A tensor that a dispatch needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Want {
    pub role: Role,
    /// The number of its buffer.
    pub buffer: usize,
    /// Its bytes.
    pub bytes: Range<u64>,
    pub writes: bool,
    /// Words in one element of its slot.
    pub width: u64,
    /// Accesses in one of them: 2 where values are halves and accessed one by one.
    pub per_element: u64,
    /// Whether narrower access serves too.
    pub may_narrow: bool,
}

/// A slot, the bytes of a buffer that it binds, and where its tensors start in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Binding {
    pub slot: Slot,
    pub buffer: usize,
    pub bytes: Range<u64>,
    /// Role and start, in accesses.
    pub tensors: Vec<(Role, u32)>,
}

/// Why tensors cannot be bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Conflict {
    /// Neighbours that are accessed by different widths: everything must be accessed value by value.
    Widths,
    /// A shared binding would be too long.
    TooLong {
        first: Role,
        second: Role,
        needed: u64,
    },
}

/// Distributes tensors over bindings.
pub(super) fn assign(
    wants: &[Want],
    alignment: u64,
    binding_bytes: u64,
) -> Result<Vec<Binding>, Conflict> {
    let mut bindings: Vec<Binding> = vec![];
    let mut sorted: Vec<&Want> = wants.iter().collect();
    sorted.sort_by_key(|want| (want.buffer, want.bytes.start));
    for neighbours in sorted.chunk_by(|a, b| a.buffer == b.buffer) {
        let read_write = neighbours.iter().any(|want| want.writes);
        let mut open: Vec<&Want> = vec![];
        let mut end = 0;
        for &want in neighbours {
            let start = want.bytes.start / alignment * alignment;
            let together = open.is_empty() || (read_write && start < end);
            if !together {
                bindings.push(binding(&open, read_write, alignment, binding_bytes)?);
                open.clear();
                end = 0;
            }
            end = end.max(want.bytes.end);
            open.push(want);
        }
        bindings.push(binding(&open, read_write, alignment, binding_bytes)?);
    }
    Ok(bindings)
}

fn binding(
    tensors: &[&Want],
    read_write: bool,
    alignment: u64,
    binding_bytes: u64,
) -> Result<Binding, Conflict> {
    let first = tensors[0];
    let narrowest = tensors.iter().map(|want| want.width).min();
    let width = narrowest.expect("a binding has a tensor");
    if tensors
        .iter()
        .any(|want| want.width != width && !want.may_narrow)
    {
        return Err(Conflict::Widths);
    }
    let start = first.bytes.start / alignment * alignment;
    let last = tensors
        .iter()
        .max_by_key(|want| want.bytes.end)
        .expect("a binding has a tensor");
    let bytes = start..last.bytes.end.next_multiple_of(4);
    if bytes.end - bytes.start > binding_bytes {
        return Err(Conflict::TooLong {
            first: first.role,
            second: last.role,
            needed: bytes.end - bytes.start,
        });
    }
    Ok(Binding {
        slot: Slot { width, read_write },
        buffer: first.buffer,
        tensors: tensors
            .iter()
            .map(|want| {
                let accesses = (want.bytes.start - start) * want.per_element / (4 * width);
                (want.role, accesses as u32)
            })
            .collect(),
        bytes,
    })
}

/// The slots of bindings, and which tensor is in which: what the text of a kernel is made from.
pub(super) fn layout(bindings: &[Binding]) -> (Vec<Slot>, Vec<Bound>) {
    let slots = bindings.iter().map(|binding| binding.slot).collect();
    let mut bound: Vec<_> = bindings
        .iter()
        .enumerate()
        .flat_map(|(slot, binding)| {
            let roles = binding.tensors.iter().map(|&(role, _)| role);
            roles.map(move |role| Bound { role, slot })
        })
        .collect();
    bound.sort_by_key(|bound| bound.role);
    (slots, bound)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn want(role: Role, buffer: usize, bytes: Range<u64>, writes: bool, width: u64) -> Want {
        Want {
            role,
            buffer,
            bytes,
            writes,
            width,
            per_element: 1,
            may_narrow: !matches!(role, Role::X | Role::Y | Role::Partials),
        }
    }

    #[test]
    fn tensors_apart_have_bindings_of_their_own() {
        let wants = [
            want(Role::X, 0, 0..1024, false, 4),
            want(Role::Y, 0, 1024..2048, true, 4),
            want(Role::Gamma, 1, 4..44, false, 1),
            want(Role::Beta, 1, 44..84, false, 1),
        ];
        let bindings = assign(&wants, 256, 1 << 20).expect("fits");
        assert_eq!(bindings.len(), 4);
        // usage is tracked per buffer: x shares y's
        assert!(bindings[0].slot.read_write && bindings[1].slot.read_write);
        // read twice, bound twice
        assert!(!bindings[2].slot.read_write);
        assert_eq!(bindings[3].bytes, 0..84);
        assert_eq!(bindings[3].tensors, [(Role::Beta, 11)]);
    }

    #[test]
    fn close_neighbours_of_a_written_tensor_share_its_binding() {
        let wants = [
            want(Role::X, 0, 300..900, false, 1),
            want(Role::Y, 0, 900..1500, true, 1),
            want(Role::Gamma, 0, 2048..2088, false, 1),
        ];
        let bindings = assign(&wants, 256, 1 << 20).expect("fits");
        assert_eq!(bindings.len(), 2);
        assert_eq!(bindings[0].bytes, 256..1500);
        assert_eq!(bindings[0].tensors, [(Role::X, 11), (Role::Y, 161)]);
        let long = assign(&wants, 256, 1000);
        let (first, second, needed) = (Role::X, Role::Y, 1244);
        assert_eq!(
            long,
            Err(Conflict::TooLong {
                first,
                second,
                needed
            })
        );
    }

    #[test]
    fn neighbours_of_different_width_go_value_by_value() {
        let wants = |width| {
            [
                want(Role::Y, 0, 0..64, true, width),
                want(Role::Gamma, 0, 64..80, false, 1),
            ]
        };
        assert_eq!(assign(&wants(4), 256, 1 << 20), Err(Conflict::Widths));
        assert_eq!(assign(&wants(1), 256, 1 << 20).map(|b| b.len()), Ok(1));
    }

    #[test]
    fn in_place_is_one_binding() {
        let wants = [
            want(Role::X, 0, 256..512, false, 4),
            want(Role::Y, 0, 256..512, true, 4),
        ];
        let bindings = assign(&wants, 256, 1 << 20).expect("fits");
        assert_eq!(bindings.len(), 1);
        assert_eq!(bindings[0].tensors, [(Role::X, 0), (Role::Y, 0)]);
    }
}
