//! A guard before the `safetensors` crate reads a file that may lie: what is wrong with its header, by name.

use std::collections::{HashMap, HashSet};
use std::fmt;

use safetensors::tensor::Dtype;
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use thiserror::Error;

/// The longest header that the `safetensors` crate reads.
const MOST_BYTES: u64 = 100_000_000;
/// The bytes before the header, which hold its length.
const LENGTH_BYTES: usize = 8;
const METADATA: &str = "__metadata__";

/// A `.safetensors` file whose header is not true of the file.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum HeaderError {
    /// No room for the length of a header.
    #[error("not a whole .safetensors file: {len} bytes do not hold the length of a header")]
    Short {
        /// The file's length.
        len: u64,
    },
    /// A header longer than any file's.
    #[error(
        "not a whole .safetensors file: its header says to have {given} bytes, at most {most} are read"
    )]
    TooLong {
        /// The length that the header says to have.
        given: u64,
        /// The longest that is read.
        most: u64,
    },
    /// A header that ends after the file.
    #[error("not a whole .safetensors file: its header ends at byte {end} of {len}")]
    Truncated {
        /// Where the header ends.
        end: u64,
        /// The file's length.
        len: u64,
    },
    /// A header that is no JSON object, or has a key twice.
    #[error("the header does not parse: {0}")]
    Json(String),
    /// Metadata that is no object of texts.
    #[error("the metadata does not parse: {0}")]
    Metadata(String),
    /// A tensor that is not described by an element type, sizes and offsets.
    #[error("{tensor}: its header does not parse: {reason}")]
    Entry {
        /// Which tensor.
        tensor: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A tensor with more bytes than 64 bits count.
    #[error("{tensor}: the sizes {sizes:?} overflow 64 bits")]
    Overflow {
        /// Which tensor.
        tensor: String,
        /// Its sizes.
        sizes: Vec<u64>,
    },
    /// A tensor whose offsets hold another number of bytes than its sizes and element type need.
    #[error(
        "{tensor}: its offsets {begin} to {end} do not span the {needed} bytes that its sizes need"
    )]
    Span {
        /// Which tensor.
        tensor: String,
        /// Its first byte.
        begin: u64,
        /// The byte after its last.
        end: u64,
        /// The bytes that it needs.
        needed: u64,
    },
    /// Two tensors that share bytes.
    #[error("{first} and {second} overlap")]
    Overlap {
        /// The one that starts first.
        first: String,
        /// The other.
        second: String,
    },
    /// Bytes that belong to no tensor.
    #[error("the bytes {begin} to {end} belong to no tensor")]
    Gap {
        /// The first of them.
        begin: u64,
        /// The byte after the last.
        end: u64,
    },
    /// A tensor that ends after the file.
    #[error("not a whole .safetensors file: {tensor} ends at byte {end} of {len}")]
    Outside {
        /// Which tensor.
        tensor: String,
        /// Where its values are said to end, counted from the end of the header.
        end: u64,
        /// The bytes after the header.
        len: u64,
    },
}

/// The length of the header that the first bytes of a file tell, where it is at most `most`. Not part of the API.
///
/// # Errors
/// [`HeaderError::Short`], [`HeaderError::TooLong`].
pub fn header_bytes(start: &[u8], most: u64) -> Result<u64, HeaderError> {
    let given = match start.first_chunk::<LENGTH_BYTES>() {
        Some(length) => u64::from_le_bytes(*length),
        None => {
            return Err(HeaderError::Short {
                len: start.len() as u64,
            });
        }
    };
    if given > most {
        return Err(HeaderError::TooLong { given, most });
    }
    Ok(given)
}

/// The tensors of a file as its header lists them, in the order of their bytes, one right after the other. Not part of
/// the API.
#[derive(Debug)]
pub struct Extents {
    /// Names, and where each ends.
    ends: Vec<(String, u64)>,
}

