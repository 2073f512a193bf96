//! Edits of activations, of their gradients and of what those are found from.

use wgpu_batchnorm::Derivative::{Input, Mask, Output};

use crate::inputs::Function::{Gelu, GeluTanh, LeakyRelu, Relu, Relu6, Silu};
use crate::inputs::Input::{Activated, MaskWindows};
use crate::inputs::Path::{Split, Whole};
use crate::{assert_noticed, edit};

#[test]
fn activations_with_corners_matter() {
    assert_noticed(&[
        edit(Activated(Relu, Input, Whole), "z += loaded.residual;", ""),
        edit(Activated(Relu, Input, Whole), "z += loaded.evidence;", ""),
        edit(
            Activated(Relu, Input, Whole),
            "var z = (loaded.x - c.mean) * c.scale + c.shift;",
            "var z = (loaded.x - c.mean) * c.scale;",
        ),
        edit(
            Activated(Relu, Input, Split),
            "!(z <= Z(0.0))",
            "(z <= Z(0.0))",
        ),
        edit(
            Activated(Relu, Input, Whole),
            "select(Z(0.0), z, passes(z))",
            "z",
        ),
        edit(
            Activated(Relu, Input, Whole),
            "select(Z(0.0), dy, passes(z))",
            "dy",
        ),
        edit(
            Activated(Relu, Output, Whole),
            "backpropagate(loaded.dy, loaded.evidence)",
            "loaded.dy",
        ),
        edit(
            Activated(Relu, Output, Split),
            "return load_y(at, i);",
            "return load_grad_output(at, i);",
        ),
        edit(Activated(LeakyRelu, Input, Whole), "z * SLOPE", "z"),
        edit(Activated(LeakyRelu, Output, Whole), "dy * SLOPE", "dy"),
        edit(Activated(LeakyRelu, Mask, Whole), "v * SLOPE", "Z(0.0)"),
        edit(Activated(Relu6, Input, Whole), " | (z >= Z(6.0))", ""),
        edit(
            Activated(Relu6, Input, Whole),
            "select(z, Z(0.0), z <= Z(0.0))",
            "z",
        ),
        edit(
            Activated(Relu6, Output, Whole),
            "Z(6.0), z >= Z(6.0)",
            "Z(5.0), z >= Z(6.0)",
        ),
        edit(Activated(Relu6, Mask, Whole), "(z <= Z(0.0)) | ", ""),
    ]);
}

#[test]
fn smooth_activations_matter() {
    assert_noticed(&[
        edit(
            Activated(Silu, Input, Whole),
            "return z * sigmoid(z);",
            "return sigmoid(z);",
        ),
        edit(Activated(Silu, Input, Whole), "z * (1.0 - s)", "(1.0 - s)"),
        edit(
            Activated(Silu, Input, Whole),
            "select(Z(1.0), e, z < Z(0.0))",
            "Z(1.0)",
        ),
        edit(
            Activated(Gelu, Input, Whole),
            "0.3989422804014327",
            "0.3989",
        ),
        edit(
            Activated(Gelu, Input, Whole),
            "exp(-0.5 * z * z)",
            "exp(-0.4999 * z * z)",
        ),
        edit(
            Activated(Gelu, Input, Whole),
            "t * 0.0206267126",
            "t * 0.0207",
        ),
        edit(
            Activated(Gelu, Input, Whole),
            "select(1.0 - tail, tail, z < Z(0.0))",
            "1.0 - tail",
        ),
        edit(
            Activated(Gelu, Input, Whole),
            " - 0.3989422804014327 * abs(z)",
            "",
        ),
        edit(
            Activated(GeluTanh, Input, Whole),
            "1.5957691216057308",
            "1.5957",
        ),
        edit(
            Activated(GeluTanh, Input, Whole),
            "0.044715 * z * z * z",
            "0.0447 * z * z * z",
        ),
        edit(Activated(GeluTanh, Input, Whole), "0.134145", "0.1341"),
    ]);
}

#[test]
fn masks_matter() {
    assert_noticed(&[
        edit(
            Activated(Relu, Mask, Whole),
            "select(blocked(loaded.dy), loaded.dy, loaded.evidence)",
            "select(loaded.dy, blocked(loaded.dy), loaded.evidence)",
        ),
        edit(Activated(Relu, Mask, Whole), "<< (k * WIDTH)", "<< k * 0u"),
        edit(
            Activated(Relu, Mask, Whole),
            "word * accesses + k",
            "word + k",
        ),
        edit(
            Activated(Relu, Mask, Whole),
            "word += TEAM_COLUMNS",
            "word += 2u * TEAM_COLUMNS",
        ),
        edit(
            Activated(Relu, Mask, Split),
            "store_mask(at, word, bits);",
            "store_mask(at, 0u, bits);",
        ),
        edit(
            Activated(Relu, Mask, Whole),
            ">> (bit % 32u)",
            ">> (bit % 16u)",
        ),
        edit(
            Activated(Relu, Mask, Split),
            "at.mask + bit / 32u",
            "at.mask",
        ),
        edit(MaskWindows, "at.first_bit + i * WIDTH", "i * WIDTH"),
    ]);
}
