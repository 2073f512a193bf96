//! Words of packed per-channel vectors.

/// The index of a unit's word `k` in a packed vector, in elements of the slot.
fn vector_index(name: &str, width: u64, channels: u64, vector: &str, k: u64) -> String {
    if width == channels {
        let stride = if width == 1 {
            "params.vector_stride".to_owned()
        } else {
            format!("(params.vector_stride / {width}u)")
        };
        format!("params.{name} + {vector} * {stride} + group")
    } else {
        format!("params.{name} + {vector} * params.vector_stride + group * {channels}u + {k}u")
    }
}

pub(super) fn load_vector(
    name: &str,
    (slot, width): (usize, u64),
    channels: u64,
    vector: &str,
) -> String {
    let word = |k| {
        let index = vector_index(name, width, channels, vector, k);
        format!("slot{slot}[{index}]")
    };
    if width == channels {
        word(0)
    } else {
        let words: Vec<_> = (0..channels).map(word).collect();
        format!("U({})", words.join(", "))
    }
}

pub(super) fn store_vector(
    name: &str,
    (slot, width): (usize, u64),
    channels: u64,
    vector: &str,
    bits: &str,
) -> String {
    let word = |k: u64| vector_index(name, width, channels, vector, k);
    if width == channels {
        format!("slot{slot}[{}] = {bits};", word(0))
    } else {
        let stores = ["x", "y", "z", "w"]
            .iter()
            .zip(0..channels)
            .map(|(part, k)| format!("slot{slot}[{}] = bits.{part};", word(k)));
        format!(
            "let bits = {bits}; {}",
            stores.collect::<Vec<_>>().join(" ")
        )
    }
}