impl Extents {
    /// Reads a header.
    ///
    /// # Errors
    /// [`HeaderError`].
    pub fn parse(header: &[u8]) -> Result<Self, HeaderError> {
        let json = |error: serde_json::Error| HeaderError::Json(error.to_string());
        serde_json::from_slice::<UniqueKeys>(header).map_err(json)?;
        let mut entries: HashMap<String, serde_json::Value> =
            serde_json::from_slice(header).map_err(json)?;
        if let Some(metadata) = entries.remove(METADATA) {
            serde_json::from_value::<Option<HashMap<String, String>>>(metadata)
                .map_err(|error| HeaderError::Metadata(error.to_string()))?;
        }
        let mut tensors = entries
            .into_iter()
            .map(|(tensor, entry)| Entry::parse(tensor, entry))
            .collect::<Result<Vec<_>, _>>()?;
        tensors.sort_by(|a, b| (a.offsets, &a.tensor).cmp(&(b.offsets, &b.tensor)));

        let mut ends: Vec<(String, u64)> = Vec::with_capacity(tensors.len());
        for Entry { tensor, offsets } in tensors {
            let (begin, end) = offsets;
            let start = ends.last().map_or(0, |(_, end)| *end);
            if begin > start {
                return Err(HeaderError::Gap {
                    begin: start,
                    end: begin,
                });
            }
            if begin < start {
                let (first, _) = ends.pop().unwrap_or_default();
                return Err(HeaderError::Overlap {
                    first,
                    second: tensor,
                });
            }
            ends.push((tensor, end));
        }
        Ok(Self { ends })
    }

    /// The bytes of all tensors together.
    pub fn data_bytes(&self) -> u64 {
        self.ends.last().map_or(0, |(_, end)| *end)
    }

    /// The names of the tensors.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.ends.iter().map(|(tensor, _)| tensor.as_str())
    }

    /// Whether so many bytes after the header are exactly those of the tensors.
    ///
    /// # Errors
    /// [`HeaderError::Outside`], [`HeaderError::Gap`].
    pub fn check_data(&self, len: u64) -> Result<(), HeaderError> {
        if let Some((tensor, end)) = self.ends.iter().find(|(_, end)| *end > len) {
            return Err(HeaderError::Outside {
                tensor: tensor.clone(),
                end: *end,
                len,
            });
        }
        if self.data_bytes() < len {
            return Err(HeaderError::Gap {
                begin: self.data_bytes(),
                end: len,
            });
        }
        Ok(())
    }
}

/// Whether the header of a `.safetensors` file is true of the file. The `safetensors` crate tells less of what is wrong,
/// and adds offsets up before it compares them with the file: sums near 2^64 would wrap. Not part of the API.
///
/// # Errors
/// [`HeaderError`].
pub fn check_header(bytes: &[u8]) -> Result<(), HeaderError> {
    let end = LENGTH_BYTES as u64 + header_bytes(bytes, MOST_BYTES)?;
    let truncated = HeaderError::Truncated {
        end,
        len: bytes.len() as u64,
    };
    let (header, data) = usize::try_from(end)
        .ok()
        .and_then(|end| bytes.split_at_checked(end))
        .ok_or(truncated)?;
    Extents::parse(&header[LENGTH_BYTES..])?.check_data(data.len() as u64)
}

struct Entry {
    tensor: String,
    offsets: (u64, u64),
}

impl Entry {
    fn parse(tensor: String, entry: serde_json::Value) -> Result<Self, HeaderError> {
        #[derive(serde::Deserialize)]
        struct Fields {
            dtype: Dtype,
            shape: Vec<u64>,
            data_offsets: (u64, u64),
        }
        let Fields {
            dtype,
            shape,
            data_offsets: (begin, end),
        } = match serde_json::from_value(entry) {
            Ok(fields) => fields,
            Err(error) => {
                return Err(HeaderError::Entry {
                    tensor,
                    reason: error.to_string(),
                });
            }
        };
        let bits = shape
            .iter()
            .try_fold(dtype.bitsize() as u64, |bits, &size| bits.checked_mul(size));
        // A zero beside sizes whose product overflows is still an empty tensor; `safetensors` says no to it all the same.
        let Some(bits) = bits else {
            return Err(HeaderError::Overflow {
                tensor,
                sizes: shape,
            });
        };
        let needed = bits.div_ceil(8);
        if end.checked_sub(begin) != Some(needed) {
            return Err(HeaderError::Span {
                tensor,
                begin,
                end,
                needed,
            });
        }
        Ok(Self {
            tensor,
            offsets: (begin, end),
        })
    }
}

/// Any JSON whose objects have each key once. Readers disagree on which of two counts.
struct UniqueKeys;

impl<'de> Deserialize<'de> for UniqueKeys {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Self)
    }
}

