//! Shapes as the command line of a bench has them.

use std::fmt;
use std::str::FromStr;

use wgpu_batchnorm::{Shape, ShapeError};

const CHANNELS_LAST: &str = ":channels-last";

/// Sizes in memory order, and where the channels are.
#[derive(Clone)]
pub struct Layer {
    pub sizes: String,
    pub channels_last: bool,
    pub shape: Shape,
}

impl FromStr for Layer {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (sizes, channels_last) = match text.strip_suffix(CHANNELS_LAST) {
            Some(sizes) => (sizes, true),
            None => (text, false),
        };
        let numbers: Result<Vec<usize>, _> = sizes.split('x').map(str::parse).collect();
        let numbers = numbers.map_err(|_| {
            "sizes joined by x are needed, as in 8x64x56x56 or 8x56x56x64:channels-last".to_owned()
        })?;
        let shape = if channels_last {
            Shape::channels_last(&numbers)
        } else {
            Shape::channels_first(&numbers)
        };
        let shape = shape.map_err(|error: ShapeError| error.to_string())?;
        if shape.values_per_channel() < 2 || shape.channels() == 0 {
            return Err("training needs two values of each channel".to_owned());
        }
        Ok(Self {
            sizes: sizes.to_owned(),
            channels_last: channels_last || numbers.len() == 2,
            shape,
        })
    }
}

impl Layer {
    pub fn layout(&self) -> &'static str {
        if self.channels_last {
            "channels-last"
        } else {
            "channels-first"
        }
    }
}

/// As it is read back.
impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let layout = if self.channels_last {
            CHANNELS_LAST
        } else {
            ""
        };
        write!(f, "{}{layout}", self.sizes)
    }
}
