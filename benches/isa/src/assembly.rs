//! What can be told from a listing of machine code: its innermost loops, and what a turn of each does.
//!
//! The listing is that of Mesa's AMD compiler: a label `BB7:` before each block, an instruction on each line, its encoding
//! after a semicolon.

use serde::{Deserialize, Serialize};

/// What one turn of an innermost loop executes at most. Both sides of a branch count.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Loop {
    /// Vector instructions that compute. Two that are issued as one count as one.
    pub vector: u32,
    /// Scalar instructions, waits and branches among them.
    pub scalar: u32,
    /// Bytes of each vector load, in order.
    pub loads: Vec<u32>,
    /// Bytes of each vector store, in order.
    pub stores: Vec<u32>,
    /// Loads that were issued and not waited for, at most.
    pub in_flight: u32,
}

/// The innermost loops of a listing, in order.
pub fn innermost_loops(listing: &str) -> Vec<Loop> {
    let blocks = blocks(listing);
    let number = |label: &str| blocks.iter().position(|block| block.label == label);
    // from the block that a branch goes back to, to the block that branches
    let mut loops: Vec<(usize, usize)> = vec![];
    for (from, block) in blocks.iter().enumerate() {
        for target in block.instructions.iter().filter_map(|i| branch_target(i)) {
            match number(target) {
                Some(to) if to <= from => match loops.iter_mut().find(|(head, _)| *head == to) {
                    Some((_, end)) => *end = from.max(*end),
                    None => loops.push((to, from)),
                },
                _ => {}
            }
        }
    }
    loops.sort_unstable();
    let holds_another = |&(head, end): &(usize, usize)| {
        loops
            .iter()
            .any(|&(h, e)| (h, e) != (head, end) && head <= h && e <= end)
    };
    loops
        .iter()
        .filter(|range| !holds_another(range))
        .map(|&(head, end)| turn(&blocks[head..=end]))
        .collect()
}

/// All of a listing as if it were one turn.
pub fn whole(listing: &str) -> Loop {
    turn(&blocks(listing))
}

struct Block<'a> {
    label: &'a str,
    instructions: Vec<&'a str>,
}

fn blocks(listing: &str) -> Vec<Block<'_>> {
    let mut blocks: Vec<Block<'_>> = vec![];
    for line in listing.lines() {
        let line = line.trim();
        if let Some(label) = line.strip_suffix(':').filter(|l| l.starts_with("BB")) {
            blocks.push(Block {
                label,
                instructions: vec![],
            });
        } else if let (Some((instruction, _)), Some(block)) =
            (line.split_once(';'), blocks.last_mut())
        {
            block.instructions.push(instruction.trim());
        }
    }
    blocks
}

fn branch_target(instruction: &str) -> Option<&str> {
    let mut words = instruction.split_whitespace();
    let name = words.next()?;
    let is_branch = name == "s_branch" || name.starts_with("s_cbranch");
    words.next().filter(|_| is_branch)
}

