//! Tensor sizes as people write them: `32x64x56x56`, and which axis the channels are on.

use std::fmt;
use std::str::FromStr;

use clap::ValueEnum;
use serde::Serialize;
use wgpu_batchnorm::{Shape, ShapeError};

/// Where the channels are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Layout {
    /// The channels come after the batch, as in PyTorch: 32x64x56x56 has 64
    ChannelsFirst,
    /// The channels come last, as in TensorFlow: 32x56x56x64 has 64
    ChannelsLast,
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ChannelsFirst => "channels-first",
            Self::ChannelsLast => "channels-last",
        })
    }
}

/// Sizes in memory order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Sizes(pub Vec<usize>);

impl Sizes {
    /// The geometry of these sizes in a layout.
    pub fn shape(&self, layout: Layout) -> Result<Shape, ShapeError> {
        match layout {
            Layout::ChannelsFirst => Shape::channels_first(&self.0),
            Layout::ChannelsLast => Shape::channels_last(&self.0),
        }
    }

    /// The layout where none is said: the two are the same in 2-D.
    pub fn usual_layout(&self) -> Layout {
        if self.0.len() == 2 {
            Layout::ChannelsLast
        } else {
            Layout::ChannelsFirst
        }
    }
}

impl FromStr for Sizes {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let sizes: Result<Vec<usize>, _> = text.split('x').map(str::parse).collect();
        let sizes =
            sizes.map_err(|_| "sizes joined by x are needed, as in 32x64x56x56".to_owned())?;
        Shape::channels_first(&sizes).map_err(|error| error.to_string())?;
        Ok(Self(sizes))
    }
}

impl fmt::Display for Sizes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sizes: Vec<String> = self.0.iter().map(usize::to_string).collect();
        f.write_str(&sizes.join("x"))
    }
}

/// The place of a value in a tensor of these sizes, one index per axis.
pub fn place(sizes: &[usize], index: usize) -> Vec<usize> {
    let mut rest = index;
    let mut place: Vec<usize> = sizes
        .iter()
        .rev()
        .map(|&size| {
            let at = rest % size.max(1);
            rest /= size.max(1);
            at
        })
        .collect();
    place.reverse();
    place
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_back_as_written() {
        for text in ["32x64x56x56", "4096x1024", "0x3x7", "1x1"] {
            assert_eq!(text.parse::<Sizes>().expect(text).to_string(), text);
        }
    }

    #[test]
    fn bad_sizes_are_errors() {
        for text in [
            "",
            "7",
            "3x",
            "x3",
            "3x-1",
            "3X4",
            "3,4",
            "4294967296x4294967296x4",
            "99999999999999999999x2",
        ] {
            assert!(text.parse::<Sizes>().is_err(), "{text}");
        }
    }

    #[test]
    fn the_layout_names_the_channel_axis() {
        let sizes: Sizes = "2x3x5x7".parse().expect("sizes");
        let channels = |layout| sizes.shape(layout).expect("a shape").channels();
        assert_eq!(
            (
                channels(Layout::ChannelsFirst),
                channels(Layout::ChannelsLast)
            ),
            (3, 7)
        );
        assert_eq!(sizes.usual_layout(), Layout::ChannelsFirst);
        assert_eq!(
            "5x7".parse::<Sizes>().expect("sizes").usual_layout(),
            Layout::ChannelsLast
        );
    }

    #[test]
    fn a_place_is_the_index_taken_apart() {
        assert_eq!(place(&[2, 3, 5], 0), [0, 0, 0]);
        assert_eq!(place(&[2, 3, 5], 29), [1, 2, 4]);
        assert_eq!(place(&[2, 3, 5], 16), [1, 0, 1]);
        assert_eq!(place(&[], 0), [0; 0]);
    }
}