impl<'de> Visitor<'de> for UniqueKeys {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_str<E>(self, _: &str) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self, A::Error> {
        while items.next_element::<Self>()?.is_some() {}
        Ok(self)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self, A::Error> {
        let mut keys = HashSet::new();
        while let Some(key) = entries.next_key::<String>()? {
            if keys.contains(&key) {
                return Err(A::Error::custom(format_args!(
                    "the key {key:?} is there twice"
                )));
            }
            keys.insert(key);
            entries.next_value::<Self>()?;
        }
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(header: &str, data: usize) -> Result<(), HeaderError> {
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend(header.bytes());
        bytes.resize(bytes.len() + data, 0);
        check_header(&bytes)
    }

    fn entry(shape: &str, begin: u64, end: u64) -> String {
        format!(r#"{{"dtype":"F32","shape":{shape},"data_offsets":[{begin},{end}]}}"#)
    }

    fn two(first: &str, second: &str) -> String {
        format!(r#"{{"a":{first},"b":{second}}}"#)
    }

    #[test]
    fn true_headers_pass() {
        let header = two(&entry("[2]", 0, 8), &entry("[]", 8, 12));
        assert_eq!(check(&header, 12), Ok(()));
        let header = two(&entry("[2]", 0, 8), &entry("[0,3]", 8, 8));
        assert_eq!(check(&header, 8), Ok(()));
        assert_eq!(check(r#"{"__metadata__":{"a":"b"}}"#, 0), Ok(()));
        assert_eq!(check("{}", 0), Ok(()));
    }

    #[test]
    fn every_lie_has_its_name() {
        let text = |header: &str, data| check(header, data).expect_err(header).to_string();
        let pair = |first: String, second: String| text(&two(&first, &second), 12);
        assert_eq!(
            pair(entry("[2]", 0, 8), entry("[1]", 4, 8)),
            "a and b overlap"
        );
        assert_eq!(
            pair(entry("[1]", 0, 4), entry("[1]", 8, 12)),
            "the bytes 4 to 8 belong to no tensor"
        );
        assert_eq!(
            pair(entry("[1]", 0, 4), entry("[1]", 4, 8)),
            "the bytes 8 to 12 belong to no tensor"
        );
        assert_eq!(
            pair(entry("[2]", 0, 8), entry("[2]", 8, 16)),
            "not a whole .safetensors file: b ends at byte 16 of 12"
        );
        assert_eq!(
            pair(entry("[1]", 0, 4), entry("[1]", 12, 8)),
            "b: its offsets 12 to 8 do not span the 4 bytes that its sizes need"
        );
        assert_eq!(
            pair(entry("[3]", 0, 8), entry("[1]", 8, 12)),
            "a: its offsets 0 to 8 do not span the 12 bytes that its sizes need"
        );
        assert_eq!(
            pair(
                entry("[4294967296,4294967296,4]", 0, 8),
                entry("[1]", 8, 12)
            ),
            "a: the sizes [4294967296, 4294967296, 4] overflow 64 bits"
        );
        for (shape, reason) in [("[-1]", "u64"), ("[1.5]", "u64"), ("2", "sequence")] {
            let message = pair(entry(shape, 0, 8), entry("[1]", 8, 12));
            assert!(
                message.starts_with("a: its header does not parse") && message.contains(reason),
                "{message}"
            );
        }
        assert!(
            text(
                r#"{"a":{"dtype":"F99","shape":[],"data_offsets":[0,4]}}"#,
                4
            )
            .contains("F99")
        );
        assert!(text(r#"{"a":{"dtype":"F32"}}"#, 4).contains("missing field"));
        for header in [
            r#"{"a":{},"a":{}}"#,
            r#"{"__metadata__":{"a":"b","a":"c"}}"#,
        ] {
            assert!(text(header, 0).contains("the key \"a\" is there twice"));
        }
        for header in [r#"{"__metadata__":{"a":1}}"#, r#"{"__metadata__":[1]}"#] {
            assert!(text(header, 0).starts_with("the metadata does not parse"));
        }
        for header in [
            "",
            "[]",
            "null",
            "{",
            "{} {}",
            "\u{0}",
            &"[".repeat(100_000),
        ] {
            assert!(
                text(header, 0).starts_with("the header does not parse"),
                "{header}"
            );
        }
    }

    #[test]
    fn lengths_that_lie_have_names() {
        assert_eq!(check_header(&[1, 2]), Err(HeaderError::Short { len: 2 }));
        assert_eq!(
            check_header(&u64::MAX.to_le_bytes()),
            Err(HeaderError::TooLong {
                given: u64::MAX,
                most: MOST_BYTES
            })
        );
        assert_eq!(
            check_header(&100u64.to_le_bytes()),
            Err(HeaderError::Truncated { end: 108, len: 8 })
        );
    }
}