fn turn(blocks: &[Block<'_>]) -> Loop {
    let mut turn = Loop::default();
    let mut waiting = 0;
    for instruction in blocks.iter().flat_map(|block| &block.instructions) {
        let name = instruction.split_whitespace().next().unwrap_or_default();
        match memory(name) {
            Some((Direction::Load, bytes)) => {
                turn.loads.push(bytes);
                waiting += 1;
                turn.in_flight = turn.in_flight.max(waiting);
            }
            Some((Direction::Store, bytes)) => turn.stores.push(bytes),
            None if name.starts_with("v_") => turn.vector += 1,
            None if name.starts_with("s_") => turn.scalar += 1,
            None => {}
        }
        if name == "s_waitcnt"
            && let Some((_, count)) = instruction.split_once("vmcnt(")
        {
            let digits = count.split(')').next().unwrap_or_default();
            waiting = waiting.min(digits.parse().unwrap_or(0));
        }
    }
    turn
}

enum Direction {
    Load,
    Store,
}

/// Whether an instruction loads or stores vector memory, and how many bytes for each lane.
fn memory(name: &str) -> Option<(Direction, u32)> {
    let (space, rest) = name.split_once('_')?;
    if !matches!(space, "buffer" | "global" | "flat" | "scratch") {
        return None;
    }
    let (direction, kind) = rest.split_once('_')?;
    let direction = match direction {
        "load" => Direction::Load,
        "store" => Direction::Store,
        _ => return None,
    };
    // RDNA3 says how many bits, others how many words
    let bytes = match kind {
        "dword" | "b32" => 4,
        "dwordx2" | "b64" => 8,
        "dwordx3" | "b96" => 12,
        "dwordx4" | "b128" => 16,
        _ if kind.contains("short") || kind.contains("16") => 2,
        _ => 1,
    };
    Some((direction, bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A loop that copies two vec4 a turn, and a branch for what is left, as compiled for RDNA3.
    const RDNA3: &str = include_str!("testdata/copy_navi31.txt");
    /// Blocks in a loop, and in it a loop over four rows a turn and one over those that are left, as compiled for GCN5.
    const GCN5: &str = include_str!("testdata/statistics_vega10.txt");

    #[test]
    fn a_copy_has_one_loop() {
        let loops = innermost_loops(RDNA3);
        assert_eq!(loops.len(), 1, "{loops:?}");
        assert_eq!(
            (&loops[0].loads[..], &loops[0].stores[..]),
            (&[16; 2][..], &[16; 2][..])
        );
        assert_eq!(loops[0].in_flight, 2);
        assert_eq!(whole(RDNA3).loads, [16; 3]);
    }

    #[test]
    fn only_innermost_loops_count() {
        let loops = innermost_loops(GCN5);
        assert_eq!(loops.len(), 2, "{loops:?}");
        assert_eq!(loops[0].loads, [16; 4]);
        assert_eq!(loops[1].loads, [16]);
        assert!(loops.iter().all(|turn| turn.stores.is_empty()));
    }

    #[test]
    fn two_instructions_issued_as_one_count_as_one() {
        let listing = "BB0:\n\
            \tv_dual_mul_f32 v0, v1, v2 :: v_dual_add_f32 v3, v4, v5 ; c8c40102 00000000\n\
            \ts_cbranch_scc1 BB0                                     ; bfa2fffd\n";
        let loops = innermost_loops(listing);
        assert_eq!((loops[0].vector, loops[0].scalar), (1, 1));
    }

    #[test]
    fn a_load_is_in_flight_until_it_is_waited_for() {
        let listing = |wait: &str| {
            format!(
                "BB1:\n\
                \tbuffer_load_dwordx4 v[0:3], v8, s[0:3], 0 offen ; 00000000\n\
                \t{wait} ; 00000000\n\
                \tbuffer_load_dwordx4 v[4:7], v9, s[0:3], 0 offen ; 00000000\n\
                \ts_waitcnt vmcnt(0) lgkmcnt(0) ; 00000000\n\
                \ts_branch BB1 ; 00000000\n"
            )
        };
        for (wait, in_flight) in [
            ("s_nop 0", 2),
            ("s_waitcnt vmcnt(1)", 2),
            ("s_waitcnt vmcnt(0)", 1),
        ] {
            assert_eq!(
                innermost_loops(&listing(wait))[0].in_flight,
                in_flight,
                "{wait}"
            );
        }
    }

    #[test]
    fn a_listing_without_a_branch_back_has_no_loop() {
        let listing =
            "BB0:\n\ts_cbranch_scc1 BB2 ; bfa2fffd\nBB1:\n\ts_nop 0 ; 00\nBB2:\n\ts_endpgm ; 00\n";
        assert_eq!(innermost_loops(listing), []);
    }

    #[test]
    fn widths_are_read_in_the_words_of_every_family() {
        for (name, bytes) in [
            ("buffer_load_b128", 16),
            ("buffer_load_dwordx4", 16),
            ("global_load_dwordx2", 8),
            ("buffer_load_b32", 4),
            ("buffer_load_dword", 4),
            ("buffer_load_ushort", 2),
            ("buffer_load_d16_b16", 2),
            ("buffer_load_ubyte", 1),
        ] {
            assert!(
                matches!(memory(name), Some((Direction::Load, b)) if b == bytes),
                "{name}"
            );
        }
        assert!(memory("s_buffer_load_b128").is_none());
        assert!(memory("ds_load_b128").is_none());
    }
}
