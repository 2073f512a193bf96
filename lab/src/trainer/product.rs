//! What the kernel of matrix products is told.

/// No row or column is of ones.
const NO_ONES: u32 = u32::MAX;

/// Where a matrix lies in a buffer: how far its rows, its columns and those of the members are apart, in values.
#[derive(Clone, Copy, Debug)]
pub(super) struct Strides {
    pub(super) row: u64,
    pub(super) column: u64,
    pub(super) member: u64,
}

impl Strides {
    pub(super) const fn transposed(self) -> Self {
        Self {
            row: self.column,
            column: self.row,
            ..self
        }
    }
}

/// `c = a b`, for each member.
#[derive(Clone, Copy, Debug)]
pub(super) struct Product {
    /// Rows of a, columns of a (rows of b), columns of b.
    pub(super) extents: [u64; 3],
    /// The row and the column of a that are of ones and not in memory.
    pub(super) ones: [Option<u64>; 2],
    pub(super) a: Strides,
    pub(super) b: Strides,
    /// Its columns are neighbours.
    pub(super) c: Strides,
}

impl Product {
    /// In the order of the shader's block.
    pub(super) fn parameters(&self) -> [u32; 13] {
        let Self {
            extents: [rows, inner, columns],
            ones,
            a,
            b,
            c,
        } = *self;
        let [ones_row, ones_inner] = ones.map(|ones| ones.map_or(NO_ONES, |number| number as u32));
        let strides = [
            a.row, a.column, a.member, b.row, b.column, b.member, c.row, c.member,
        ];
        let [
            a_row,
            a_inner,
            a_member,
            b_inner,
            b_column,
            b_member,
            c_row,
            c_member,
        ] = strides.map(|stride| stride as u32);
        let [rows, inner, columns] = [rows, inner, columns].map(|extent| extent as u32);
        [
            rows, inner, columns, ones_row, ones_inner, a_row, a_inner, a_member, b_inner,
            b_column, b_member, c_row, c_member,
        ]
    }
}
